"""The count in this process: gone when it ends, and no other process sees it."""

import asyncio
import time

from hello.stores import Batch, Range, Reading
from hello.stores.rules import Record, State, count, make_epoch, make_reading, notice_rollback, repeat


class MemoryStore:
    """A Store without a disk; each has an epoch of its own."""

    def __init__(self) -> None:
        self._state = State()
        self._records: dict[str, Record] = {}

    async def commit(self, batch: Batch) -> Range:
        record = self._records.get(batch.client)
        repeated = repeat(batch, self._state, record)
        if repeated:
            return repeated
        record = self._records[batch.client] = count(batch, self._state, record, time.time_ns())
        return Range(record.epoch, record.top, record.index)

    async def read(self, epoch: str, seen: int) -> Reading:
        notice_rollback(self._state, epoch, seen)
        return make_reading(self._state, ((record, time.time() - record.time) for record in self._records.values()))

    async def reset(self, new_epoch: str, to: int) -> None:
        self._state = State(make_epoch(time.time_ns(), self._state.epoch, new_epoch), to, to)

    async def wait_for_loss(self) -> None:
        """Wait for ever: it lasts as long as this process."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing to let go of."""
