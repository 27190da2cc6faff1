"""The counter: visitors who arrive during a commit share the next one (group commit)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import repeat
from time import perf_counter
from typing import Self

from hello.counting.leaving import Leaving
from hello.counting.queue import Queue, RefusedError, Visit, retry_backoff
from hello.counting.readings import Readings
from hello.counting.session import Session
from hello.counting.store_state import StoreState
from hello.metrics import Metrics
from hello.stores import (
    Batch,
    BrokenError,
    DistrustedError,
    ExhaustedError,
    LostError,
    OutdatedError,
    Range,
    Reading,
    Store,
    StoreError,
    UnavailableError,
)

PROBE_INTERVAL = 0.25
"""Seconds between empty batches to a store that is not up: far fewer than a roll call of Redis waits."""

CHECK_INTERVAL = 1.0
"""Seconds between two looks at the connection to a store that is up."""

HEARTBEAT_INTERVAL = 5.0
"""Seconds between empty batches to a store that is up, which show in it that this pod is alive."""

OTHER_EPOCH = "The store has begun another epoch meanwhile."


class Counter:
    """Gives out a store's numbers in order of arrival. One batch in flight at a time keeps the order.

    At most `queue_limit` visitors wait, each for at most `deadline` seconds.
    """

    def __init__(self, store: Store, pod: str, metrics: Metrics, deadline: float, queue_limit: int = 4096) -> None:
        self.pod = pod
        self.metrics = metrics
        self._store = store
        self._session = Session(pod)
        self.state = StoreState(self._session, metrics)
        self._queue = Queue[Visit](deadline, queue_limit)
        self._readers = Queue[Reading](deadline, queue_limit)
        self._readings = Readings(store, self._session, self.state, self._readers)
        self.leaving = Leaving(store, self._session, self.state, deadline, self._close)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Count until the block ends; then refuse those who still wait, and close the store."""
        async with asyncio.TaskGroup() as group:
            work = self._commit_loop(), self._readings.run(self._queue.arrival.set), self._watch()
            tasks = [group.create_task(task) for task in work]
            try:
                yield self
            finally:
                self._close()
                for task in tasks:
                    task.cancel()
        await self.leaving.end_session()
        await self._store.close()

    def _close(self) -> None:
        self._queue.close()
        self._readers.close()

    def join(self) -> asyncio.Future[Visit]:
        """Queue a visitor; raises RefusedError, as the future does."""
        if self.state.name == "distrusted":
            raise RefusedError("distrusted", self.state.reason)
        return self._queue.join()

    async def read(self) -> Reading:
        """Read the store; raises RefusedError. Callers during a reading share the next one."""
        reading = await self._readers.join()
        if reading.distrusted:
            raise RefusedError("distrusted", reading.distrusted)
        return reading

    async def _commit_loop(self) -> None:
        while True:
            await self._commit(self._session.batch(self._queue.take_batch()))
            if not self._queue:
                pause = HEARTBEAT_INTERVAL if self.state.name == "up" else PROBE_INTERVAL
                alarm = asyncio.get_running_loop().call_later(pause, self._queue.arrival.set)
                await self._queue.arrival.wait()
                alarm.cancel()

    async def _watch(self) -> None:
        """Notice a lost store while nobody visits: what was seen here must be reported as soon as it is back."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            if self.state.name == "up" and await self._store.is_lost():
                self._queue.arrival.set()  # a commit finds out

    async def _commit(self, batch: Batch) -> None:
        """Commit a batch, and retry until it is answered or nobody waits for it."""
        lost = False
        for pause in retry_backoff():
            began = perf_counter()
            try:
                given = await self._store.commit(batch)
            except (UnavailableError, BrokenError) as error:
                lost = lost or (isinstance(error, LostError) and batch.n > 0)
                self.state.become("lost", str(error))
            except StoreError as error:
                self._rejected(batch, error, lost)
                return
            else:
                self.metrics.commit_seconds.observe(perf_counter() - began)
                self._committed(batch, given)
                return
            await asyncio.sleep(pause)
            if not self._queue.is_batch_awaited():
                return
            again = self._session.again(batch)
            if again is None:
                self._give_up(lost, OTHER_EPOCH)
                return
            batch = again
            self.metrics.retries.inc()

    def _committed(self, batch: Batch, given: Range) -> None:
        with self.state.learning():
            is_present = self._session.accept(batch, given)
        if not is_present:
            self._give_up(batch.n > 0, OTHER_EPOCH)
            return
        self.state.become("up")
        self.metrics.last_number.set(given.top)
        if not batch.n:
            self._queue.put_batch_back()
        else:
            numbers = range(given.top - batch.n + 1, given.top + 1)
            abandoned = self._queue.answer_batch(map(Visit, numbers, repeat(given.epoch)))
            self.metrics.visitors.inc(batch.n)
            self.metrics.batch_visitors.observe(batch.n)
            self.metrics.abandoned.inc(abandoned)

    def _rejected(self, batch: Batch, error: StoreError, lost: bool) -> None:
        """Learn why. The batch is committed again only if it was certainly not counted."""
        with self.state.learning():
            self._session.rejected(batch, error)
        match error:
            case DistrustedError():
                self.state.become("distrusted", str(error))
                self._queue.refuse_batch("distrusted", str(error))
            case ExhaustedError():
                self.state.become("up")
                self._queue.refuse_batch("exhausted", str(error))
            case OutdatedError():
                self.state.tell("a batch was given up", str(error))
                self._give_up(True, str(error))
            case _:
                self._give_up(lost, str(error))

    def _give_up(self, lost: bool, why: str) -> None:
        """End a batch. Its visitors join the next one, unless they may have been counted."""
        self._queue.arrival.set()
        if lost:
            self._queue.refuse_batch("unavailable", why)
        else:
            self._queue.put_batch_back()
