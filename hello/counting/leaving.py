"""Leaving: how long a process that ends waits for its store, and what it tells it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from hello.counting.queue import retry_backoff
from hello.counting.session import Session
from hello.counting.store_state import StoreState
from hello.stores import Store, StoreError, UnavailableError

LEAVE_TIMEOUT = 0.5
"""Seconds for which a process that leaves tells a store that is up, at least."""

LEAVE_SHARE = 0.85
"""The share of the deadline for which a process may take to leave. `docker stop` kills it after 10 s."""


class Leaving:
    """Ends the waits of a process that leaves, by `refuse`, and then its session with the store."""

    def __init__(
        self, store: Store, session: Session, state: StoreState, deadline: float, refuse: Callable[[], None]
    ) -> None:
        self._store = store
        self._session = session
        self._state = state
        self._deadline = deadline
        self._refuse = refuse
        self._end = 0.0
        """The loop's time at which this process has left, whether the store knows it or not."""
        self._ending: asyncio.Timeout | None = None

    def begin(self) -> None:
        """Wait no longer for a store that is away than visitors would."""
        loop = asyncio.get_running_loop()
        self._end = loop.time() + self._deadline * LEAVE_SHARE
        loop.call_at(self._end, self._refuse)

    def at_once(self) -> None:
        self._end = 0
        self._refuse()
        if self._ending:
            self._ending.reschedule(0)

    async def end_session(self) -> None:
        """Tell the store that this session ends. After a restart, the others would wait for what this process saw."""
        if not self._session.is_open:
            return
        batch, end = self._session.batch(0, ends=True), self._end
        if self._state.name == "up":
            end = max(end, asyncio.get_running_loop().time() + LEAVE_TIMEOUT)
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout_at(end) as self._ending:
                for pause in retry_backoff():
                    with suppress(UnavailableError):
                        await self._store.commit(batch)
                        return
                    await asyncio.sleep(pause)
