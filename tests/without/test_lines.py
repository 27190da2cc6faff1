"""With all lines nothing is lost, whatever is done; without one, what it is there for is lost.

All experiments with the whole manifest come first, each once, so that it is deployed once.
"""

from collections.abc import Callable

import pytest

from tests.without.cluster import Outcome, deploy, settle
from tests.without.conftest import ROWS
from tests.without.lines import LINES, Line

WHOLE: dict[Callable[[], Outcome], Outcome] = {}
"""What was seen with all lines, by experiment."""

each_line = pytest.mark.parametrize(
    "line",
    [pytest.param(line, id=line.name, marks=[] if line.quick else [pytest.mark.long]) for line in LINES.values()],
)


@each_line
def test_with_all_lines_nothing_is_lost(line: Line) -> None:
    if line.experiment not in WHOLE:
        deploy(None)
        settle()
        WHOLE[line.experiment] = line.experiment()
    assert WHOLE[line.experiment].well, WHOLE[line.experiment]


@each_line
def test_without_the_line_it_is_lost(line: Line) -> None:
    deploy(line.name)
    if line.serves:
        settle()
    outcome = line.experiment()
    ROWS[line.name] = WHOLE[line.experiment], outcome
    assert not outcome.well, outcome
