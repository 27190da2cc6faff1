"""Readings of the store: those who ask during one share the next."""

import asyncio
from collections.abc import Callable
from itertools import repeat

from hello.counting.queue import Queue, retry_backoff
from hello.counting.session import Session
from hello.counting.store_state import StoreState
from hello.stores import BrokenError, Reading, Store, UnavailableError


class Readings:
    """Reads the store for those who wait in a queue."""

    def __init__(self, store: Store, session: Session, state: StoreState, queue: Queue[Reading]) -> None:
        self._store = store
        self._session = session
        self._state = state
        self._queue = queue

    async def run(self, on_rollback: Callable[[], None]) -> None:
        """Answer until cancelled; calls back when a store that was up turns out to be rolled back."""
        while True:
            await self._queue.arrival.wait()
            self._queue.take_batch()
            if reading := await self._read():
                self._learn(reading, on_rollback)
                self._queue.answer_batch(repeat(reading))

    async def _read(self) -> Reading | None:
        """Read the store, and retry while somebody waits; None if nobody does."""
        for pause in retry_backoff():
            changes = self._session.changes
            try:
                reading = await self._store.read(self._session.epoch, self._session.seen)
            except (UnavailableError, BrokenError) as error:
                self._state.tell("the count cannot be read", str(error))
                await asyncio.sleep(pause)
            else:
                if changes == self._session.changes:  # else it was read with outdated knowledge
                    return reading
            if not self._queue.is_batch_awaited():
                return None
        return None

    def _learn(self, reading: Reading, on_rollback: Callable[[], None]) -> None:
        if not reading.distrusted:
            with self._state.learning():
                self._session.read(reading)
            return
        if self._state.name == "up":
            on_rollback()
        self._state.become("distrusted", reading.distrusted)
