"""The rules by which a store counts a batch. commit.lua has the same ones for Redis."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from hello.stores import (
    EARLIER_PODS,
    LIMIT,
    POD_LIFETIME,
    POD_LIMIT,
    Batch,
    DistrustedError,
    ExhaustedError,
    ForgottenError,
    OtherEpochError,
    OutdatedError,
    Range,
    Reading,
    WipedError,
)

EPOCH = "[0-9]{16}-[!-~]+"
"""The id of an epoch: when it began, in microseconds, and random digits."""


@dataclass(slots=True)
class State:
    """An epoch and its count. An empty store has no epoch.

    index: the number of batches counted in the epoch. forgotten: the highest index of a record that was removed.
    """

    epoch: str = ""
    count: int = 0
    began: int = 0
    index: int = 0
    forgotten: int = 0
    distrusted: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError if no counter wrote this."""
        if self.epoch and not re.fullmatch(EPOCH, word(self.epoch)):
            raise ValueError(f"{self.epoch!r} is not the id of an epoch")
        if self.count and not self.epoch:
            raise ValueError("a count without an epoch")
        for number in self.count, self.began, self.index, self.forgotten:
            whole_number(number)


@dataclass(slots=True)
class SessionRecord:
    """What a store remembers of a client session: its last batch, and the total of numbers it took in that epoch.

    index: the batch's place among all batches of the epoch, from 1. time: when it was counted, in Unix seconds.
    """

    epoch: str = ""
    sequence: int = 0
    top: int = 0
    index: int = 0
    time: int = 0
    total: int = 0
    pod: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError if no counter wrote this."""
        word(self.epoch or "-")
        word(self.pod or "-")
        for number in self.sequence, self.top, self.index, self.time, self.total:
            whole_number(number)


def word(value: object) -> str:
    """Take the name of an epoch or a pod; raises ValueError if it is not visible ASCII."""
    if not isinstance(value, str) or not re.fullmatch("[!-~]+", value):
        raise ValueError(f"{value!r} is not a name")
    return value


def whole_number(value: object) -> int:
    """Take a number; raises ValueError if it is not from 0 to LIMIT."""
    if not isinstance(value, int) or not 0 <= value <= LIMIT:
        raise ValueError(f"{value!r} is not a counter's number")
    return value


def begun(epoch: str) -> int:
    """The microsecond in which an epoch began, by its store's clock; 0 if its id has none."""
    match = re.match(r"(\d{16})-", epoch)
    return int(match[1]) if match else 0


def is_earlier(epoch: str, than: str) -> bool:
    """Whether an epoch began before another. A store that returns to it was rolled back."""
    return begun(epoch) < begun(than)


def make_epoch(nanoseconds: int, before: str, end: str) -> str:
    """Make an epoch's id from the time. It is later than the epoch before, whatever the clock says."""
    return f"{max(nanoseconds // 1000, begun(before) + 1):016d}-{end}"


def is_rolled_back(state: State, epoch: str, seen: int, answered: int, record: SessionRecord | None) -> bool:
    """Whether a store has lost what a session saw: a later epoch, a higher count, or a batch of its own."""
    if state.epoch != epoch:
        return is_earlier(state.epoch, epoch)
    return state.count < seen or answered > (record.index if record else state.forgotten)


def notice_rollback(
    state: State, epoch: str, seen: int, answered: int = 0, record: SessionRecord | None = None
) -> bool:
    """Mark a state distrusted if it has lost what a session saw; whether it did so.

    The state takes the later epoch, so that the epoch after it is later still, whatever the clock says.
    """
    if not state.epoch or state.distrusted or not is_rolled_back(state, epoch, seen, answered, record):
        return False
    state.distrusted = DistrustedError.message
    if is_earlier(state.epoch, epoch):
        state.epoch = epoch
    return True


def find_duplicate(batch: Batch, state: State, record: SessionRecord | None) -> Range | None:
    """Find the range that a batch was given before; None if it has yet to be counted.

    Raises a StoreError if it must not be counted. May mark the state distrusted.
    """
    notice_rollback(state, batch.epoch, batch.seen, batch.answered, record)
    if state.distrusted:
        raise DistrustedError(state.distrusted)
    if not state.epoch:
        if batch.new_epoch:
            return None
        raise WipedError
    last = record or SessionRecord()
    if (last.epoch, last.sequence) == (state.epoch, batch.sequence):
        return Range(state.epoch, last.top, last.index)
    if batch.epoch not in ("", state.epoch):
        raise OtherEpochError(state.epoch)
    # A first batch that arrived late left a record that says nothing of the session.
    if batch.answered and (record is None or (record.sequence == 1 and record.index != batch.answered)):
        raise ForgottenError
    if last.sequence > batch.sequence:
        raise OutdatedError
    if state.count + batch.n > LIMIT:
        raise ExhaustedError
    return None


def count(batch: Batch, state: State, record: SessionRecord | None, nanoseconds: int) -> SessionRecord:
    """Count a batch that is not a duplicate, in a new epoch if there is none; the session's new record."""
    state.epoch = state.epoch or make_epoch(nanoseconds, batch.epoch, batch.new_epoch)
    state.count += batch.n
    state.index += 1
    before = record.total if record and record.epoch == state.epoch else 0
    time = nanoseconds // 1_000_000_000
    return SessionRecord(state.epoch, batch.sequence, state.count, state.index, time, before + batch.n, batch.pod)


def fold(state: State, records: Iterable[SessionRecord], now: float) -> list[SessionRecord]:
    """Merge records of sessions and shares into one share for each pod: a record without sequence and index.

    The index tells which sessions are forgotten, not the time: a clock may be wrong for a moment.
    """
    pods: dict[str, SessionRecord] = {}
    for record in records:
        if record.epoch == state.epoch:
            state.forgotten = max(state.forgotten, record.index)
            pod = pods.setdefault(record.pod, SessionRecord(state.epoch, pod=record.pod))
            pod.total, pod.time = pod.total + record.total, max(pod.time, record.time)
    recent = (pod for pod in pods.values() if pod.time > now - POD_LIFETIME)
    return sorted(recent, key=lambda pod: -pod.time)[:POD_LIMIT]


def make_reading(state: State, records: Iterable[SessionRecord], now: float) -> Reading:
    """Make a reading from the records of sessions and shares. The rest of the count belongs to earlier pods."""
    pods: defaultdict[str, int] = defaultdict(int)
    silence: defaultdict[str, float] = defaultdict(lambda: math.inf)
    for record in records:
        if record.epoch == state.epoch:
            pods[record.pod] += record.total
            silence[record.pod] = min(silence[record.pod], now - record.time)
    earlier = state.count - state.began - sum(pods.values())
    if earlier > 0:
        pods[EARLIER_PODS], silence[EARLIER_PODS] = earlier, math.inf
    return Reading(state.epoch, state.count, state.began, state.distrusted, dict(pods), dict(silence))
