"""What is deployed on the cluster."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hello
from tests.support.commands import COUNTER, OURS, ROOT, kubectl, make, pods
from tests.support.nodes import running

OF_REDIS = "--selector=app.kubernetes.io/name=redis"
OTHER_VERSION = "1000.0.0"


def copy_source(root: Path) -> None:
    """Copy this source tree to another place."""
    left = shutil.ignore_patterns(".git", ".venv", "build", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, root, ignore=left, dirs_exist_ok=True)


def other_version(root: Path) -> None:
    """Copy this source tree to another place, as another version."""
    copy_source(root)
    file = root / "hello/__init__.py"
    file.write_text(file.read_text().replace(hello.__version__, OTHER_VERSION))


def manifest(root: Path) -> Path:
    """The kustomization that make deploys from a source tree."""
    return root / make("--no-print-directory", f"--directory={root}", "manifest")


def end_pods() -> None:
    """Delete what makes our pods, and the pods, without waiting for their drain."""
    kubectl("delete", "deployment,statefulset", OURS)
    kubectl("delete", "pod", OURS, "--grace-period=1")


def end_leaving_pods() -> None:
    """Take away the counter's pods that are leaving, without waiting for their drain."""
    there = {f"pod/{pod['metadata']['name']}" for pod in running(COUNTER)}
    if leaving := pods() - there:
        kubectl("delete", "--grace-period=1", "--ignore-not-found", *leaving)


def purge() -> None:
    """Remove the counter and its count."""
    end_pods()
    make("purge", answer="yes\n")


def redis_ready() -> None:
    kubectl("rollout", "status", "statefulset/redis", "--timeout=3m")


def ready_replicas(statefulset: str, *namespace: str) -> int:
    """How many pods of a store are ready."""
    told = kubectl(*namespace, "get", f"statefulset/{statefulset}", "--output=jsonpath={.status.readyReplicas}")
    return int(told or 0)


def ready_endpoints(*namespace: str) -> int:
    """How many pods the Service sends visitors to."""
    ready = kubectl(
        *(*namespace, "get", "endpointslice", "--selector=kubernetes.io/service-name=hello-world"),
        "--output=jsonpath={.items[*].endpoints[*].conditions.ready}",
    )
    return ready.split().count("true")


@contextmanager
def default_class() -> Iterator[None]:
    """Let the default class of volumes be one that serves several nodes, as minikube's own does not."""
    classes = "csi-hostpath-sc", "standard"
    _choose_class(*classes)
    try:
        yield
    finally:
        _choose_class(*reversed(classes))


def _choose_class(name: str, other: str) -> None:
    for each, value in (other, "false"), (name, "true"):
        kubectl("annotate", "--overwrite", "storageclass", each, f"storageclass.kubernetes.io/is-default-class={value}")
