"""The rules by which a store in Python counts a trip; take.lua has the same ones for Redis."""

import re
from dataclasses import dataclass

from hello.stores import (
    LIMIT,
    DistrustedError,
    ExhaustedError,
    ForgottenError,
    OtherEpochError,
    OutdatedError,
    Range,
    Trip,
    WipedError,
)

WENT_BACK = "the store went back in time: numbers that were given are missing from it"


@dataclass(slots=True)
class State:
    """The count of an epoch; no epoch while the store is empty."""

    epoch: str = ""
    count: int = 0
    began: int = 0
    distrusted: str = ""


@dataclass(slots=True)
class Record:
    """A process' last trip: its epoch and sequence, the top of its range, and when it was counted (Unix seconds)."""

    epoch: str = ""
    sequence: int = 0
    top: int = 0
    time: int = 0


def repeat(trip: Trip, state: State, record: Record | None, now: int) -> Range | None:
    """Find the range that the trip was given before, or None if it is yet to be counted.

    Raises a StoreError if it must not be counted, and marks a state that is to be distrusted.
    """
    if state.distrusted:
        raise DistrustedError(state.distrusted)
    if not state.epoch and not trip.epoch:
        return None
    _check_epoch(trip, state)
    if state.count >= trip.seen and record is None and trip.answered:
        raise ForgottenError(now)
    record = record or Record()
    if record.epoch != state.epoch and record.sequence >= trip.sequence:
        raise OtherEpochError(state.epoch)  # it was counted in an epoch that is over
    if state.count < trip.seen or record.sequence < trip.answered:
        state.distrusted = WENT_BACK
        raise DistrustedError(WENT_BACK)
    if record.sequence > trip.sequence:
        raise OutdatedError("a later trip was counted before this one")
    if record.sequence == trip.sequence:
        return Range(state.epoch, record.top, record.time)
    if state.count + trip.n > LIMIT:
        raise ExhaustedError(f"the count would pass {LIMIT}")
    return None


def _check_epoch(trip: Trip, state: State) -> None:
    if not state.epoch:
        raise WipedError("the store is empty")
    if trip.epoch not in ("", state.epoch):
        raise OtherEpochError(state.epoch)


def goes_back(state: State, epoch: str, seen: int) -> bool:
    """Say whether a reading shows less than was seen in its epoch, and mark the state as distrusted then."""
    if state.epoch != epoch or state.count >= seen:
        return False
    state.distrusted = WENT_BACK
    return True


def count(trip: Trip, state: State, nanoseconds: int) -> None:
    """Count a trip that is not repeated; one that finds no epoch begins one."""
    # The clock makes it another epoch if a trip that began one comes again, late, after a wipe.
    state.epoch = state.epoch or f"{trip.new_epoch}{nanoseconds // 1000}"
    state.count += trip.n


def number(value: object) -> int:
    """Take what a store holds for a number; ValueError if it is none that a counter wrote."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or not 0 <= value <= LIMIT:
        raise ValueError(f"{value!r} is no number of a counter")
    return value


def epoch_of(value: object) -> str:
    """Take what a store holds for an epoch's id; ValueError if it is none that a counter wrote."""
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        raise ValueError(f"{value!r} is no epoch")
    return value
