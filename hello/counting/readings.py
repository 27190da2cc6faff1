"""Readings of the store: who asks while one is under way shares the next one."""

import asyncio
from collections.abc import Callable
from itertools import chain

from hello.counting.queue import DEADLINE_SHARE, LATE, LEAVING, RefusedError, no_place, retry_backoff
from hello.counting.session import Session
from hello.counting.store_state import StoreState
from hello.stores import BrokenError, Reading, Store, UnavailableError


class Readings:
    """Reads the store for those who ask, `limit` at the most, each of whom waits for `deadline` seconds at the most."""

    def __init__(self, store: Store, session: Session, state: StoreState, deadline: float, limit: int) -> None:
        self._store = store
        self._session = session
        self._state = state
        self._deadline = deadline * DEADLINE_SHARE
        self._limit = limit
        self._waiting: list[asyncio.Future[Reading]] = []
        self._answering: list[asyncio.Future[Reading]] = []
        self._asked = asyncio.Event()

    async def read(self) -> Reading:
        """Read the store, after this call began; raises RefusedError."""
        if len(self._waiting) >= self._limit:
            self._waiting = [reader for reader in self._waiting if not reader.done()]
            if len(self._waiting) >= self._limit:
                raise no_place(self._limit)
        reader = asyncio.get_running_loop().create_future()
        self._waiting.append(reader)
        self._asked.set()
        try:
            async with asyncio.timeout(self._deadline):
                reading: Reading = await reader
        except TimeoutError:
            raise RefusedError("unavailable", LATE) from None
        if reading.distrusted:
            raise RefusedError("distrusted", reading.distrusted)
        return reading

    def close(self) -> None:
        """Refuse who waits and who comes."""
        self._limit = 0
        for reader in chain(self._answering, self._waiting):
            if not reader.done():
                reader.set_exception(RefusedError("leaving", LEAVING))

    async def run(self, on_rollback: Callable[[], None]) -> None:
        """Answer until cancelled; calls back when a store that was up turns out to be rolled back."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            self._answering, self._waiting = self._waiting, []
            if reading := await self._read():
                self._learn(reading, on_rollback)
                for reader in self._answering:
                    if not reader.done():
                        reader.set_result(reading)

    async def _read(self) -> Reading | None:
        """Read the store, again and again while somebody waits; None if nobody does any more."""
        for pause in retry_backoff():
            changes = self._session.changes
            try:
                reading = await self._store.read(self._session.epoch, self._session.seen)
            except (UnavailableError, BrokenError) as error:
                self._state.tell("the count cannot be read", str(error))
                await asyncio.sleep(pause)
            else:
                if changes == self._session.changes:  # else it was read with what is known no more
                    return reading
            if all(reader.done() for reader in self._answering):
                return None
        return None

    def _learn(self, reading: Reading, on_rollback: Callable[[], None]) -> None:
        if not reading.distrusted:
            with self._state.learning():
                self._session.read(reading)
            return
        if self._state.name == "up":
            on_rollback()
        self._state.distrusted(reading.distrusted)
