"""The count in this process: gone when it ends, and no other process sees it."""

import asyncio
import time
from collections import defaultdict

from hello.stores import Range, Reading, Trip
from hello.stores.rules import Record, State, count, goes_back, repeat


class MemoryStore:
    """A Store without a disk; each has an epoch of its own."""

    def __init__(self) -> None:
        self._state = State()
        self._records: dict[str, Record] = {}
        self._pods: defaultdict[str, int] = defaultdict(int)
        self._seen: dict[str, int] = {}

    async def take(self, trip: Trip) -> Range:
        """Count a trip; see Store."""
        state, now = self._state, int(time.time())
        record = self._records.get(trip.process)
        repeated = repeat(trip, state, record, now)
        if repeated:
            return repeated
        count(trip, state, time.time_ns())
        self._pods[trip.pod] += trip.n
        self._seen[trip.pod] = now
        self._records[trip.process] = Record(state.epoch, trip.sequence, state.count, now)
        return Range(state.epoch, state.count, now)

    async def read(self, epoch: str, seen: int) -> Reading:
        """Read the count; see Store."""
        state = self._state
        goes_back(state, epoch, seen)
        shares = dict(self._pods), dict(self._seen)
        return Reading(state.epoch, state.count, state.began, state.distrusted, *shares, time=int(time.time()))

    async def reset(self, epoch: str, to: int) -> None:
        """Begin a new epoch; see Store."""
        self._state = State(epoch, to, to)
        self._pods.clear()
        self._seen.clear()

    async def until_lost(self) -> None:
        """Wait for ever: it lasts as long as this process."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing to let go of."""
