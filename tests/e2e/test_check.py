"""`make check`, in the cluster and outside it, during a rolling update: with the drain, and without it."""

import re
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import pytest

from tests.support.commands import ENVIRONMENT, RATE, ROOT, come, kubectl, make, until
from tests.support.deployment import end_leaving_pods

BUILD = ROOT / "build"
CHECK = "--selector=app.kubernetes.io/name=hello-check"


@pytest.fixture(scope="module", autouse=True)
def url() -> str:
    make("deploy")
    return make("url")


@pytest.fixture
def _without_the_drain() -> None:
    kubectl("set", "env", "deployment/hello-world", "HELLO_DRAIN=0")
    make("wait")
    end_leaving_pods()


def restart_seen(url: str, report: Path) -> list[tuple[int, str]]:
    """Replace the pods while `make check` visits in the cluster and outside it; both exit codes and reports."""
    report.parent.mkdir(exist_ok=True)
    options = f"--duration=45 --rate={RATE}"
    with ExitStack() as stack:
        checks = [
            stack.enter_context(
                Popen(["make", "check", *words], cwd=ROOT, env=ENVIRONMENT, stdout=PIPE, stderr=STDOUT, text=True)
            )
            for words in (["INSIDE=1", f"OPTIONS={options}"], [f"OPTIONS={options} --report={report}"])
        ]
        running = ("get", "pod", CHECK, "--field-selector=status.phase=Running", "--output=name")
        until(lambda: kubectl(*running) != "", "the one in the cluster runs")
        come(url)
        make("restart")
        outputs = [check.communicate()[0] for check in checks]
    return [(check.returncode, output) for check, output in zip(checks, outputs, strict=True)]


def test_a_rolling_update_is_seen_to_lose_nothing(url: str) -> None:
    for code, output in restart_seen(url, BUILD / "with-drain.html"):
        assert code == 0, output
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
    for _, output in restart_seen(url, BUILD / "without-drain.html"):
        assert re.search(r"check\] Error 1$", output, re.MULTILINE), output
        assert re.search(r"^Visits lost: ", output, re.MULTILINE), output
    assert 'class="lost"' in (BUILD / "without-drain.html").read_text()
