"""What a run saw: a record of each request, and the log of JSON lines that keeps them for a later judgement."""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
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

    CACHED = "out of a cache: it has an Age"  # RFC 9111, section 5.1
    STORABLE = "a cache may keep it: no Cache-Control: no-store"
    NO_NUMBER = "200 without a number"
    CONTRADICTION = "body and headers differ"
    NO_RETRY_AFTER = "503 without Retry-After"


class HistoryError(Exception):
    """A log that cannot be read; the message names the line."""


@dataclass(frozen=True, slots=True)
class Record:
    """One request and its outcome.

    sent: when its connection attempt began, or on a kept connection its writing.
    answered: when its body was whole, or it had failed. Both in integer nanoseconds of one monotonic clock.
    read: a read of the count (its number is the total), which is not counted.
    attempt: above 1 if it repeats a request that got 503.
    """

    sent: int
    answered: int
    outcome: Outcome
    read: bool = False
    attempt: int = 1
    status: int | None = None
    number: int | None = None
    pod: str | None = None
    epoch: str | None = None
    flaw: Flaw | None = None

    @property
    def unknown(self) -> bool:
        """Whether it may have been counted, though no number came back."""
        return not self.read and self.outcome not in (Outcome.ANSWERED, Outcome.REFUSED, Outcome.NOT_SENT)


_DEFAULTS = {field.name: field.default for field in fields(Record)}


def write_record(log: TextIO, record: Record) -> None:
    """Append one line to the log; what is as by default is left out."""
    values = {name: value for name, default in _DEFAULTS.items() if (value := getattr(record, name)) != default}
    log.write(json.dumps(values, separators=(",", ":")) + "\n")


def read_records(log: Iterable[str]) -> list[Record]:
    """Read a log; HistoryError for the first line that is not a record."""
    records = []
    for number, line in enumerate(log, 1):
        try:
            records.append(_parse(line))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise HistoryError(f"line {number} is not a record of hello check") from error
    return records


def _parse(line: str) -> Record:
    values: dict[str, Any] = json.loads(line)
    for name, value in values.items():
        if type(value) is not _TYPES[name]:
            raise TypeError(name)
        if isinstance(value, str):
            values[name] = sys.intern(_printable(value))  # a million records name a few pods
    values["outcome"] = Outcome(values["outcome"])
    if "flaw" in values:
        values["flaw"] = Flaw(values["flaw"])
    record = Record(**values)
    numbered = record.number is not None and record.epoch is not None
    if record.answered < record.sent or (record.outcome is Outcome.ANSWERED) != numbered:
        raise ValueError(line)
    return record


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError(text)
    return text


_TYPES = {
    "sent": int,
    "answered": int,
    "outcome": str,
    "read": bool,
    "attempt": int,
    "status": int,
    "number": int,
    "pod": str,
    "epoch": str,
    "flaw": str,
}
