"""What each line buys, as measured: the table of manifests/without/README.md."""

from collections.abc import Iterator

import pytest

from tests.support.tables import update_table
from tests.without.cluster import Outcome, namespace
from tests.without.lines import LINES, TWINS

ROWS: dict[str, tuple[Outcome, Outcome]] = {}
"""What was seen with each line, and without it."""

README = TWINS / "README.md"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write what was seen into the README's table, where it was as it should be, and print the table."""
    rows = {
        f"`{name}`": [LINES[name].experiment.__doc__ or "", whole.said, without.said]
        for name, (whole, without) in ROWS.items()
        if whole.well and not without.well
    }
    for line in update_table(README, rows) if rows else []:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def _namespace() -> Iterator[None]:
    with namespace():
        yield
