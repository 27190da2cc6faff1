"""The members of etcd on the cluster: which one leads, and how they are lost and come back."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.commands import kubectl, until
from tests.support.nodes import running

OF_ETCD = "--selector=app.kubernetes.io/name=etcd"
ETCD = "etcd --config-file"
"""The command that runs in a member's pod."""
NAMES = "etcd-0", "etcd-1", "etcd-2"


def etcdctl(pod: str, *words: str) -> str:
    """What etcdctl says in a member's pod."""
    return kubectl("exec", pod, "--container=etcd", "--", "etcdctl", *words)


def statuses() -> dict[str, dict[str, Any]]:
    """What each member says of itself: its id, the leader's, the revision."""

    def status(name: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(etcdctl(name, "endpoint", "status", "--write-out=json"))[0]["Status"]
        return told

    with ThreadPoolExecutor() as pool:
        return dict(zip(NAMES, pool.map(status, NAMES), strict=True))


def leader() -> dict[str, Any]:
    """The pod of the member that leads, once one does and all know it."""
    names: list[str] = []

    def one_leads() -> bool:
        told = statuses()
        names[:] = [name for name in NAMES if told[name].get("leader") == told[name]["header"]["member_id"]]
        return len(names) == 1 and all("leader" in each for each in told.values())

    until(one_leads, "one leads")
    return pod(names[0])


def pod(name: str) -> dict[str, Any]:
    """A member's pod."""
    (found,) = (pod for pod in running(OF_ETCD) if pod["metadata"]["name"] == name)
    return found


def others(one: dict[str, Any]) -> list[dict[str, Any]]:
    """The pods of the other two."""
    return [pod for pod in running(OF_ETCD) if pod["metadata"]["name"] != one["metadata"]["name"]]


def lead_on(node: str) -> dict[str, Any]:
    """Let the member on a node lead; its pod."""
    (chosen,) = (pod for pod in running(OF_ETCD) if pod["spec"]["nodeName"] == node)
    name, told = chosen["metadata"]["name"], statuses()
    if told[name].get("leader") != told[name]["header"]["member_id"]:
        now = leader()["metadata"]["name"]
        etcdctl(now, "move-leader", f"{told[name]['header']['member_id']:x}")
    return chosen


def whole() -> None:
    """Wait until all three are ready, and of the newest revision."""
    kubectl("rollout", "status", "statefulset/etcd", "--timeout=3m")


def replace(name: str) -> None:
    """Delete a member's pod, and wait for the next one."""
    kubectl("delete", "pod", name)
    whole()


def scale(members: int) -> None:
    """Let so many run; those beyond are gone when it returns."""
    kubectl("scale", "statefulset/etcd", f"--replicas={members}")
    for name in NAMES[members:]:
        kubectl("wait", f"pod/{name}", "--for=delete", "--timeout=1m")


def volumes() -> set[str]:
    """The volumes that the members have now."""
    return set(
        kubectl("get", "persistentvolumeclaim", OF_ETCD, "--output=jsonpath={.items[*].spec.volumeName}").split()
    )
