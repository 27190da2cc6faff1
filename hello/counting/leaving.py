"""How a process leaves: how long it waits for its store, and what it tells it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from hello.counting.queue import retry_backoff
from hello.counting.session import Session
from hello.counting.store_state import StoreState
from hello.stores import Store, StoreError, UnavailableError

LEAVE_TIMEOUT = 0.5
"""The least time, in seconds, to tell a store that is up."""

LEAVE_SHARE = 0.85
"""The share of the deadline within which a process leaves: `docker stop` kills it after 10 s."""


class Leaving:
    """Ends a process' waits, by `refuse`, and then its session with the store."""

    def __init__(
        self, store: Store, session: Session, state: StoreState, deadline: float, refuse: Callable[[], None]
    ) -> None:
        self._store = store
        self._session = session
        self._state = state
        self._deadline = deadline
        self._refuse = refuse
        self._end = 0.0
        """The loop's time by which this process leaves, whether the store knows or not."""
        self._ending: asyncio.Timeout | None = None

    def begin(self) -> None:
        """Wait for a lost store no longer than visitors would."""
        loop = asyncio.get_running_loop()
        self._end = loop.time() + self._deadline * LEAVE_SHARE
        loop.call_at(self._end, self._refuse)

    def at_once(self) -> None:
        self._end = 0
        self._refuse()
        if self._ending:
            self._ending.reschedule(0)

    async def end_session(self) -> None:
        """Tell the store that this session ends. Else a roll call after a restart would wait for it."""
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
