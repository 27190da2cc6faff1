"""A store that keeps its visitors waiting."""

import asyncio
from collections.abc import Callable
from copy import deepcopy

from hello.stores import Batch, Range, Reading
from hello.stores.memory import MemoryStore


class Gate(MemoryStore):
    """A store that answers only while it is open; it records the batches."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.batches: list[Batch] = []

    async def commit(self, batch: Batch) -> Range:
        self.batches.append(batch)
        await self.open.wait()
        return await super().commit(batch)

    async def read(self, epoch: str, seen: int) -> Reading:
        await self.open.wait()
        return await super().read(epoch, seen)

    def copy(self) -> Callable[[], None]:
        """Back up its content; the result restores it."""
        state, records = deepcopy((self._state, self._records))

        def restore() -> None:
            self._state, self._records = state, records

        return restore
