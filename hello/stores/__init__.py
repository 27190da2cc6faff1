"""What a store of the count must do: hand out ranges of numbers, each batch's once, and read the total.

A batch is fixed when it is first sent, and sent again until it is answered: a store counts it once. Only what was seen
meanwhile is added.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

LIMIT = 2**53
"""The highest number: above it the doubles of Redis' Lua are no longer exact."""

SESSION_TIMEOUT = 20 * 60
"""Seconds without a batch after which a store forgets a client session: TCP repeats no packet for so long."""

POD_LIFETIME = 24 * 60 * 60
"""Seconds without a batch for which a reading shows a pod by its name."""

POD_LIMIT = 500
"""Pods without a session that a reading shows by name, at most."""

COMMAND_TIMEOUT = 1.0
"""Seconds to wait for a connection to a server, and again for an answer, before another one is tried."""

EARLIER_PODS = "earlier pods"
"""The entry for all other pods; no pod's name has a blank in it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A request for the next `n` numbers, as one client session (Raft, section 6.3) sends it."""

    epoch: str
    """The latest epoch that the session knows; empty if it knows none."""
    client: str
    """The id of the session."""
    sequence: int
    """Counts the session's batches from 1, without a hole."""
    answered: int
    """The index of the last of its batches whose answer has arrived; 0 if none has."""
    n: int
    seen: int
    """The highest number that the session knows to have been given in the epoch."""
    pod: str
    new_epoch: str
    """How the id ends of the epoch that this batch begins if the store is empty; if empty, it may begin none."""
    ends: bool = False
    """Whether it is the session's last one: the store forgets the session at once."""


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers (top - n, top] of an epoch, given to one batch: the `index`-th that was counted in the epoch."""

    epoch: str
    top: int
    index: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What a store holds: no epoch and 0 while it is empty. `began` is the count with which the epoch began."""

    epoch: str
    count: int
    began: int = 0
    distrusted: str = ""
    """Why the store may no longer count, or empty."""
    pods: Mapping[str, int] = field(default_factory=dict)
    """Each pod's share of the count since the epoch began."""
    silence: Mapping[str, float] = field(default_factory=dict, compare=False)
    """Seconds since each of these pods last made a batch, by one clock: the store's, or this process's."""


class StoreError(Exception):
    """The store did not hand out numbers."""

    message = ""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.message)


class UnavailableError(StoreError):
    """The store did not take the batch: nothing was counted. Sending it again may help."""


class LostError(UnavailableError):
    """The batch went out and no answer came back: it may have been counted. Sending it again tells."""


class BrokenError(StoreError):
    """The store cannot work until a person acts."""


class DistrustedError(StoreError):
    """The store was rolled back, to an earlier epoch or a lower count: it counts for nobody until `hello reset`."""

    message = "the store was rolled back: numbers that were given are missing from it"


class WipedError(StoreError):
    """The store is empty, and the batch may begin no epoch: its session knew of one."""

    message = "the store is empty"


class OtherEpochError(StoreError):
    """The store is in another epoch than the one believed in, and not in an earlier one."""

    def __init__(self, epoch: str) -> None:
        super().__init__(f"the store is in epoch {epoch}")
        self.epoch = epoch


class ForgottenError(StoreError):
    """The store has forgotten a session that ended, or was idle for long."""

    message = "the store has forgotten this session"


class OutdatedError(StoreError):
    """The batch may have been counted, but the store no longer knows its range. Sending it again cannot help."""

    message = "a later batch was counted before this one"


class ExhaustedError(StoreError):
    """The range would pass the highest number."""

    message = f"the count would pass {LIMIT}"


class Store(Protocol):
    """A count. One batch and one reading at the most are under way at a time."""

    async def commit(self, batch: Batch) -> Range:
        """Count a batch once, and hand out its range each time it is sent; raises a StoreError."""

    async def read(self, epoch: str, seen: int) -> Reading:
        """Read the store; distrust it from then on if it has lost `epoch`, or in that epoch numbers up to `seen`."""

    async def reset(self, new_epoch: str, to: int) -> None:
        """Begin a new epoch, whose id ends in `new_epoch`, and in which `to` + 1 is the next number."""

    async def is_lost(self) -> bool:
        """Whether the store may be gone, as far as can be told without asking it anything."""
        return False

    async def close(self) -> None:
        """Let go of the file or the connections."""
