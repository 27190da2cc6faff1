"""The counter on minikube, as the README and the article have it, with visitors all the while.

The tests build on each other, in their order. They begin with `make purge`, and leave the counter deployed.
"""

from pathlib import Path

import pytest

from tests.support.commands import (
    COUNTER,
    MAY_BE_AWAY,
    OURS,
    ROOT,
    Visitors,
    come,
    kubectl,
    make,
    pods,
    run,
    total,
    until,
)
from tests.support.nodes import running

TOUR = ROOT / "manifests/tour"


@pytest.fixture(scope="module", autouse=True)
def _nothing_deployed() -> None:
    make("purge", answer="yes\n")
    make("no-tour")


@pytest.fixture(scope="module")
def visitors(tmp_path_factory: pytest.TempPathFactory) -> Visitors:
    return Visitors(tmp_path_factory.mktemp("visitors"))


@pytest.fixture
def url() -> str:
    return make("url")


def test_deploy_clears_the_tour_away_and_prints_the_url() -> None:
    kubectl("create", "-f", str(TOUR / "deployment.yaml"), "-f", str(TOUR / "service.yaml"))
    *steps, url = make("deploy").splitlines()
    assert "deployment.apps/hello-world created" in steps
    assert url == make("url")


def test_the_url_can_be_found_the_easy_way_and_the_hard_way(url: str) -> None:
    assert run("minikube", "service", "hello-world", "--url") == url
    ports = next(line.split()[4] for line in kubectl("get", "services").splitlines() if "hello-world" in line)
    node = kubectl("describe", "node", run("minikube", "profile").strip("* "))
    address = next(line.split()[1] for line in node.splitlines() if "InternalIP" in line)
    assert url == f"http://{address}:{ports.removeprefix('80:').removesuffix('/TCP')}"


def test_deploy_counts_no_visitor_itself(url: str, visitors: Visitors) -> None:
    assert total(url) == 0
    assert visitors.visit(url, 1) == (1, 1)


def test_a_second_deploy_of_the_same_replaces_no_pod() -> None:
    before = pods()
    make("deploy")
    assert pods() == before


def test_twenty_clients_get_each_number_once(url: str, visitors: Visitors) -> None:
    assert visitors.visit(url, 999) == (2, 1000)


def test_the_count_goes_on_after_every_pod_was_deleted(url: str, visitors: Visitors) -> None:
    kubectl("delete", "pod", OURS)
    make("wait")
    assert visitors.visit(url, 1) == (1001, 1001)


def test_scale_changes_the_number_of_pods() -> None:
    make("scale", "N=5")
    assert len(pods()) == 5
    make("scale", "N=3")
    until(lambda: len(running(COUNTER)) == 3, "two pods leave")


def test_undeploy_and_deploy_keep_the_count(url: str, visitors: Visitors) -> None:
    with visitors.watching(url, *MAY_BE_AWAY):
        make("undeploy")
    assert kubectl("get", "all,pvc,configmap,secret,pdb,networkpolicy", OURS, "--output=name") == ""
    for name in "secret/redis-password", "persistentvolume/hello-world-redis":
        assert kubectl("get", name, "--ignore-not-found", "--output=name") == ""
    kubectl("create", "-f", str(TOUR / "deployment.yaml"))  # a tour that ended half-way: still paused, and no Service
    url = make("deploy").splitlines()[-1]
    with visitors.watching(url):
        come(url)


def test_the_promise_was_kept_to_every_visitor_of_them_all(visitors: Visitors, tmp_path: Path) -> None:
    judged = visitors.judge()
    assert judged["kept"], judged
    assert len(judged["epochs"]) == 1
    assert judged["epochs"][0]["lowest"] == 1
