"""The nodes of the cluster: what runs on them, and how it dies. It needs a shell on each: `minikube ssh --node`."""

import json
import os
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.commands import kubectl, run, until

DOWN = os.environ.get("NODE_DOWN", "minikube node stop {name}")
UP = os.environ.get("NODE_UP", "minikube node start {name}")
LOSE = os.environ.get("NODE_LOSE", "")
"""Commands that cut a node's power, give it back, and cut it for a node that comes back without what was on its disks;
{name} is the node's, {number} counts from 1. minikube has none for the last one."""

APP, REDIS = "hello serve", "redis-server"


def on_node(name: str, script: str) -> str:
    """Run a script as root on a node; it must not hold a single quote."""
    return run("minikube", "ssh", "--node", name, "--", f"sudo sh -c '{script}'")


def primary() -> str:
    """The name of the node that carries the control plane."""
    return kubectl("get", "node", "--selector=minikube.k8s.io/primary=true", "--output=name").removeprefix("node/")


def node(number: int) -> str:
    """The name of the node of that number, from 1."""
    return kubectl("get", "node", "--output=name").split()[number - 1].removeprefix("node/")


def lose(number: int) -> None:
    """Cut a node's power, and let its disks be lost."""
    if not LOSE:
        missing = "NODE_LOSE names no command by which a node loses its disks"
        if "CI" in os.environ:
            pytest.fail(missing)
        pytest.skip(missing)
    run(*shlex.split(LOSE.format(name=node(number), number=number)))


def power(number: int, on: bool) -> None:
    """Cut a node's power, or give it back and wait until it is ready."""
    name = node(number)
    run(*shlex.split((UP if on else DOWN).format(name=name, number=number)))
    if on:
        kubectl("wait", f"node/{name}", "--for=condition=Ready", "--timeout=2m")


def running(*selection: str) -> list[dict[str, Any]]:
    """The pods that run and are not leaving, by selector and namespace."""
    items = json.loads(kubectl("get", "pod", *selection, "--output=json"))["items"]
    return [
        item for item in items if item["status"]["phase"] == "Running" and "deletionTimestamp" not in item["metadata"]
    ]


def ready(*selection: str) -> list[dict[str, Any]]:
    """Those of the running pods that are ready."""
    is_ready = "Ready", "True"
    return [
        pod
        for pod in running(*selection)
        if is_ready in [(condition["type"], condition["status"]) for condition in pod["status"]["conditions"]]
    ]


def restarts(name: str) -> int:
    """How often a pod's first container was started again."""
    told = kubectl("get", f"pod/{name}", "--output=jsonpath={.status.containerStatuses[0].restartCount}")
    return int(told or 0)


def started_again(name: str, before: int = 0) -> None:
    """Wait until a pod's container has been started again since it had been so often."""
    until(lambda: restarts(name) > before, f"{name} is started again")


def processes(pod: dict[str, Any], command: str) -> str:
    """The ids of a pod's processes that run a command, as its node counts them."""
    uid = pod["metadata"]["uid"].replace("-", "[-_]")
    return on_node(
        pod["spec"]["nodeName"],
        f"for id in $(grep -ls pod{uid} /proc/[0-9]*/cgroup | cut -d/ -f3); do "
        f'tr "\\000" " " 2>/dev/null </proc/$id/cmdline | grep -q "{command}" && echo $id; done; true',
    ).replace("\n", " ")


def _on_nodes_of(pods: list[dict[str, Any]], command: str, script: Callable[[str], str]) -> None:
    """Run on each pod's node a script made of its processes' ids, on all at once as far as that goes."""
    with ThreadPoolExecutor() as pool:
        ids = list(pool.map(lambda pod: processes(pod, command), pods))
        list(pool.map(lambda pod, ids: on_node(pod["spec"]["nodeName"], script(ids)), pods, ids))


def kill(pods: list[dict[str, Any]], command: str, signal: str = "KILL") -> None:
    """Send a signal to a command in each of the pods."""
    _on_nodes_of(pods, command, lambda ids: f"kill -{signal} {ids}")


def filter_packets(pods: list[dict[str, Any]], command: str, *rules: str) -> None:
    """Add or remove iptables rules (`-I INPUT …`) in the networks of pods that run a command."""

    def script(ids: str) -> str:
        return " && ".join(f"nsenter --target {ids.split()[0]} --net iptables {rule}" for rule in rules)

    _on_nodes_of(pods, command, script)


def forget(pods: list[dict[str, Any]]) -> None:
    """Drop what the visitors' node remembers of connections to dead pods: they may meet it (kubernetes#101607)."""
    for pod in pods:
        on_node(primary(), f"conntrack -D --reply-src {pod['status']['podIP']} 2>/dev/null; true")
