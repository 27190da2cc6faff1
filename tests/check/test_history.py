"""A log tells later exactly what the run saw."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hello.check.history import Flaw, HistoryError, Labels, Outcome, Record, read_records, write_record

TIMES = st.integers(0, 2**70)
NAMES = st.sampled_from(["", "hello-a", '"\\', "größe", " 世界"])


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    return draw(st.lists(records()))


@st.composite
def records(draw: st.DrawFn) -> Record:
    outcome = draw(st.sampled_from(Outcome))
    sent = draw(TIMES)
    answered = outcome is Outcome.ANSWERED
    labels = Labels(
        outcome,
        read=draw(st.booleans()),
        attempt=draw(st.integers(1, 9)),
        status=draw(st.none() | st.integers(100, 599)),
        pod=draw(st.none() | NAMES),
        epoch=draw(NAMES) if answered else None,
        flaw=draw(st.none() | st.sampled_from(Flaw)),
        url=draw(st.none() | NAMES),
        address=draw(st.none() | NAMES),
        kept=draw(st.booleans()),
    )
    return Record(sent, sent + draw(TIMES), labels, draw(st.integers(0, 2**70)) if answered else None)


@given(histories())
def test_what_is_written_is_read_back_exactly(history: list[Record]) -> None:
    log = io.StringIO(newline="\n")
    for seen in history:
        write_record(log, seen)
    log.seek(0)
    assert read_records(log) == history


GOOD = {"sent": 1, "answered": 2, "outcome": "answered", "number": 3, "epoch": "e"}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "3",
        100_000 * "[",
        100_000 * '{"sent":',
        json.dumps(GOOD)[:-1],
        json.dumps(GOOD | {"sent": 1.0}),
        json.dumps(GOOD | {"sent": True}),
        json.dumps(GOOD | {"sent": 3}),
        json.dumps(GOOD | {"outcome": "fine"}),
        json.dumps(GOOD | {"flaw": "ugly"}),
        json.dumps(GOOD | {"colour": "red"}),
        json.dumps(GOOD | {"pod": "\x1b[2J"}),
        json.dumps(GOOD | {"number": None}),
        json.dumps(GOOD | {"outcome": "reset"}),
        json.dumps({name: value for name, value in GOOD.items() if name != "number"}),
        json.dumps({name: value for name, value in GOOD.items() if name != "outcome"}),
    ],
)
def test_a_line_that_is_no_record_is_named(line: str) -> None:
    with pytest.raises(HistoryError, match="line 2 is not"):
        read_records([json.dumps(GOOD), line])


@pytest.mark.parametrize("outcome", Outcome)
def test_only_what_had_no_connection_is_known_not_to_have_counted(outcome: Outcome) -> None:
    known = Outcome.ANSWERED, Outcome.REFUSED, Outcome.NOT_SENT
    assert Labels(outcome).unknown == (outcome not in known)
    assert not Labels(outcome, read=True).unknown
