"""The counter in a namespace that enforces `restricted`, beside the default one's, which must be there."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import ENVIRONMENT, ROOT, kubectl, make, own_namespace, run
from tests.support.deployment import end_pods, purge

NAMESPACE = "hello-restricted"
VOLUME = f"hello-world-redis-{NAMESPACE}"
TOUR = ROOT / "manifests/tour"


@pytest.fixture
def _restricted(tmp_path: Path) -> Iterator[None]:
    kubectl("create", "namespace", NAMESPACE)
    kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    with own_namespace(NAMESPACE, tmp_path / "kubeconfig"):
        yield
        purge()
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
    end_pods()
    make("undeploy")
    assert not volume(VOLUME)
    assert volume("hello-world-redis") == other

    kubectl("create", "service", "clusterip", "redis", "--tcp=6379")
    refused = subprocess.run(["make", "deploy"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert "Service/redis" in refused.stderr
    kubectl("delete", "service", "redis")

    url = make("deploy").splitlines()[-1]
    assert "visitor 2," in run("curl", "--silent", url)
    end_pods()
    for verb in "delete", "create":
        kubectl(verb, "namespace", NAMESPACE)
    make("deploy")
    assert run("curl", "--silent", f"{make('url')}/count") == "2"


def volume(name: str) -> str:
    """What tells a volume from another one of that name."""
    return kubectl("get", "persistentvolume", name, "--ignore-not-found", "--output=jsonpath={.metadata.uid}")
