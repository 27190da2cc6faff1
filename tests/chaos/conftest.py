"""The fire's table, printed at the end; `--short` injects each fault once or twice only, and leaves some out."""

import json
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict

import pytest

from tests.chaos.cluster import DISKS, Release, deploy, disk_url, prepare, undeploy
from tests.chaos.fire import Fire, Row, Visitors
from tests.e2e.commands import ROOT

SEED = int(os.environ.get("SEED", random.randrange(1_000_000)))
FIRES: list[Fire] = []


def pytest_report_header() -> str:
    return f"random moments: SEED={SEED}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    line = terminalreporter.write_line
    line(f"{'fault':<58} {'times':>5} {'answers':>8} {'refused':>8} {'failed':>7} {'allowed':>7} {'broken':>7}")
    rows = [fire.row() for fire in FIRES]
    total = Row("in all", *(sum(getattr(row, name) for row in rows) for name in Row.__annotations__ if name != "fault"))
    for row in [*rows, total]:
        lost = f"{row.refused:>8} {row.failed:>7} {row.allowed:>7}"
        line(f"{row.fault:<58} {row.injected:>5} {row.answers:>8} {lost} {row.broken:>7}")
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    (build / "chaos.json").write_text(json.dumps([asdict(row) for row in rows], indent=2))


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
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Release]:
    """This version, and another one."""
    return prepare(tmp_path_factory.mktemp("other") / "root")


@pytest.fixture(scope="session")
def url(releases: list[Release]) -> Iterator[str]:
    """The URL of the counter, deployed as the faults need it."""
    yield deploy(releases[0])
    undeploy()


@pytest.fixture(scope="session")
def visitors(url: str) -> Iterator[Visitors]:
    """Who visits it from the first fault to the last."""
    with Visitors(url) as visitors:
        yield visitors


@pytest.fixture
def fire(request: pytest.FixtureRequest, visitors: Visitors, short: bool) -> Iterator[Fire]:
    """The fault that a test is named after; by the mark `disk` it is that of a counter on a small disk."""
    mark = request.node.get_closest_marker("disk")
    with Visitors(disk_url(*mark.args)) if mark else nullcontext(visitors) as those:
        fire = Fire(request.node.name.removeprefix("test_").replace("_", " "), those, short)
        fire.control()
        yield fire
        fire.end()
        FIRES.append(fire)
        keep_logs(request.node.name, *((mark.args[1:] or [DISKS]) if mark else []))
