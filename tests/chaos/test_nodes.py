"""What an update and the nodes do to pods, with a canary beside the visitors: it finds what their judge finds.

It visits a counter of its own, in its own namespace, to which the same is done.
"""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chaos.cluster import settle
from tests.chaos.fire import ONE_EACH, Fire, Visitors
from tests.support.commands import COUNTER, ROOT, kubectl, until
from tests.support.nodes import forget, node, power, running

TABLE = "## Over Redis"
"""Where the README has its table."""
CANARY = "--namespace=hello-canary"
BOTH: tuple[list[str], ...] = [], [CANARY]
PRIMARY = "- {op: add, path: /spec/template/spec/nodeSelector, value: {minikube.k8s.io/primary: 'true'}}"
CLASS = "- {op: add, path: /spec/storageClassName, value: csi-hostpath-sc}"
OVERLAY = {
    "resources": ["../../manifests/overlays/canary"],
    "patches": [
        {"target": {"name": "redis", "kind": "StatefulSet"}, "patch": PRIMARY},
        {"target": {"name": "hello-canary", "kind": "Deployment"}, "patch": PRIMARY},
        {"target": {"kind": "PersistentVolumeClaim"}, "patch": CLASS},
    ],
}
"""The canary's Redis, and the canary, stay on the node that keeps its power."""
ASK = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9090/metrics').read().decode())"


@pytest.fixture(scope="module", autouse=True)
def _canary(url: str) -> Iterator[None]:
    directory = ROOT / "build/canary"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(OVERLAY))
    kubectl("create", "namespace", "hello-canary")
    try:
        kubectl("create", "secret", "generic", "redis-password", CANARY, "--from-literal=password=mellon")
        kubectl("apply", f"--kustomize={directory}")
        for name in "statefulset/redis", "deployment/hello-world", "deployment/hello-canary":
            kubectl("rollout", "status", name, CANARY, "--timeout=3m")
        yield
    finally:
        kubectl("delete", "namespace", "hello-canary", "--wait=false")


def metric(name: str) -> float:
    """The sum of one of the canary's counters."""
    told = kubectl("exec", "deployment/hello-canary", CANARY, "--", "python", "-c", ASK)
    values = re.findall(rf"^hello_check_{name}_total(?:{{.*}})? (\S+)$", told, re.MULTILINE)
    return sum(map(float, values))


@pytest.fixture
def _canary_finds_the_same(fire: Fire) -> Iterator[None]:
    before = metric("lost")
    yield
    due = metric("due")
    until(lambda: metric("due") > due + 100, "the canary visits on")
    assert metric("broken_promises") == len(fire.found())
    assert metric("repeated") == 0
    assert (metric("lost") > before) == (fire.lost > 0)


def settled() -> None:
    for namespace in BOTH:
        kubectl("rollout", "status", "deployment/hello-world", "--timeout=3m", *namespace)
    settle()


@pytest.mark.usefixtures("_canary_finds_the_same")
def test_node_drained(fire: Fire) -> None:
    for _ in fire.times(1):
        try:
            kubectl("drain", node(3), COUNTER.replace("--", "--pod-"), "--timeout=3m")
        finally:
            kubectl("uncordon", node(3))
        settled()
    fire.come()
    fire.served_as_before()


# It spreads the pods over the nodes again, of which the next one dies.
@pytest.mark.usefixtures("_canary_finds_the_same")
def test_rolling_update(fire: Fire) -> None:
    for _ in fire.times(5):
        for namespace in BOTH:
            kubectl("rollout", "restart", "deployment/hello-world", *namespace)
        settled()
    fire.served_as_before()


def on_node(name: str) -> list[dict[str, Any]]:
    """The counters' pods on a node."""
    return [pod for namespace in BOTH for pod in running(COUNTER, *namespace) if pod["spec"]["nodeName"] == name]


@pytest.mark.usefixtures("_canary_finds_the_same")
def test_node_death_under_app_pods(fire: Fire) -> None:
    victim = node(3)
    for _ in fire.times(1):
        dead = on_node(victim)
        assert len({pod["metadata"]["namespace"] for pod in dead}) == 2
        with fire.excusing(5, lost=3 * ONE_EACH):  # each waits in vain for 15 s, until the node is given up
            power(3, on=False)
            kubectl("wait", f"node/{victim}", "--for=condition=Ready=Unknown", "--timeout=1m")
            time.sleep(2)
            forget(dead)
        until(lambda: not on_node(victim) and len(running(COUNTER)) == 3, "its pods run elsewhere", 60)
        fire.come()
        power(3, on=True)
        settled()
    fire.served_as_before()


def test_the_canarys_last_word(visitors: Visitors) -> None:
    visitors.leave()
    visitors.assert_promise_kept()
    kubectl("exec", "deployment/hello-canary", CANARY, "--", "sh", "-c", "kill 1")
    pod = "pod", "--selector=app.kubernetes.io/name=hello-canary", CANARY
    restarts = "get", *pod, "--output=jsonpath={.items[*].status.containerStatuses[*].restartCount}"
    until(lambda: kubectl(*restarts) == "1", "the canary has ended")
    said = kubectl("logs", "deployment/hello-canary", CANARY, "--previous")
    assert re.search(r"^Exact\? +Yes: .*^Repeated\? +Nothing: ", said, re.MULTILINE | re.DOTALL), said
