"""The history of a run: a record of each request, and a log of JSON lines that can be judged later."""

import json
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum, StrEnum
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, Self

NEVER = 2**63 - 1
"""A time in nanoseconds after any other."""


class Promise(IntEnum):
    """The six promises."""

    DISTINCT = 1
    DURABLE = 2
    EXACT = 3
    IN_ORDER = 4
    ONE_COUNTER = 5
    HONEST = 6


class Kind(StrEnum):
    """The ways to break a promise."""

    promise: Promise
    phrase: str

    def __new__(cls, value: str, promise: Promise, phrase: str) -> Self:
        kind = str.__new__(cls, value)
        kind._value_, kind.promise, kind.phrase = value, promise, phrase
        return kind

    GIVEN_TWICE = "given twice", Promise.DISTINCT, "numbers given twice"
    CACHED = "cached", Promise.DISTINCT, "answers from a cache (Age)"  # RFC 9111, section 5.1
    STORABLE = "storable", Promise.DISTINCT, "answers that a cache may keep (no Cache-Control: no-store)"
    FORGOTTEN = "forgotten", Promise.DURABLE, "reads that missed a number given before"
    NEW_EPOCH = "new epoch", Promise.DURABLE, "times the count started over"
    SKIPPED = "skipped", Promise.EXACT, "numbers skipped that no failed request explains"
    OUT_OF_ORDER = "out of order", Promise.IN_ORDER, "numbers out of order"
    READ_WENT_BACK = "read went back", Promise.IN_ORDER, "reads that went back"
    EPOCHS_IN_TURN = "epochs in turn", Promise.ONE_COUNTER, "counters that answer in turn"
    EARLIER_EPOCH = "earlier epoch", Promise.ONE_COUNTER, "returns to an earlier count"
    NO_NUMBER = "no number", Promise.HONEST, "answers of 200 without a number"
    CONTRADICTION = "contradiction", Promise.HONEST, "answers whose body and headers differ"
    NO_RETRY_AFTER = "no Retry-After", Promise.HONEST, "answers of 503 without Retry-After"


class Outcome(StrEnum):
    """What became of a request."""

    ANSWERED = "answered"  # 200 with a number
    UNAVAILABLE = "unavailable"  # 503
    NOT_MADE = "not made"  # due, but too many were under way
    REFUSED = "refused"  # no connection: refused
    NOT_SENT = "not sent"  # no connection: too many files are open here
    UNREACHABLE = "unreachable"  # no connection: no route, no TLS
    RESET = "reset"
    TIMEOUT = "timeout"
    CLOSED = "closed"  # before the answer was complete
    STATUS = "status"  # neither 200 nor 503
    MALFORMED = "malformed"  # a 200 without a number, or not HTTP
    INTERRUPTED = "interrupted"  # under way when the run was stopped
    STOOD_STILL = "stood still"  # no request, but a time in which the checker itself did not run


NEVER_COUNTED = {Outcome.ANSWERED, Outcome.NOT_MADE, Outcome.REFUSED, Outcome.NOT_SENT, Outcome.STOOD_STILL}
"""Visits with any other outcome may have been counted, though no number came back."""


class HistoryError(Exception):
    """A log has a line that is no record."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What many records have in common.

    read: it reads the count and is not counted itself.
    pod: the one that answered; for a request that failed on a kept connection, the one that had answered there before.
    kept: it may use a connection that was already open. said: the text of a 503.
    """

    outcome: Outcome
    read: bool = False
    status: int | None = None
    pod: str | None = None
    epoch: str | None = None
    flaw: Kind | None = None
    url: str | None = None
    kept: bool = False
    said: str | None = None

    @property
    def connection(self) -> str:
        return "kept" if self.kept else "fresh"

    @property
    def unknown(self) -> bool:
        """Whether the request may have been counted, though no number came back."""
        return not self.read and self.outcome not in NEVER_COUNTED


@lru_cache(10_000)
def shared(labels: Labels) -> Labels:
    """One instance for all equal labels: a million records have a few dozen."""
    return labels


class Record(NamedTuple):
    """One request and what became of it. Times are in nanoseconds of one monotonic clock.

    sent: when connecting began, or on a kept connection, writing. answered: when the body was complete, or it failed.
    number: the visitor's; for a read, the total. due: when a visit at a rate should have been sent.
    pods: for a read of the shares, how many numbers each pod has taken.
    """

    sent: int
    answered: int
    labels: Labels
    number: int | None = None
    due: int | None = None
    pods: Mapping[str, int] | None = None

    @property
    def outcome(self) -> Outcome:
        return self.labels.outcome

    @property
    def read(self) -> bool:
        return self.labels.read

    @property
    def pod(self) -> str | None:
        return self.labels.pod

    @property
    def since(self) -> int:
        """When the visitor began to wait."""
        return self.sent if self.due is None else self.due


_compact = partial(json.dumps, separators=(",", ":"))


class Log:
    """Writes each record to a file, until an error occurs; the run goes on."""

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self._file = path.open("wb", buffering=0)

    def keep(self, record: Record) -> None:
        if self.error is None:
            try:
                self._file.write(line(record).encode())
            except OSError as error:
                self.error = error

    def close(self) -> None:
        self._file.close()


def line(record: Record) -> str:
    due = "" if record.due is None else f',"due":{record.due}'
    number = "" if record.number is None else f',"number":{record.number}'
    pods = "" if record.pods is None else f',"pods":{_compact(dict(record.pods))}'
    return f'{{"sent":{record.sent},"answered":{record.answered}{due}{number}{pods},{_written(record.labels)}}}\n'


@lru_cache(10_000)
def _written(labels: Labels) -> str:
    return _compact({name: value for name, value in asdict(labels).items() if value not in (None, False)})[1:-1]


_LINE = re.compile(
    r'\{"sent":(\d{1,19}),"answered":(\d{1,19})(?:,"due":(\d{1,19}))?(?:,"number":(\d{1,19}))?'
    r'(?:,"pods":(\{(?:"(?:[^"\\]|\\.)*":-?\d+,?)*\}))?,("outcome":[^\n]*)\}\n?',
    re.ASCII,
)


class History:
    """The records of a log in the order in which they ended, in some fifty bytes each."""

    def __init__(self, log: Iterable[str]) -> None:
        """Read a log; its last line may be cut off."""
        self._sent, self._answered, self._due, self._number = (array("q") for _ in range(4))
        self._kind = array("L")
        self._labels: list[Labels] = []
        self._known: dict[str, int] = {}
        self._pods: dict[int, Mapping[str, int]] = {}
        for number, text in enumerate(log, 1):
            try:
                self._add(text)
            except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
                if text.endswith("\n") or not text.startswith('{"sent":'):
                    raise HistoryError(f"line {number} is not a record of hello check") from error

    def __len__(self) -> int:
        return len(self._kind)

    def __iter__(self) -> Iterator[tuple[Record, int, int]]:
        """Each record, when the first request that ends later was sent, and when the first such visit was due."""
        size, answered = len(self), self._answered
        order: Iterable[int] = range(size)
        if any(answered[index] < answered[index - 1] for index in range(1, size)):
            order = array("L", sorted(order, key=answered.__getitem__))
        oldest, waiting = self._horizons(order)
        for place, index in enumerate(order):
            yield self._record(index), oldest[place], waiting[place]

    def _horizons(self, order: Any) -> tuple["array[int]", "array[int]"]:
        oldest, waiting = array("q", [NEVER]) * len(self), array("q", [NEVER]) * len(self)
        first = visit = NEVER
        reads = [labels.read or labels.outcome is Outcome.STOOD_STILL for labels in self._labels]
        for place in range(len(self) - 1, -1, -1):
            oldest[place], waiting[place] = first, visit
            index = order[place]
            first = min(first, self._sent[index])
            if not reads[self._kind[index]]:
                visit = min(visit, self._due[index])
        return oldest, waiting

    def _record(self, index: int) -> Record:
        sent, due, number = self._sent[index], self._due[index], self._number[index]
        return Record(
            sent,
            self._answered[index],
            self._labels[self._kind[index]],
            None if number < 0 else number,
            None if due == sent else due,
            self._pods.get(index),
        )

    def _add(self, text: str) -> None:
        match = _LINE.fullmatch(text)
        if not match:
            raise ValueError(text)
        sent, answered = int(match[1]), int(match[2])
        due, number = int(match[3] or sent), int(match[4] or -1)
        kind = self._known.get(match[6])
        if kind is None:
            kind = self._known[match[6]] = len(self._labels)
            self._labels.append(_labels(match[6]))
        labels = self._labels[kind]
        if answered < sent or (number >= 0) != (labels.outcome is Outcome.ANSWERED):
            raise ValueError(text)
        if match[5]:
            self._pods[len(self)] = _printable(json.loads(match[5]))
        self._sent.append(sent)
        self._answered.append(answered)
        self._due.append(min(due, sent))
        self._number.append(number)
        self._kind.append(kind)


def _labels(text: str) -> Labels:
    values = _printable(json.loads(f"{{{text}}}"))
    values["outcome"] = Outcome(values["outcome"])
    if "flaw" in values:
        values["flaw"] = Kind(values["flaw"])  # type: ignore[call-arg]
    labels = shared(Labels(**values))
    if labels.outcome is Outcome.ANSWERED and labels.epoch is None:
        raise ValueError(text)
    return labels


def _printable(values: dict[str, Any]) -> dict[str, Any]:
    """Refuse names and values that could play tricks on a terminal."""
    if not "".join(map(str, (*values, *values.values()))).isprintable():
        raise ValueError(values)
    return values
