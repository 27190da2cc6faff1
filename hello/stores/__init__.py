"""What a store of the count does: it gives each batch a range of numbers, once, and reads the total.

A batch is sent again until it is answered, unchanged but for what was seen meanwhile. The store counts it once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

LIMIT = 2**53
"""The highest number: Redis' Lua has doubles, which are exact up to here."""

SESSION_TIMEOUT = 20 * 60
"""Seconds without a batch after which a store forgets a client session: TCP retransmits no packet for so long."""

POD_LIFETIME = 24 * 60 * 60
"""Seconds without a batch for which a reading shows a pod by name."""

POD_LIMIT = 500
"""The most pods without a session that a reading shows by name."""

COMMAND_TIMEOUT = 1.0
"""Seconds to wait for a connection to a server, and again for its answer."""

EARLIER_PODS = "earlier pods"
"""The entry for all other pods. No pod's name contains a blank."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A request for the next `n` numbers, as one client session (Raft, section 6.3) sends it."""

    epoch: str
    """The latest epoch that the session knows, or empty."""
    client: str
    """The session's id."""
    sequence: int
    """The batch's number within the session, from 1, without gaps."""
    answered: int
    """The index of the session's last answered batch, or 0."""
    n: int
    seen: int
    """The highest number of the epoch that the session has seen."""
    pod: str
    new_epoch: str
    """The end of the id of the epoch that this batch begins in an empty store, or empty if it may not begin one."""
    ends: bool = False
    """Whether it is the session's last batch: the store then forgets the session."""


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers (top - n, top], given to the `index`-th batch of an epoch."""

    epoch: str
    top: int
    index: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What a store holds. An empty one has no epoch and a count of 0. `began` is the epoch's first count."""

    epoch: str
    count: int
    began: int = 0
    distrusted: str = ""
    """Why the store must not count, or empty."""
    pods: Mapping[str, int] = field(default_factory=dict)
    """Each pod's share of the count since the epoch began."""
    silence: Mapping[str, float] = field(default_factory=dict, compare=False)
    """Seconds since each pod's last batch, all by one clock: the store's or this process's."""


class StoreError(Exception):
    """The store gave no numbers."""

    message = ""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.message)


class UnavailableError(StoreError):
    """The store did not count the batch. Sending it again may help."""


class LostError(UnavailableError):
    """No answer came: the batch may have been counted. Sending it again tells."""


class BrokenError(StoreError):
    """The store cannot work until somebody mends it."""


class DistrustedError(StoreError):
    """The store was rolled back to an earlier epoch or a lower count, and refuses everybody until `hello reset`."""

    message = "the store was rolled back: numbers that were given are missing from it"


class WipedError(StoreError):
    """The store is empty, and the batch may not begin an epoch, since its session knew one."""

    message = "the store is empty"


class OtherEpochError(StoreError):
    """The store is in a later epoch than the session knows."""

    def __init__(self, epoch: str) -> None:
        super().__init__(f"the store is in epoch {epoch}")
        self.epoch = epoch


class ForgottenError(StoreError):
    """The store has forgotten the session, which ended or was idle for long."""

    message = "the store has forgotten this session"


class OutdatedError(StoreError):
    """The batch may have been counted, but its range is forgotten. Sending it again does not help."""

    message = "a later batch was counted before this one"


class ExhaustedError(StoreError):
    """The range would pass the highest number."""

    message = f"the count would pass {LIMIT}"


class Store(Protocol):
    """A count. At most one batch and one reading are in flight at a time."""

    async def commit(self, batch: Batch) -> Range:
        """Count a batch once, and return its range each time it is sent; raises a StoreError."""

    async def read(self, epoch: str, seen: int) -> Reading:
        """Read the store. Mark it distrusted if it has lost `epoch`, or numbers up to `seen` in that epoch."""

    async def reset(self, new_epoch: str, to: int) -> None:
        """Begin an epoch whose id ends in `new_epoch` and whose first number is `to` + 1."""

    async def is_lost(self) -> bool:
        """Whether the connection to the store has ended, as far as can be told without asking it."""
        return False

    async def close(self) -> None:
        """Close the file or the connections."""
