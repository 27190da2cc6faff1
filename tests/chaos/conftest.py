"""What the faults share. `--short` injects each fault once or twice only, and leaves some out."""

import os
import random
import re
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.chaos.cluster import DISK, deploy, disk_url, prepare, undeploy
from tests.chaos.fire import Fire, Visitors
from tests.support.commands import ROOT
from tests.support.tables import update_table

SEED = int(os.environ.get("SEED", random.randrange(1_000_000)))
FIRES: dict[pytest.Function, Fire] = {}
README = Path(__file__).with_name("README.md")


def pytest_report_header() -> str:
    return f"random moments: SEED={SEED}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the faults that cost no more than they may into the README's tables, and print these."""
    failed = {report.nodeid for report in terminalreporter.stats.get("failed", [])}
    for heading in sorted({item.module.TABLE for item in FIRES}):
        fires = [fire for item, fire in FIRES.items() if heading == item.module.TABLE and item.nodeid not in failed]
        for line in update_table(README, {fire.name: fire.figures() for fire in fires}, heading):
            terminalreporter.write_line(line)


def keep_logs(name: str, *namespace: str) -> None:
    """Keep what the pods that are still there have logged, under build/chaos: why a visitor was refused, say."""
    directory = ROOT / "build" / "chaos"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{name}.log").open("w") as file:
        subprocess.run(
            ["kubectl", *namespace, "logs", "--selector=app.kubernetes.io/name", "--prefix", "--tail=500"], stdout=file
        )


@pytest.fixture(scope="session")
def short(request: pytest.FixtureRequest) -> bool:
    value: bool = request.config.getoption("--short")
    return value


@pytest.fixture(scope="session")
def chance() -> random.Random:
    return random.Random(SEED)


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The source trees of this version and another one."""
    return prepare(tmp_path_factory.mktemp("other") / "root")


@pytest.fixture(scope="session")
def url(releases: dict[str, Path]) -> Iterator[str]:
    """The URL of the counter, deployed as the faults need it."""
    yield deploy()
    undeploy()


@pytest.fixture(scope="module")
def visitors(url: str) -> Iterator[Visitors]:
    """Who visits it from a module's first fault to its last."""
    with Visitors(url) as visitors:
        yield visitors


def title(test: str) -> str:
    """What a fault is called in the table: `test_redis_killed_with_9` is "Redis killed (SIGKILL)"."""
    words = re.sub(r"\[(.*)\]", r" \1", test.removeprefix("test_")).replace("_", " ")
    for word, spelling in ("redis", "Redis"), ("dns", "DNS"), ("with 9", "(SIGKILL)"):
        words = words.replace(word, spelling)
    return words


@pytest.fixture
def fire(request: pytest.FixtureRequest, visitors: Visitors, short: bool) -> Iterator[Fire]:
    """The fault that a test is named after; by the mark `disk` it is that of the counter on a small disk."""
    disk = request.node.get_closest_marker("disk")
    with Visitors(disk_url()) if disk else nullcontext(visitors) as those:
        fire = Fire(title(request.node.name), those, short)
        fire.control()
        yield fire
        fire.end()
        FIRES[request.node] = fire
        keep_logs(request.node.name, *([DISK] if disk else []))
