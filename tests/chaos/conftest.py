"""The fire's table, printed at the end; `--short` injects each fault once or twice only."""

import json
import os
import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.chaos.fire import Fire, Row
from tests.e2e.commands import ROOT, make

SEED = int(os.environ.get("SEED", random.randrange(1_000_000)))
ROWS: list[Row] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--short", action="store_true", help="inject each fault once or twice only")


def pytest_report_header() -> str:
    return f"random moments: SEED={SEED}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    line = terminalreporter.write_line
    line(f"{'fault':<58} {'times':>5} {'answers':>8} {'refused':>8} {'failed':>7} {'broken':>7}")
    total = Row("in all", *(sum(getattr(row, name) for row in ROWS) for name in Row.__annotations__ if name != "fault"))
    for row in [*ROWS, total]:
        line(f"{row.fault:<58} {row.injected:>5} {row.answers:>8} {row.refused:>8} {row.failed:>7} {row.broken:>7}")
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    (build / "chaos.json").write_text(json.dumps([asdict(row) for row in ROWS], indent=2))


@pytest.fixture(scope="session")
def times(request: pytest.FixtureRequest) -> "Times":
    return Times(request.config.getoption("--short"))


class Times:
    """How often to inject a fault."""

    def __init__(self, short: bool) -> None:
        self.short = short

    def __call__(self, full: int, short: int = 1) -> range:
        return range(short if self.short else full)


@pytest.fixture(scope="session")
def chance() -> random.Random:
    return random.Random(SEED)


@pytest.fixture(scope="session", autouse=True)
def _deployed() -> None:
    make("deploy")


@pytest.fixture
def url(_deployed: None) -> str:
    return make("url")


@pytest.fixture
def fire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fire]:
    fire = Fire(request.node.name.removeprefix("test_").replace("_", " "), tmp_path)
    yield fire
    expected = {mark.args[0] for mark in request.node.iter_markers("expected")}
    ROWS.append(fire.row(expected))
