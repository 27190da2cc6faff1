"""What is deployed on the cluster."""

from pathlib import Path

from tests.support.commands import kubectl, make

OF_REDIS = "--selector=app.kubernetes.io/name=redis"
OTHER_VERSION = "1000.0.0"


def manifest(root: Path) -> Path:
    """The kustomization that make deploys from a source tree."""
    return root / make("--no-print-directory", f"--directory={root}", "manifest")


def redis_ready() -> None:
    kubectl("rollout", "status", "statefulset/redis", "--timeout=3m")


def ready_endpoints(*namespace: str) -> int:
    """How many pods the Service sends visitors to."""
    ready = kubectl(
        *(*namespace, "get", "endpointslice", "--selector=kubernetes.io/service-name=hello-world"),
        "--output=jsonpath={.items[*].endpoints[*].conditions.ready}",
    )
    return ready.split().count("true")
