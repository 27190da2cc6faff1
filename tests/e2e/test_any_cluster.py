"""overlays/cluster with its components, in a namespace that enforces `restricted`: as on a cluster of one's own."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT
from subprocess import PIPE, STDOUT

import pytest
import yaml

from tests.support.commands import COUNTER, ENVIRONMENT, RATE, ROOT, kubectl, make, pods, run, until

NAMESPACE = "hello-world"
COMPONENTS = "network-policies", "gateway", "gateway/prefix", "ingress", "ingress/prefix", "autoscaling", "monitoring"
DEFINITIONS = {
    "sigs.k8s.io/gateway-api@v1.4.0": ["config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"],
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": [
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ],
}
"""The Go modules with the definitions of what Kubernetes itself does not know."""

QUICK = """
- {op: replace, path: /spec/metrics/0/resource/target/averageUtilization, value: 20}
- {op: replace, path: /spec/behavior/scaleDown/stabilizationWindowSeconds, value: 15}
- {op: replace, path: /spec/behavior/scaleDown/policies/0/periodSeconds, value: 15}
"""
"""The autoscaler, for a test: one that scales for little load, and soon back."""

REACH = """
import socket, sys
for address in sys.argv[1:]:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), 3).close()
        print(address, "open")
    except OSError:
        print(address, "closed")
"""


def definitions() -> list[str]:
    directories = {module: json.loads(run("go", "mod", "download", "-json", module))["Dir"] for module in DEFINITIONS}
    return [f"--filename={directories[module]}/{file}" for module, files in DEFINITIONS.items() for file in files]


def set_default_class(before: str, now: str) -> None:
    for name, is_default in (before, "false"), (now, "true"):
        annotation = f"storageclass.kubernetes.io/is-default-class={is_default}"
        kubectl("annotate", "--overwrite", "storageclass", name, annotation)


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A kustomization of one's own, applied by the server in kubectl's own namespace; at the end nothing is left."""
    make("load")
    directory = ROOT / "build/any-cluster"
    directory.mkdir(parents=True, exist_ok=True)
    written = {
        "namespace": NAMESPACE,
        "resources": ["../../manifests/overlays/cluster"],
        "components": [f"../../manifests/components/{name}" for name in COMPONENTS],
        "patches": [{"target": {"kind": "HorizontalPodAutoscaler"}, "patch": QUICK}],
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(written))
    configuration = tmp_path_factory.mktemp("kubectl") / "configuration"
    configuration.write_text(kubectl("config", "view", "--raw", "--flatten"))
    crds = definitions()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENVIRONMENT, "KUBECONFIG", str(configuration))
        kubectl("config", "set-context", "--current", f"--namespace={NAMESPACE}")
        kubectl("apply", "--server-side", *crds)
        set_default_class("standard", "csi-hostpath-sc")
        apply(directory)
        kubectl("create", "secret", "generic", "redis-password", "--from-literal=password=mellon")
        kubectl("rollout", "status", "deployment/hello-world", "--timeout=3m")
        until(lambda: len(pods()) == 3, "the autoscaler's least pods are there")
        yield directory
        kubectl("delete", f"--kustomize={directory}", "--timeout=3m")
        assert (
            kubectl(
                "get", "persistentvolume", f"--output=jsonpath={{.items[?(@.spec.claimRef.namespace=='{NAMESPACE}')]}}"
            )
            == ""
        )
        kubectl("delete", *crds)
        set_default_class("csi-hostpath-sc", "standard")


def apply(directory: Path) -> str:
    return kubectl("apply", "--server-side", f"--kustomize={directory}")


def test_applied_again_it_changes_nothing(overlay: Path) -> None:
    kubectl("diff", "--server-side", f"--kustomize={overlay}")  # exits 1 for a difference
    generation = ("get", "deployment,statefulset", "--output=jsonpath={.items[*].metadata.generation}")
    before = kubectl(*generation)
    apply(overlay)
    assert kubectl(*generation) == before


def reach(namespace: str, *addresses: str) -> list[str]:
    """Which of these addresses a stranger's pod in a namespace can connect to."""
    container = {
        "name": "stranger",
        "image": "hello-counter:latest",
        "imagePullPolicy": "Never",
        "command": ["python", "-c", REACH, *addresses],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"restartPolicy": "Never", "securityContext": security, "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger"}, "spec": spec}
    run("kubectl", f"--namespace={namespace}", "create", "--filename=-", answer=json.dumps(pod))
    stranger = f"--namespace={namespace}", "pod/stranger"
    kubectl("wait", *stranger, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=1m")
    told = kubectl("logs", *stranger).splitlines()
    kubectl("delete", *stranger)
    return [line.removesuffix(" open") for line in told if line.endswith(" open")]


@pytest.fixture
def _monitoring() -> Iterator[None]:
    kubectl("create", "namespace", "monitoring")
    yield
    kubectl("delete", "namespace", "monitoring")


@pytest.mark.usefixtures("overlay", "_monitoring")
def test_a_stranger_reaches_neither_the_admin_port_nor_the_store_and_our_pods_nothing_but_it() -> None:
    pod = kubectl("get", "pod", COUNTER, "--output=jsonpath={.items[0].status.podIP}")
    addresses = f"{pod}:8080", f"{pod}:8081", f"redis.{NAMESPACE}:6379"
    assert reach(NAMESPACE, *addresses) == [f"{pod}:8080"]
    assert reach("monitoring", *addresses) == [f"{pod}:8080", f"{pod}:8081"]
    ours = kubectl(
        "exec", "deployment/hello-world", "--", "python", "-c", REACH, "kubernetes.default:443", "redis:6379"
    )
    assert ours.splitlines() == ["kubernetes.default:443 closed", "redis:6379 open"]


def check(*options: str) -> "subprocess.Popen[str]":
    command = ["make", "check", "INSIDE=1", f"OPTIONS={' '.join(options)}"]
    return subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=PIPE, stderr=STDOUT, text=True)


def end(running: "subprocess.Popen[str]") -> None:
    """End a check as Ctrl-C does; it must say yes to every question."""
    running.send_signal(SIGINT)
    output, _ = running.communicate()
    assert running.returncode == 0, output


@pytest.fixture
def _drained_nodes_are_put_back() -> Iterator[None]:
    yield
    for node in kubectl("get", "node", "--output=name").split():
        kubectl("uncordon", node)


@pytest.mark.usefixtures("_drained_nodes_are_put_back")
def test_no_visit_is_lost_to_an_update_a_drain_a_load_that_comes_and_goes_and_a_restart_of_redis(
    overlay: Path,
) -> None:
    replicas = ("get", "deployment/hello-world", "--output=jsonpath={.spec.replicas}")
    visitors = check("--duration=600", f"--rate={RATE // 2}")
    until(
        lambda: kubectl("get", "pod", "--selector=app.kubernetes.io/name=hello-check", "--output=name") != "", "it runs"
    )
    kubectl("rollout", "restart", "deployment/hello-world")
    kubectl("rollout", "status", "deployment/hello-world", "--timeout=3m")
    node = kubectl("get", "pod", COUNTER, "--output=jsonpath={.items[0].spec.nodeName}")
    kubectl(
        "drain",
        node,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--pod-selector=app.kubernetes.io/name=hello-world",
    )
    kubectl("uncordon", node)
    kubectl("rollout", "status", "deployment/hello-world", "--timeout=3m")
    kubectl("delete", "pod/redis-0")
    kubectl("rollout", "status", "statefulset/redis", "--timeout=2m")
    load = check("--duration=600", "--clients=16")
    until(lambda: int(kubectl(*replicas)) > 3, "the load brings pods", 240)
    apply(overlay)
    assert int(kubectl(*replicas)) > 3, "another apply put the number of pods back"
    end(load)
    until(lambda: int(kubectl(*replicas)) == 3 and len(pods()) == 3, "the pods go with the load", 240)
    end(visitors)
