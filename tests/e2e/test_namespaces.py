"""The counter in a namespace that enforces `restricted`, beside the default one's, which must be there."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.commands import ENVIRONMENT, ROOT, kubectl, make, own_namespace, run

NAMESPACE = "hello-restricted"
VOLUME = f"hello-world-redis-{NAMESPACE}"
TOUR = ROOT / "manifests/tour"


@pytest.fixture
def _restricted(tmp_path: Path) -> Iterator[None]:
    kubectl("create", "namespace", NAMESPACE)
    kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    with own_namespace(NAMESPACE, tmp_path / "kubeconfig"):
        yield
        make("purge", answer="yes\n")
    kubectl("delete", "namespace", NAMESPACE)


@pytest.mark.usefixtures("_restricted")
def test_the_counter_runs_where_restricted_is_enforced_and_leaves_all_others_alone_and_outlives_its_namespace() -> None:
    other = volume("hello-world-redis")
    kubectl("create", "-f", str(TOUR / "deployment.yaml"))
    kubectl("rollout", "resume", "deployment/hello-world")
    kubectl("rollout", "status", "deployment/hello-world", "--timeout=1m")
    url = make("deploy").splitlines()[-1]
    assert "visitor 1," in run("curl", "--silent", url)
    assert volume(VOLUME)
    make("undeploy")
    assert not volume(VOLUME)
    assert volume("hello-world-redis") == other

    kubectl("create", "service", "clusterip", "redis", "--tcp=6379")
    refused = subprocess.run(["make", "deploy"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert "Service/redis" in refused.stderr
    kubectl("delete", "service", "redis")

    url = make("deploy").splitlines()[-1]
    assert "visitor 2," in run("curl", "--silent", url)
    for verb in "delete", "create":
        kubectl(verb, "namespace", NAMESPACE)
    make("deploy")
    assert run("curl", "--silent", f"{make('url')}/count") == "2"


def volume(name: str) -> str:
    """What tells a volume from another one of that name."""
    return kubectl("get", "persistentvolume", name, "--ignore-not-found", "--output=jsonpath={.metadata.uid}")


def pods(directory: Path, overlay: str = "minikube", **kustomization: Any) -> dict[str, Any]:
    """Render an overlay over ours; the specifications of its pods, by their owners' names."""
    directory = directory.resolve()
    ours = {"resources": [os.path.relpath(ROOT / "manifests/overlays" / overlay, directory)]}
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(ours | kustomization))
    objects = yaml.safe_load_all(kubectl("kustomize", str(directory)))
    owners = [each for each in objects if each["kind"] in {"Deployment", "StatefulSet"}]
    return {owner["metadata"]["name"]: owner["spec"]["template"]["spec"] for owner in owners}


def test_a_name_prefix_reaches_the_stores_url(tmp_path: Path) -> None:
    variables = pods(tmp_path, namePrefix="my-")["my-hello-world"]["containers"][0]["env"]
    assert {variable["name"]: variable.get("value") for variable in variables}["REDIS"] == "my-redis"


@pytest.mark.parametrize("overlay", ["minikube", "replicated"])
def test_one_component_leaves_the_users_to_the_cluster(tmp_path: Path, overlay: str) -> None:
    component = os.path.relpath(ROOT / "manifests/components/any-user", tmp_path.resolve())
    for pod in pods(tmp_path, overlay, components=[component]).values():
        assert not pod["securityContext"].keys() & {"runAsUser", "runAsGroup", "fsGroup"}
