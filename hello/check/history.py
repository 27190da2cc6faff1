"""What a run saw: a record of each request, and the log of JSON lines that keeps them for a later judgement."""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cache
from typing import Any, TextIO


class Outcome(StrEnum):
    """What became of a request."""

    ANSWERED = "answered"  # 200 with a number
    UNAVAILABLE = "unavailable"  # 503
    REFUSED = "refused"  # no connection: refused
    NOT_SENT = "not sent"  # no connection: this machine had no file left for one
    UNREACHABLE = "unreachable"  # no connection: no route, no TLS
    RESET = "reset"
    TIMEOUT = "timeout"
    CLOSED = "closed"  # before the answer was whole
    STATUS = "status"  # neither 200 nor 503
    MALFORMED = "malformed"  # a 200 without a number, or not HTTP
    INTERRUPTED = "interrupted"  # under way when the run was stopped


class Flaw(StrEnum):
    """What is wrong with an answer, whatever its number."""

    CACHED = "out of a cache: its Age is above 0"  # RFC 9111, section 5.1
    STORABLE = "a cache may keep it: no Cache-Control: no-store"
    NO_NUMBER = "200 without a number"
    CONTRADICTION = "body and headers differ"
    NO_RETRY_AFTER = "503 without Retry-After"


class HistoryError(Exception):
    """A log that cannot be read; the message names the line."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What many records have in common.

    read: a read of the count, which is not counted.
    attempt: above 1 if it repeats a visit that got 503.
    pod: who answered; of a request that failed on a kept connection, who had answered on it before.
    url: where it was sent; address: to which of several that the name has.
    kept: it may have come over a connection that was open already.
    """

    outcome: Outcome
    read: bool = False
    attempt: int = 1
    status: int | None = None
    pod: str | None = None
    epoch: str | None = None
    flaw: Flaw | None = None
    url: str | None = None
    address: str | None = None
    kept: bool = False

    @property
    def unknown(self) -> bool:
        """Whether such a request may have been counted, though no number came back."""
        return not self.read and self.outcome not in (Outcome.ANSWERED, Outcome.REFUSED, Outcome.NOT_SENT)


@cache
def shared(labels: Labels) -> Labels:
    """The one instance of equal labels: a million records have some dozens."""
    return labels


@dataclass(frozen=True, slots=True)
class Record:
    """One request and what became of it.

    sent: when its connection attempt began, or on a kept connection its writing.
    answered: when its body was whole, or it had failed. Both in integer nanoseconds of one monotonic clock.
    number: the visitor's; of a read, the total.
    """

    sent: int
    answered: int
    labels: Labels
    number: int | None = None

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


_DEFAULTS = {field.name: field.default for field in fields(Labels)}


def write_record(log: TextIO, record: Record) -> None:
    """Append one line to the log; what is as by default is left out."""
    values: dict[str, Any] = {"sent": record.sent, "answered": record.answered}
    if record.number is not None:
        values["number"] = record.number
    log.write(json.dumps(values | _written(record.labels), separators=(",", ":")) + "\n")


@cache
def _written(labels: Labels) -> dict[str, Any]:
    return {name: value for name, default in _DEFAULTS.items() if (value := getattr(labels, name)) != default}


def read_records(log: Iterable[str]) -> list[Record]:
    """Read a log; HistoryError for the first line that is not a record."""
    records = []
    known: dict[tuple[tuple[str, Any], ...], Labels] = {}
    for number, line in enumerate(log, 1):
        try:
            records.append(_parse(line, known))
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise HistoryError(f"line {number} is not a record of hello check") from error
    return records


_decode = json.JSONDecoder().raw_decode


def _parse(line: str, known: dict[tuple[tuple[str, Any], ...], Labels]) -> Record:
    values: dict[str, Any]
    values, end = _decode(line)
    if line[end:] not in ("\n", ""):
        raise ValueError(line)
    sent, answered, number = values.pop("sent"), values.pop("answered"), values.pop("number", None)
    key = tuple(values.items())
    labels = known.get(key) or known.setdefault(key, _labels(values))
    numbered = type(number) is int and labels.epoch is not None
    if type(sent) is not int or type(answered) is not int or answered < sent:
        raise ValueError(line)
    if (labels.outcome is Outcome.ANSWERED) != numbered or (not numbered and number is not None):
        raise ValueError(line)
    return Record(sent, answered, labels, number)


def _labels(values: dict[str, Any]) -> Labels:
    for name, value in values.items():
        if type(value) is not _KINDS[name] or (isinstance(value, str) and not value.isprintable()):
            raise TypeError(name)
        if isinstance(value, str):
            values[name] = sys.intern(value)
    values["outcome"] = Outcome(values["outcome"])
    if "flaw" in values:
        values["flaw"] = Flaw(values["flaw"])
    return Labels(**values)


_KINDS = {
    "outcome": str,
    "read": bool,
    "attempt": int,
    "status": int,
    "pod": str,
    "epoch": str,
    "flaw": str,
    "url": str,
    "address": str,
    "kept": bool,
}
