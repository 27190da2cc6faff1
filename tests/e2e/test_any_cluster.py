"""overlays/cluster with its components on three nodes, as manifests/README.md has it for a cluster of one's own.

The tests build on each other, in their order: the last one takes everything off again.
"""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import yaml

from tests.support.commands import COUNTER, ROOT, kubectl, make, own_namespace, pods, run, until
from tests.support.deployment import default_class, redis_ready
from tests.support.jobs import Job

NAMESPACE = "hello-world"
COMPONENTS = "network-policies", "gateway", "gateway/prefix", "ingress", "ingress/prefix", "autoscaling", "monitoring"
DEFINITIONS = {
    "sigs.k8s.io/gateway-api@v1.4.0": ["config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"],
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": [
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ],
}
"""The Go modules that define what Kubernetes itself does not know, and where."""

QUICK = """
- {op: replace, path: /spec/metrics/0/resource/target/averageUtilization, value: 25}
- {op: replace, path: /spec/maxReplicas, value: 5}
- {op: replace, path: /spec/behavior, value: {scaleDown: {stabilizationWindowSeconds: 15}}}
"""
"""The autoscaler, for a test: 10 visits a second take 5 % of what three pods request, and 150 take 40 %."""

OVERLAY = ROOT / "build/any-cluster"
KUSTOMIZATION = {
    "namespace": NAMESPACE,
    "resources": ["../../manifests/overlays/cluster"],
    "components": [f"../../manifests/components/{name}" for name in COMPONENTS],
    "patches": [{"target": {"kind": "HorizontalPodAutoscaler"}, "patch": QUICK}],
}

REACH = """
import socket, sys
for address in sys.argv[1:]:
    try:
        socket.create_connection(address.split(":"), 3).close()
        print(address)
    except OSError:
        pass
"""
"""Prints which of the addresses it can connect to."""


def definitions() -> Iterator[str]:
    for module, files in DEFINITIONS.items():
        directory = json.loads(run("go", "mod", "download", "-json", module))["Dir"]
        yield from (f"--filename={directory}/{file}" for file in files)


@pytest.fixture(scope="module", autouse=True)
def _deployed() -> Iterator[None]:
    """An overlay of one's own, deployed, in a namespace that is kubectl's own."""
    make("three-nodes")
    make("load")
    OVERLAY.mkdir(parents=True, exist_ok=True)
    (OVERLAY / "kustomization.yaml").write_text(yaml.safe_dump(KUSTOMIZATION))
    with own_namespace(NAMESPACE, OVERLAY / "kubeconfig"), default_class(), ExitStack() as stack:
        stack.callback(kubectl, "delete", *definitions())
        kubectl("apply", "--server-side", *definitions())
        stack.callback(kubectl, "delete", "namespace", "monitoring", "--ignore-not-found")
        stack.callback(remove)
        apply()
        kubectl("create", "secret", "generic", "redis-password", "--from-literal=password=mellon")
        until(lambda: len(pods()) == 3, "the autoscaler asks for three pods")
        deployed()
        yield


def apply() -> None:
    kubectl("apply", "--server-side", f"--kustomize={OVERLAY}")


def remove() -> None:
    kubectl("delete", "--ignore-not-found", f"--kustomize={OVERLAY}", "--timeout=3m")


def deployed() -> None:
    kubectl("rollout", "status", "deployment/hello-world", "--timeout=3m")


def test_applied_again_it_changes_nothing() -> None:
    kubectl("diff", "--server-side", f"--kustomize={OVERLAY}")  # exits 1 for a difference
    generations = "get", "deployment,statefulset", "--output=jsonpath={.items[*].metadata.generation}"
    before = kubectl(*generations)
    apply()
    assert kubectl(*generations) == before


def test_a_stranger_reaches_neither_the_admin_port_nor_the_store_and_our_pods_nothing_but_it() -> None:
    ours, other = json.loads(kubectl("get", "pod", COUNTER, "--output=json"))["items"][:2]
    pod = other["status"]["podIP"]
    reach = "python", "-c", REACH
    addresses = f"{pod}:8080", f"{pod}:8081", f"redis.{NAMESPACE}:6379"
    kubectl("create", "namespace", "monitoring")
    stranger, monitoring = (
        Job(*reach, *addresses, namespace=namespace, labelled=False)  # whom no policy allows anything
        for namespace in (NAMESPACE, "monitoring")
    )
    assert stranger.output().split() == [f"{pod}:8080"]
    assert monitoring.output().split() == [f"{pod}:8080", f"{pod}:8081"]
    # Not the API server: no policy keeps a pod from its own node, which may be the API server's.
    out = kubectl("exec", ours["metadata"]["name"], "--", *reach, f"{pod}:8080", "redis:6379")
    assert out == "redis:6379"


def check(rate: int) -> Job:
    """Begin to visit."""
    job = Job("hello", "check", "http://hello-world", "--duration=600", f"--rate={rate}", namespace=NAMESPACE)
    kubectl("wait", "pod", f"--selector=job-name={job.name}", "--for=condition=Ready", "--timeout=1m")
    return job


def end(job: Job) -> str:
    """End a check; its report."""
    job.interrupt()
    return job.output()


def test_no_visit_is_lost_as_load_comes_and_goes_with_an_update_a_drain_and_a_restart_of_redis() -> None:
    replicas = "get", "deployment/hello-world", "--output=jsonpath={.spec.replicas}"
    visitors, load = check(rate=10), check(rate=150)
    until(lambda: int(kubectl(*replicas)) > 3, "the load brings pods", 120)
    apply()
    assert int(kubectl(*replicas)) > 3, "another apply has reset the number of pods"
    deployed()
    kubectl("rollout", "restart", "deployment/hello-world")
    deployed()
    node = kubectl("get", "pod", COUNTER, "--output=jsonpath={.items[0].spec.nodeName}")
    with ExitStack() as stack:
        stack.callback(kubectl, "uncordon", node)
        kubectl("drain", node, COUNTER.replace("--", "--pod-"), "--timeout=3m")
    deployed()
    kubectl("delete", "pod/redis-0")
    redis_ready()
    report = end(load)
    assert re.search("^Exact\\? +Yes: .*^Lost\\? +Nothing: ", report, re.DOTALL | re.MULTILINE), report
    until(lambda: len(pods()) == 3, "the pods go with the load", 180)
    report = end(visitors)
    assert report.splitlines()[-1].startswith("Promise kept: "), report


def test_one_command_takes_all_of_it_off() -> None:
    remove()
    assert kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "--output=name") == ""
    claims = "get", "persistentvolume", "--output=jsonpath={.items[*].spec.claimRef.namespace}"
    until(lambda: NAMESPACE not in kubectl(*claims).split(), "Redis' volume is deleted")
