"""overlays/cluster with every component, in a namespace that enforces `restricted`, as on a cluster of one's own."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.commands import ENVIRONMENT, ROOT, kubectl, run, until

NAMESPACE = "hello-world"
IN = f"--namespace={NAMESPACE}"
COMPONENTS = "network-policies", "gateway", "gateway/prefix", "ingress", "ingress/prefix", "autoscaling", "monitoring"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
DEFINITIONS = {
    "sigs.k8s.io/gateway-api@v1.4.0": ["config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"],
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": [
        f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml" for kind in ("podmonitors", "prometheusrules")
    ],
}
"""The Go modules with the definitions of what Kubernetes itself does not know."""


def definitions() -> Iterator[str]:
    for module, files in DEFINITIONS.items():
        directory = json.loads(run("go", "mod", "download", "-json", module))["Dir"]
        yield from (f"--filename={directory}/{file}" for file in files)


def set_default_class(before: str, now: str) -> None:
    for name, is_default in (before, "false"), (now, "true"):
        kubectl("annotate", "--overwrite", "storageclass", name, f"{DEFAULT_CLASS}={is_default}")


@pytest.fixture(scope="module")
def overlay() -> Iterator[Path]:
    """A kustomization of one's own over ours, applied by the server; at the end it is deleted."""
    image = run("make", "--silent", "load") and f"hello-counter:{run('make', '--silent', 'tag')}"
    directory = ROOT / "build/any-cluster"
    directory.mkdir(parents=True, exist_ok=True)
    written = {
        "namespace": NAMESPACE,
        "resources": ["../../manifests/overlays/cluster"],
        "components": [f"../../manifests/components/{name}" for name in COMPONENTS],
        "images": [{"name": "hello-counter", "newTag": image.partition(":")[2]}],
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(written))
    crds = list(definitions())
    kubectl("apply", "--server-side", *crds)
    set_default_class("standard", "csi-hostpath-sc")
    apply(directory)
    password = ("--from-literal=password=mellon",)
    kubectl(IN, "create", "secret", "generic", "redis-password", *password)
    kubectl(IN, "rollout", "status", "deployment/hello-world", "--timeout=3m")
    yield directory
    kubectl("delete", "--kustomize", str(directory), "--timeout=3m")
    kubectl("delete", *crds)
    set_default_class("csi-hostpath-sc", "standard")


def apply(directory: Path) -> str:
    return kubectl("apply", "--server-side", "--kustomize", str(directory))


@pytest.fixture
def check(overlay: Path) -> Iterator["subprocess.Popen[str]"]:
    """A check from inside, which must say yes to every question once the test is over."""
    job = yaml.safe_load((ROOT / "manifests/check/job.yaml").read_text())
    ...
    yield
