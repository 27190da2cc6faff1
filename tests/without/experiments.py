"""What is done to the counter to see what a line buys: each docstring says it.

Each is done to a counter that serves, and gives what was seen.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.commands import COUNTER, OURS, ROOT, kubectl, make, pods, until
from tests.support.deployment import (
    OF_REDIS,
    OTHER_VERSION,
    manifest,
    other_version,
    ready_endpoints,
    redis_ready,
)
from tests.support.nodes import APP, REDIS, kill, on_node, primary, ready, running
from tests.without.cluster import KUSTOMIZATION, NAMESPACE, Outcome, proxied, tried, visited

DEPLOYMENT = "deployment/hello-world"

PATIENCE = 90
"""Seconds for which something is waited for that may never come."""


# ---- with visitors ----


@visited
def replace_pods() -> None:
    """All pods are replaced, one after the other."""
    kubectl("rollout", "restart", DEPLOYMENT)
    _old_pods_leave()


@visited
def replace_redis() -> None:
    """Redis' pod is deleted, and another one comes."""
    kubectl("delete", "pod", "redis-0")
    redis_ready()
    time.sleep(3)  # visitors come to what it knows


@visited
def freeze_redis() -> None:
    """Redis is frozen for 8 s."""
    with _frozen(running(OF_REDIS), REDIS):
        time.sleep(8)  # it takes most of that to be seen
    time.sleep(3)  # the pods are ready again


@visited
def replace_pods_in_an_outage() -> None:
    """All pods are deleted while Redis is frozen for 5 s."""
    with _frozen(running(OF_REDIS), REDIS):
        kubectl("delete", "pod", COUNTER, "--wait=false")
        time.sleep(5)
    _old_pods_leave()


@visited
def visit() -> None:
    """Visitors come."""
    time.sleep(5)


@visited
def look_elsewhere() -> None:
    """A rollout to pods that look for Redis under a wrong name."""
    kubectl("set", "env", DEPLOYMENT, "REDIS=elsewhere")
    _becomes(lambda: _rolled_out(1), 20)
    time.sleep(12)  # what a visitor waits for a store, and some


@visited
def drain_nodes() -> None:
    """`kubectl drain`, where no other node has room."""
    nodes = kubectl("get", "node", "--field-selector=spec.unschedulable=false", "--output=name").split()
    selector = f"--pod-selector=app.kubernetes.io/instance={NAMESPACE},app.kubernetes.io/name=hello-world"
    try:
        tried("kubectl", "drain", *nodes, "--ignore-daemonsets", "--delete-emptydir-data", selector, "--timeout=25s")
        time.sleep(3)  # visitors come to what is left
    finally:
        kubectl("uncordon", *nodes)


# ---- without ----


def start() -> Outcome:
    """Redis is started."""
    kubectl("delete", "pod", "redis-0", "--wait=false")
    _becomes(lambda: _failing("redis-0") is not None or ready(OF_REDIS) != [], PATIENCE)
    reason = _failing("redis-0")
    return Outcome(reason is None, f"It does not start: {reason}." if reason else "It starts.")


def break_rollout() -> Outcome:
    """With four pods, a rollout to an image that is not there."""
    kubectl("scale", DEPLOYMENT, "--replicas=4")
    _rollout_ends()
    kubectl("set", "image", DEPLOYMENT, "hello-world=hello-counter:none")
    until(lambda: _failing("hello-world") is not None, "the image is missed")
    left = ready_endpoints()
    return Outcome(left == 4, f"{left} pods serve.")


def release() -> Outcome:
    """Another version is deployed."""
    with TemporaryDirectory() as directory:
        other = Path(directory) / "other"
        other_version(other)
        (other / "build/without").mkdir(parents=True)
        shutil.copy(KUSTOMIZATION, other / "build/without")
        try:
            make(f"--directory={other}", "load")
            manifest(other)
            kubectl("apply", f"--kustomize={other / KUSTOMIZATION.parent.relative_to(ROOT)}")
            _rollout_ends()
            serves = kubectl("exec", DEPLOYMENT, "--", "hello", "--version").split()[-1]
        finally:
            until(_loaded, "latest is ours again")
    return Outcome(serves == OTHER_VERSION, f"Version {serves} serves.")


def freeze() -> Outcome:
    """A pod's process is frozen (SIGSTOP)."""
    began = time.monotonic()
    with _frozen(running(COUNTER)[:1], APP):
        until(lambda: ready_endpoints() == 2, "it is seen")
        mended = _becomes(lambda: ready_endpoints() == 3, PATIENCE)
        seconds = time.monotonic() - began
    return Outcome(mended, f"{'Three pods serve' if mended else 'Two pods serve, still'} after {seconds:.0f} s.")


def ask_redis() -> Outcome:
    """A stranger's pod asks Redis."""
    command = ("redis-cli", "-h", "redis", "-t", "3", "--user", "probe", "--pass", "any", "--no-auth-warning", "ping")
    tried("kubectl", "run", "stranger", "--image=redis:8.2", "--restart=Never", "--command", "--", *command)
    try:
        kubectl(
            "wait", "pod/stranger", "--for=jsonpath={.status.containerStatuses[0].state.terminated}", "--timeout=1m"
        )
        answered = kubectl("logs", "stranger") == "PONG"
    finally:
        kubectl("delete", "pod", "stranger", "--grace-period=1")
    return Outcome(not answered, "It is answered." if answered else "It is not answered.")


def lose_node() -> Outcome:
    """Nothing is heard any more from a node with a pod (its kubelet is frozen)."""
    victims = {pod["spec"]["nodeName"] for pod in running(COUNTER)} - {primary()}
    assert victims, "this needs two nodes: minikube delete, minikube start --nodes=2"
    victim = victims.pop()
    with _kubelet_frozen(victim):
        kubectl("wait", f"node/{victim}", "--for=condition=Ready=Unknown", "--timeout=2m")
        began = time.monotonic()
        replaced = _becomes(
            lambda: len([pod for pod in ready(COUNTER) if pod["spec"]["nodeName"] != victim]) == 3, PATIENCE
        )
        seconds = time.monotonic() - began
    kubectl("wait", f"node/{victim}", "--for=condition=Ready", "--timeout=2m")
    how = "It is replaced" if replaced else "It is not replaced,"
    return Outcome(replaced, f"{how} {seconds:.0f} s after the node is given up.")


@contextmanager
def _kubelet_frozen(node: str) -> Iterator[None]:
    """Freeze the kubelet of a node, which is the one in the network of its shell."""
    here = "for id in $(pgrep -x kubelet); do [ /proc/$id/ns/net -ef /proc/self/ns/net ] && kill -{} $id; done; true"
    on_node(node, here.format("STOP"))
    try:
        yield
    finally:
        on_node(node, here.format("CONT"))


def enforce_restricted() -> Outcome:
    """The namespace is to enforce Pod Security's restricted."""
    level = "pod-security.kubernetes.io/enforce=restricted"
    labelled = tried("kubectl", "label", "namespace", NAMESPACE, level, "--dry-run=server", errors=subprocess.STDOUT)
    forbidden = [line.rpartition(": ")[2] for line in labelled.stdout.splitlines() if ": hello-world-" in line]
    return Outcome(not forbidden, f"Its pods are forbidden: {forbidden[0]}." if forbidden else "Its pods are allowed.")


def write_file() -> Outcome:
    """Somebody in a pod writes a file."""
    written = not _in_a_pod("touch", "/tmp/file").returncode
    return Outcome(not written, "It is there." if written else "The file system is read-only.")


def read_token() -> Outcome:
    """Somebody in a pod looks for a key to the cluster."""
    found = not _in_a_pod("test", "-s", "/var/run/secrets/kubernetes.io/serviceaccount/token").returncode
    return Outcome(not found, "A token is there." if found else "None is there.")


def read_metrics() -> Outcome:
    """A visitor asks for /metrics."""
    told = not tried("kubectl", "get", "--raw", proxied("/metrics")).returncode
    return Outcome(not told, "They are told." if told else "404: they are not told.")


def take_memory() -> Outcome:
    """A process in a pod takes 400 MiB."""
    taken = not _in_a_pod("python", "-c", "bytes(400 << 20).replace(bytes(1), bytes([1]))").returncode
    return Outcome(not taken, "It has them." if taken else "It is killed.")


# ---- steps ----


@contextmanager
def _frozen(pods: list[dict[str, Any]], command: str) -> Iterator[None]:
    """Freeze the processes of pods that run a command."""
    kill(pods, command, "STOP")
    try:
        yield
    finally:
        kill(pods, command, "CONT")


def _becomes(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds; whether it ever did."""
    with suppress(AssertionError):
        until(condition, "", seconds)
        return True
    return False


def _in_a_pod(*command: str) -> subprocess.CompletedProcess[str]:
    return tried("kubectl", "exec", DEPLOYMENT, "--", *command)


def _rolled_out(seconds: int) -> bool:
    return not tried("kubectl", "rollout", "status", DEPLOYMENT, f"--timeout={seconds}s").returncode


def _old_pods_leave() -> None:
    _rollout_ends()
    until(lambda: len(pods()) == 3, "the old pods have left")


def _rollout_ends() -> Outcome:
    """Wait for the end of a rollout, or for a pod that fails."""
    ended = _becomes(lambda: _failing("hello-world") is not None or _rolled_out(1), PATIENCE)
    reason = _failing("hello-world")
    if reason or not ended:
        return Outcome(False, f"The rollout does not end: {reason}.")
    return Outcome(True, "The rollout ends.")


def _failing(name: str) -> str | None:
    """Why a container of the pods whose names begin so does not run: its last line, or what it waits for."""
    for pod in json.loads(kubectl("get", "pod", OURS, "--output=json"))["items"]:
        if not pod["metadata"]["name"].startswith(name):
            continue
        for status in pod["status"].get("containerStatuses", []):
            waiting = status["state"].get("waiting", {}).get("reason", "")
            if not status["ready"] and (status["restartCount"] or waiting.startswith("Err")):
                return _last_words(pod["metadata"]["name"]) or waiting or "it was killed"
    return None


def _loaded() -> bool:
    """Put our image on the nodes; whether that was done. They tell some seconds late that they have another one."""
    word = "loading" if shutil.which("docker") else "building"
    return any(line.startswith(word) for line in make("load").splitlines())


def _last_words(pod: str) -> str:
    """The last line that was logged in a pod, if it was kept: by the container before, or by the one of now."""
    for container in ["--previous"], []:
        logged = tried("kubectl", "logs", pod, "--tail=1", *container).stdout.strip()
        if logged and not logged.startswith("unable to retrieve"):
            return logged
    return ""
