"""`make check`, in the cluster and outside it, during a rolling update: with the drain, and without it."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest

from tests.support.commands import ENVIRONMENT, RATE, ROOT, come, kubectl, make, pods, until

BUILD = ROOT / "build"
CHECK = "--selector=app.kubernetes.io/name=hello-check"


@pytest.fixture(scope="module", autouse=True)
def url() -> str:
    make("deploy")
    return make("url")


@pytest.fixture
def _without_the_drain() -> Iterator[None]:
    kubectl("set", "env", "deployment/hello-world", "HELLO_DRAIN=0")
    make("wait")
    until(lambda: len(pods()) == 3, "the pods with a drain leave")
    yield
    make("deploy")


def checks(url: str, report: Path) -> list[subprocess.Popen[str]]:
    """Begin `make check` in the cluster and outside it, and wait until visitors come."""
    report.parent.mkdir(exist_ok=True)
    options = f"--duration=45 --rate={RATE}"
    started = [
        subprocess.Popen(["make", "check", *words], cwd=ROOT, env=ENVIRONMENT, stdout=PIPE, stderr=STDOUT, text=True)
        for words in (["INSIDE=1", f"OPTIONS={options}"], [f"OPTIONS={options} --report={report}"])
    ]
    running = ("get", "pod", CHECK, "--field-selector=status.phase=Running", "--output=name")
    until(lambda: kubectl(*running) != "", "the one in the cluster runs")
    come(url)
    return started


def test_a_rolling_update_is_seen_to_lose_nothing(url: str) -> None:
    started = checks(url, BUILD / "with-drain.html")
    make("restart")
    for check in started:
        output, _ = check.communicate()
        assert check.returncode == 0, output
        assert re.fullmatch(
            r"Promise kept: .* visitors counted by 6 pods, none lost(, though nobody was answered for .* s)?\.",
            output.splitlines()[-1],
        ), output


def test_kubectl_alone_can_check_and_tell_the_verdict() -> None:
    job = kubectl("create", "--filename=manifests/check/job.yaml", "--output=name")
    kubectl("wait", job, "--for=condition=Complete", "--timeout=2m")
    assert "Promise kept: 1,000 visitors counted by 3 pods, none lost" in kubectl("logs", job)
    kubectl("delete", job)


@pytest.mark.usefixtures("_without_the_drain")
def test_without_the_drain_it_is_seen_to_lose_visits_and_when(url: str) -> None:
    started = checks(url, BUILD / "without-drain.html")
    make("restart")
    for check in started:
        output, _ = check.communicate()
        assert re.search(r"check\] Error 1$", output, re.MULTILINE), output
        assert re.search(r"^Visits lost: ", output, re.MULTILINE), output
    assert 'class="lost"' in (BUILD / "without-drain.html").read_text()
