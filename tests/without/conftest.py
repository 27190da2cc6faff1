"""What each line buys, as measured: the table of the README, printed at the end, line by line."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.commands import ROOT
from tests.without.cluster import namespace
from tests.without.experiments import Outcome
from tests.without.lines import LINES

ROWS: dict[str, tuple[Outcome, Outcome]] = {}
"""What was seen with each line, and without it."""

MEASURED = ROOT / "build/without.json"
"""The rows of all runs: a later one takes the place of an earlier one of the same line."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not ROWS:
        return
    rows = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    rows |= {name: [outcome.said for outcome in outcomes] for name, outcomes in ROWS.items()}
    MEASURED.write_text(json.dumps(rows, indent=2))
    write = terminalreporter.write_line
    write("| line | what is done | with it | without it |")
    write("| --- | --- | --- | --- |")
    for name, line in LINES.items():
        if name in rows:
            write(f"| `{name}` | {line.experiment.__doc__} | {' | '.join(rows[name])} |")


@pytest.fixture(scope="session", autouse=True)
def _namespace() -> Iterator[None]:
    with namespace():
        yield
