"""The counter on minikube, as the README and the article have it, with visitors all the while.

The tests build on each other, in their order. They begin with `make purge`, and leave the counter deployed.
"""

import json
import subprocess
import sys
from pathlib import Path
from signal import SIGINT
from typing import Any

import pytest

from tests.support.commands import COUNTER, OURS, RATE, ROOT, come, kubectl, make, pods, run, total, until
from tests.support.deployment import purge
from tests.support.nodes import running

TOUR = ROOT / "manifests/tour"
MAY_BE_AWAY = ("--allow-lost=100%", "--allow-gap=3600")
"""Options of a run in which the counter is taken away, or of several that are judged as one."""


class Visitors:
    """Runs of `hello check`, whose records are all kept, to be judged as one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.logs: list[Path] = []

    def check(self, url: str, *options: str) -> subprocess.Popen[str]:
        """Begin a run."""
        log = self.directory / f"{len(self.logs)}.log"
        self.logs.append(log)
        return check(url, f"--log={log}", *options)

    def visit(self, url: str, visits: int) -> tuple[int, int]:
        """Let visitors come, and nobody else; the lowest and the highest number given."""
        with self.check(url, "--alone", f"--requests={visits}", "--rate=150") as process:
            (epoch,) = report(process)["epochs"]
        assert epoch["answers"] == visits
        return epoch["lowest"], epoch["highest"]

    def judge(self) -> dict[str, Any]:
        """Judge all runs as one."""
        together = self.directory / "all.log"
        together.write_text("".join(log.read_text() for log in self.logs))
        with check("--alone", *MAY_BE_AWAY, f"--judge={together}") as process:
            return report(process)


def check(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hello", "check", "--json", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def report(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a run reports, which must have found nothing wrong."""
    output, _ = process.communicate()
    assert process.returncode == 0, output
    told: dict[str, Any] = json.loads(output)
    return told


@pytest.fixture(scope="module", autouse=True)
def _nothing_deployed() -> None:
    purge()
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
    with visitors.check(url, "--duration=120", f"--rate={RATE}", *MAY_BE_AWAY) as process:
        come(url)
        make("undeploy")
        process.send_signal(SIGINT)
        report(process)
    assert kubectl("get", "all,pvc,configmap,secret,pdb,networkpolicy", OURS, "--output=name") == ""
    for name in "secret/redis-password", "persistentvolume/hello-world-redis":
        assert kubectl("get", name, "--ignore-not-found", "--output=name") == ""
    kubectl("create", "-f", str(TOUR / "deployment.yaml"))  # a tour that ended half-way: still paused, and no Service
    url = make("deploy").splitlines()[-1]
    lowest, _ = visitors.visit(url, 100)
    assert lowest > 1001


def test_the_promise_was_kept_to_every_visitor_of_them_all(visitors: Visitors, tmp_path: Path) -> None:
    judged = visitors.judge()
    assert judged["kept"], judged
    assert len(judged["epochs"]) == 1
    assert judged["epochs"][0]["lowest"] == 1
