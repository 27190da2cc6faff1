"""A log holds exactly what the run saw."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hello.check.history import NEVER, History, HistoryError, Kind, Labels, Outcome, Record, line

TIMES = st.integers(0, 2**61)
GOOD = Record(1, 2, Labels(Outcome.ANSWERED, epoch="e"), 3)
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
        status=draw(st.none() | st.integers(100, 599)),
        pod=draw(st.none() | NAMES),
        epoch=draw(NAMES) if answered else None,
        flaw=draw(st.none() | st.sampled_from(Kind)),
        url=draw(st.none() | NAMES),
        kept=draw(st.booleans()),
        said=draw(st.none() | NAMES),
    )
    number = draw(st.integers(0, 2**60)) if answered else None
    due = draw(st.none() | st.integers(0, sent - 1)) if sent else None
    pods = draw(st.none() | st.dictionaries(NAMES, st.integers(0, 2**60)))
    return Record(sent, sent + draw(TIMES), labels, number, due, pods)


@given(histories())
def test_what_is_written_is_read_back_exactly_in_the_order_of_its_end(history: list[Record]) -> None:
    read_back = [record for record, _, _ in History([line(record) for record in history])]
    assert read_back == sorted(history, key=lambda record: record.answered)


@given(histories())
def test_each_record_comes_with_the_time_since_when_others_wait_that_end_later(history: list[Record]) -> None:
    told = list(History([line(record) for record in history]))
    for place, (_, oldest, waiting) in enumerate(told):
        later = [record for record, _, _ in told[place + 1 :]]
        visits = [each for each in later if not each.read and each.outcome is not Outcome.STOOD_STILL]
        assert oldest == min((each.sent for each in later), default=NEVER)
        assert waiting == min((each.since for each in visits), default=NEVER)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "{",
        "[]",
        "3",
        line(GOOD).replace("}", ""),
        line(GOOD._replace(answered=0)),
        line(GOOD._replace(answered=10**300)),
        line(GOOD._replace(number=None)),
        line(GOOD._replace(labels=Labels(Outcome.RESET))),
        line(GOOD._replace(labels=Labels(Outcome.ANSWERED))),
        line(GOOD._replace(labels=Labels(Outcome.ANSWERED, epoch="e", pod="\x1b[2J"))),
        line(GOOD._replace(pods={"\x1b[2J": 1})),
        line(GOOD).replace(":1,", ":1.0,"),
        line(GOOD).replace('"answered",', '"fine",'),
        line(GOOD).replace("}", ',"flaw":"ugly"}'),
        line(GOOD).replace("}", ',"colour":"red"}'),
        line(GOOD).replace("}", ',"pod":' + 100_000 * "[" + "}"),
    ],
)
def test_a_line_that_is_no_record_is_named(bad: str) -> None:
    with pytest.raises(HistoryError, match="line 2 is not"):
        History([line(GOOD), bad.rstrip("\n") + "\n"])


@pytest.mark.parametrize("length", range(1, len(line(Record(1, 2, Labels(Outcome.RESET)))) - 2))
def test_a_last_line_that_is_cut_is_left_out(length: int) -> None:
    whole = line(Record(1, 2, Labels(Outcome.RESET)))
    if length >= len('{"sent":'):
        assert len(History([whole, whole[:length]])) == 1
    with pytest.raises(HistoryError, match="line 2 is not"):
        History([whole, whole[:length] + "\n"])
