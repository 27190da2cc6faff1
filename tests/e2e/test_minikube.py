"""The counter on minikube, as the README and the article have it, with visitors all the while.

The tests build on each other, in their order. They begin with `make purge`, and leave the counter deployed.
"""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.commands import COUNTER, HELLO, OURS, ROOT, Visitors, come, is_up, kubectl, make, pods, run, total, until

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


def test_the_articles_commands_work_as_it_prints_them() -> None:
    make("load")
    kubectl("create", "-f", str(TOUR / "deployment.yaml"))
    assert kubectl("get", "pods", "--selector=app=myapp", "--output=name") == ""
    assert "hello-world" in kubectl("get", "deployments")
    kubectl("rollout", "resume", "deployment/hello-world")
    kubectl("rollout", "status", "deployment/hello-world", "--timeout=1m")
    kubectl("create", "-f", str(TOUR / "service.yaml"))
    url = run("minikube", "service", "hello-world", "--url")
    until(lambda: is_up(url), "the tour")
    assert [run("curl", "--silent", url).partition(",")[2].split(",")[0] for _ in "123"] == [
        " world! You are visitor 1",
        " world! You are visitor 2",
        " world! You are visitor 3",
    ]


def test_the_url_can_be_found_the_hard_way() -> None:
    ports = next(line.split()[4] for line in kubectl("get", "services").splitlines() if "hello-world" in line)
    node = kubectl("describe", "node", run("minikube", "profile").strip("* "))
    address = next(line.split()[1] for line in node.splitlines() if "InternalIP" in line)
    assert run("minikube", "service", "hello-world", "--url") == f"http://{address}:{ports[3:-4]}"


def test_the_tour_scaled_to_three_is_found_to_be_three_counters() -> None:
    kubectl("scale", "deployment/hello-world", "--replicas=3")
    kubectl("rollout", "status", "deployment/hello-world", "--timeout=1m")
    url = run("minikube", "service", "hello-world", "--url")
    until(lambda: len({run("curl", "--silent", url).split()[-1] for _ in range(10)}) == 3, "all three pods answer")
    check = subprocess.run([*HELLO, "check", url, "--requests=60"], stdout=subprocess.PIPE, text=True)
    assert check.returncode == 1
    assert "each for itself" in check.stdout.splitlines()[-1]


def test_deploy_clears_the_tour_away_and_prints_the_url() -> None:
    *steps, url = make("deploy").splitlines()
    assert "waiting for the pods" in steps
    assert url == make("url")


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


def test_scaling_up_and_down_fails_no_visitor(url: str, visitors: Visitors) -> None:
    with visitors.watching(url):
        make("scale", "N=5")
        assert len(pods()) == 5
        make("scale", "N=3")
        until(lambda: len(pods()) == 3, "two pods leave")
        come(url)


def test_the_loss_of_every_pod_fails_no_visitor(url: str, visitors: Visitors) -> None:
    with visitors.watching(url):
        kubectl("delete", "pod", COUNTER)
        make("wait")
        come(url)


def test_the_loss_of_redis_fails_no_visitor(url: str, visitors: Visitors) -> None:
    with visitors.watching(url):
        kubectl("delete", "pod", "redis-0")
        make("wait")
        come(url)


def test_a_rolling_update_fails_no_visitor(url: str, visitors: Visitors) -> None:
    before = pods()
    with visitors.watching(url):
        make("restart")
        until(lambda: len(pods()) == 3, "the old pods leave")
        come(url)
    assert not pods() & before


def test_undeploy_and_deploy_keep_the_count(url: str, visitors: Visitors) -> None:
    with visitors.watching(url, "--allow-lost=100%"):
        make("undeploy")
    assert kubectl("get", "all,pvc,pv,configmap,pdb,networkpolicy", OURS, "--output=name") == ""
    assert kubectl("get", "secret", "redis-password", "--ignore-not-found", "--output=name") == ""
    kubectl("create", "-f", str(TOUR / "deployment.yaml"))  # a tour that ended half-way: still paused, and no Service
    url = make("deploy").splitlines()[-1]
    with visitors.watching(url):
        come(url)


def test_the_promise_was_kept_to_every_visitor_of_them_all(visitors: Visitors, tmp_path: Path) -> None:
    judged = visitors.judge()
    assert judged["kept"], judged
    assert len(judged["epochs"]) == 1
    assert judged["epochs"][0]["lowest"] == 1
