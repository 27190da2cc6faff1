"""What a run saw: a record of each request, and the log of JSON lines that keeps them for a later judgement."""

import json
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum, StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

NEVER = 2**63 - 1
"""Nanoseconds: later than anything that happens."""


class Promise(IntEnum):
    """The six promises."""

    DISTINCT = 1
    DURABLE = 2
    EXACT = 3
    IN_ORDER = 4
    ONE_COUNTER = 5
    HONEST = 6


class Kind(StrEnum):
    """The ways to break a promise, in the order of the promises."""

    promise: Promise
    phrase: str

    def __new__(cls, value: str, promise: Promise, phrase: str) -> Self:
        """Make one with its promise, and with what is said of it."""
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
    NOT_MADE = "not made"  # due, but as many were under way as may be
    REFUSED = "refused"  # no connection: refused
    NOT_SENT = "not sent"  # no connection: this machine had no file left for one
    UNREACHABLE = "unreachable"  # no connection: no route, no TLS
    RESET = "reset"
    TIMEOUT = "timeout"
    CLOSED = "closed"  # before the answer was whole
    STATUS = "status"  # neither 200 nor 503
    MALFORMED = "malformed"  # a 200 without a number, or not HTTP
    INTERRUPTED = "interrupted"  # under way when the run was stopped
    STOOD_STILL = "stood still"  # no request: the time in which the checker itself did not run


NEVER_COUNTED = {
    Outcome.ANSWERED,
    Outcome.NOT_MADE,
    Outcome.REFUSED,
    Outcome.NOT_SENT,
    Outcome.STOOD_STILL,
}
"""What leaves no doubt: all others may have been counted, though no number came back."""


class HistoryError(Exception):
    """A log that cannot be read; the message names the line."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What many records have in common.

    read: a read of the count, which is not counted.
    pod: who answered; of a request that failed on a kept connection, who had answered on it before.
    url: where it was sent; address: to which of several that the name has.
    kept: it may have come over a connection that was open already. said: what a 503 said.
    """

    outcome: Outcome
    read: bool = False
    status: int | None = None
    pod: str | None = None
    epoch: str | None = None
    flaw: Kind | None = None
    url: str | None = None
    address: str | None = None
    kept: bool = False
    said: str | None = None

    @property
    def unknown(self) -> bool:
        """Whether such a request may have been counted, though no number came back."""
        return not self.read and self.outcome not in NEVER_COUNTED


@lru_cache(10_000)
def shared(labels: Labels) -> Labels:
    """The one instance of equal labels: a million records have some dozens."""
    return labels


class Record(NamedTuple):
    """One request and what became of it. Times are integer nanoseconds of one monotonic clock.

    sent: when its connection attempt began, or on a kept connection its writing.
    answered: when its body was whole, or it had failed.
    number: the visitor's; of a read, the total. due: when it should have been sent, if a clock decided.
    pods: of a read that asked for them, how many numbers each pod has taken.
    """

    sent: int
    answered: int
    labels: Labels
    number: int | None = None
    due: int | None = None
    pods: Mapping[str, int] | None = None

    @property
    def outcome(self) -> Outcome:
        """What became of it."""
        return self.labels.outcome

    @property
    def read(self) -> bool:
        """Whether it is a read of the count."""
        return self.labels.read

    @property
    def pod(self) -> str | None:
        """Who answered it."""
        return self.labels.pod

    @property
    def since(self) -> int:
        """When its visitor began to wait."""
        return self.sent if self.due is None else self.due


class Log:
    """A file that gets a line for each record, up to the first error, which ends the log but not the run."""

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        """Why the file does not hold all records."""
        self._file = path.open("w", buffering=1, encoding="utf-8")

    def keep(self, record: Record) -> None:
        """Write a record."""
        if self.error is None:
            try:
                self._file.write(line(record))
            except OSError as error:
                self.error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()
        except OSError as error:
            self.error = self.error or error


def line(record: Record) -> str:
    """A record as a line of the log; what is as by default is left out."""
    due = "" if record.due is None else f',"due":{record.due}'
    number = "" if record.number is None else f',"number":{record.number}'
    pods = "" if record.pods is None else f',"pods":{json.dumps(dict(record.pods))}'
    return f'{{"sent":{record.sent},"answered":{record.answered}{due}{number}{pods},{_written(record.labels)}}}\n'


_DEFAULTS = {field.name: field.default for field in fields(Labels)}


@lru_cache(10_000)
def _written(labels: Labels) -> str:
    values = {name: value for name, default in _DEFAULTS.items() if (value := getattr(labels, name)) != default}
    return json.dumps(values, separators=(",", ":"))[1:-1]


class History:
    """The records of a log, in some fifty bytes each; they come out in the order in which they ended."""

    def __init__(self, log: Iterable[str]) -> None:
        """Read a log, whose last line may be cut; HistoryError for the first line that is no record."""
        self._sent, self._answered, self._due, self._number = (array("q") for _ in range(4))
        self._kind = array("L")
        self._labels: list[Labels] = []
        self._known: dict[str, int] = {}
        self._pods: dict[int, Mapping[str, int]] = {}
        for number, text in enumerate(log, 1):
            try:
                self._add(text)
            except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
                if text.endswith("\n") or not text.startswith('{"sent":') or isinstance(error, RecursionError):
                    raise HistoryError(f"line {number} is not a record of hello check") from error

    def __len__(self) -> int:
        return len(self._sent)

    def __iter__(self) -> Iterator[tuple[Record, int, int]]:
        """Each record; since when the oldest request waits that ends later; and the same of visits alone."""
        size, answered = len(self), self._answered
        order: Iterable[int] = range(size)
        if any(answered[index] < answered[index - 1] for index in range(1, size)):
            order = array("L", sorted(order, key=answered.__getitem__))
        oldest, waiting = self._horizons(order)
        for place, index in enumerate(order):
            yield self._record(index), oldest[place], waiting[place]

    def _horizons(self, order: Any) -> tuple["array[int]", "array[int]"]:
        """For each record, from when on those that end later were sent, and the visits among them were due."""
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
        pods = None
        match = _LINE.fullmatch(text)
        kind = self._known.get(match[5]) if match else None
        if match and kind is not None:
            sent, answered = int(match[1]), int(match[2])
            due, number = int(match[3] or sent), int(match[4] or -1)
        else:
            sent, answered, due, number, pods, rest = _parse(text)
            kind = self._known.get(rest)
        if kind is None:
            kind = self._known[rest] = len(self._labels)
            self._labels.append(_labels(json.loads(f"{{{rest}}}")))
        labels = self._labels[kind]
        numbered = labels.outcome is Outcome.ANSWERED
        if answered < sent or (number >= 0) != numbered or (labels.epoch is None and numbered):
            raise ValueError(text)
        if pods is not None:
            self._pods[len(self)] = pods
        self._number.append(number)
        self._kind.append(kind)
        self._due.append(min(due, sent))
        self._answered.append(answered)
        self._sent.append(sent)


_LINE = re.compile(
    r'\{"sent":(-?\d{1,18}),"answered":(-?\d{1,18})(?:,"due":(-?\d{1,18}))?(?:,"number":(\d{1,18}))?,'
    r'("outcome":[^\n]*)\}\n?',
    re.ASCII,
)
"""A line as `line` writes it, but for the reads of pods."""


def _parse(text: str) -> tuple[int, int, int, int, dict[str, int] | None, str]:
    values: dict[str, Any] = json.loads(text)
    sent, answered = values.pop("sent"), values.pop("answered")
    due, number, pods = values.pop("due", sent), values.pop("number", -1), values.pop("pods", None)
    if {type(value) for value in (sent, answered, due, number, *(pods or {}).values())} != {int}:
        raise TypeError(text)
    if not all(name.isprintable() for name in pods or ()):
        raise ValueError(text)
    sent, answered, due, number = (max(-NEVER, min(value, NEVER)) for value in (sent, answered, due, number))
    return sent, answered, due, number, pods, json.dumps(values, separators=(",", ":"))[1:-1]


def _labels(values: dict[str, Any]) -> Labels:
    values.pop("attempt", None)  # an earlier version's: which one of a visit's it was
    for name, value in values.items():
        if type(value) is not _TYPES[name] or (isinstance(value, str) and not value.isprintable()):
            raise TypeError(name)
    values["outcome"] = Outcome(values["outcome"])
    if "flaw" in values:
        values["flaw"] = _FLAWS.get(values["flaw"]) or Kind(values["flaw"])  # type: ignore[call-arg]
    return shared(Labels(**values))


_TYPES = {name: bool if name in ("read", "kept") else int if name == "status" else str for name in _DEFAULTS}
_FLAWS = {
    "out of a cache: its Age is above 0": Kind.CACHED,
    "a cache may keep it: no Cache-Control: no-store": Kind.STORABLE,
    "200 without a number": Kind.NO_NUMBER,
    "body and headers differ": Kind.CONTRADICTION,
    "503 without Retry-After": Kind.NO_RETRY_AFTER,
}
"""What an earlier version called them."""
