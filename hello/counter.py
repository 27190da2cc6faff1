"""The counter: visitors who come while a trip to the store is under way share the next one (group commit)."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import chain, repeat
from time import perf_counter
from typing import Any, NamedTuple, Self

import structlog

from hello.belief import Belief
from hello.metrics import Metrics
from hello.stores import (
    BrokenError,
    DistrustedError,
    ExhaustedError,
    LostError,
    OutdatedError,
    Range,
    Reading,
    Store,
    StoreError,
    Trip,
    UnavailableError,
)

PAUSES = (0.02, 0.05, 0.1, 0.2)
"""Seconds before a trip is sent again the first, second … time; the last one from then on."""

PROBE = 0.25
"""Seconds between trips without a visitor, which ask a store that is not up whether it is.

Well below the time for which a roll call waits after a restart of Redis.
"""

REST = 1.0
"""Seconds between two trips that the loss of the store's silent connection brings about, at least."""

ALIVE = 5.0
"""Seconds after which a trip is made without a visitor, too: it shows in the store that this pod is there."""

GOODBYE = 0.5
"""Seconds for which a process that leaves waits until the store knows it."""

IN_TIME = 0.97
"""The share of the deadline after which a wait ends, so that the answer has arrived by then."""

TOGETHER = 0.05
"""Waits that end within so many seconds end at once."""

BUSY = "As many visitors are waiting as may wait."
LATE = "The store did not answer in time."
LEAVING = "This pod is leaving."

log = structlog.get_logger()


class Visit(NamedTuple):
    """A visitor's number, in its epoch."""

    number: int
    epoch: str


class RefusedError(Exception):
    """No number for this visitor. `reason` is a word for the metrics; the message is for the visitor."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Waiter(NamedTuple):
    """A visitor in the queue, and the loop's time at which the wait ends."""

    deadline: float
    visit: asyncio.Future[Visit]


class Counter:
    """Hands out the numbers of a store in order of arrival; one trip at a time keeps the order.

    A visitor waits for `deadline` seconds at the most, and `places` visitors may wait.
    """

    def __init__(self, store: Store, pod: str, metrics: Metrics, deadline: float = 10, places: int = 4096) -> None:
        self.pod = pod
        self.state = "starting"
        self.reached = asyncio.Event()
        """Set once the store has answered this process."""
        self._store = store
        self.metrics = metrics
        self._deadline = deadline * IN_TIME
        self._places = places
        self._belief = Belief(pod)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Waiter] = deque()
        self._aboard: list[Waiter] = []
        self._readers: list[asyncio.Future[Reading]] = []
        self._answering: list[asyncio.Future[Reading]] = []
        self._visited = asyncio.Event()
        self._asked = asyncio.Event()
        self._up = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None
        self._trouble = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Count until the block ends; then refuse who still waits, and close the store."""
        async with asyncio.TaskGroup() as group:
            work = self._travel(), self._answer_readers(), self._watch()
            tasks = [group.create_task(task) for task in work]
            try:
                yield self
            finally:
                self.leave()
                for task in tasks:
                    task.cancel()
        if self.state == "up":
            await self._say_goodbye()
        await self._store.close()

    async def _say_goodbye(self) -> None:
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await self._store.take(self._belief.trip(0, leaves=True))

    def leave(self) -> None:
        """Refuse who waits and who comes."""
        self._places = 0
        self._refuse((waiter.visit for waiter in self._waiting()), "leaving", LEAVING)
        self._refuse([*self._answering, *self._readers], "leaving", LEAVING)

    async def next(self) -> Visit:
        """Count a visitor; raises RefusedError."""
        if self.state == "distrusted":
            raise RefusedError("distrusted", self._trouble)
        if len(self._queue) + len(self._aboard) >= self._places:
            self._queue = deque(waiter for waiter in self._queue if not waiter.visit.done())
            if len(self._queue) + len(self._aboard) >= self._places:
                raise self._full()
        waiter = Waiter(self._loop.time() + self._deadline, self._loop.create_future())
        self._queue.append(waiter)
        self._visited.set()
        if self._expiry is None:
            self._expiry = self._loop.call_at(waiter.deadline, self._expire)
        return await waiter.visit

    async def read(self) -> Reading:
        """Read the store, after this call began; raises RefusedError. Who asks meanwhile shares the next reading."""
        if len(self._readers) >= self._places:
            self._readers = [reader for reader in self._readers if not reader.done()]
            if len(self._readers) >= self._places:
                raise self._full()
        reader = self._loop.create_future()
        self._readers.append(reader)
        self._asked.set()
        try:
            async with asyncio.timeout(self._deadline):
                reading: Reading = await reader
        except TimeoutError:
            raise RefusedError("unavailable", LATE) from None
        if reading.distrusted:
            raise RefusedError("distrusted", reading.distrusted)
        return reading

    def _full(self) -> RefusedError:
        return RefusedError("busy", BUSY) if self._places else RefusedError("leaving", LEAVING)

    async def _travel(self) -> None:
        while True:
            self._visited.clear()
            self._aboard = [waiter for waiter in self._queue if not waiter.visit.done()]
            self._queue.clear()
            await self._trip()
            if not self._queue:
                pulse = self._loop.call_later(ALIVE if self.state == "up" else PROBE, self._visited.set)
                await self._visited.wait()
                pulse.cancel()

    async def _trip(self) -> None:
        """Take those aboard to the store; the same trip again, while its outcome is unknown and somebody waits."""
        trip, lost = self._belief.trip(len(self._aboard)), False
        for pause in _pauses():
            began = perf_counter()
            try:
                given = await self._store.take(trip)
            except (UnavailableError, BrokenError) as error:
                lost = lost or isinstance(error, LostError)
                self._note("lost", str(error))
            except StoreError as error:
                self._turned_away(trip, error, lost)
                return
            else:
                self.metrics.trip_seconds.observe(perf_counter() - began)
                self._arrived(trip, given)
                return
            await asyncio.sleep(pause)
            if all(waiter.visit.done() for waiter in self._aboard):
                return
            self.metrics.retries.inc()

    def _arrived(self, trip: Trip, given: Range) -> None:
        aboard, self._aboard = self._aboard, []
        before = self._belief.epoch, self._belief.wiped
        if not self._belief.accept(trip, given):
            self._refuse_all(aboard, "unavailable", "The store has begun another epoch meanwhile.")
            return
        self._note_epoch(*before)
        self._note("up")
        number = given.top - trip.n
        abandoned = 0
        for waiter in aboard:
            number += 1
            if waiter.visit.done():
                abandoned += 1
            else:
                waiter.visit.set_result(Visit(number, given.epoch))
        self.metrics.last_number.set(given.top)
        if trip.n:
            self.metrics.visitors.inc(trip.n)
            self.metrics.trip_visitors.observe(trip.n)
            self.metrics.abandoned.inc(abandoned)

    def _turned_away(self, trip: Trip, error: StoreError, lost: bool) -> None:
        """Learn why; those aboard travel again where it is certain that they were not counted."""
        aboard, self._aboard = self._aboard, []
        before = self._belief.epoch, self._belief.wiped
        self._belief.refused(trip, error)
        self._note_epoch(*before)
        self.reached.set()
        match error:
            case DistrustedError():
                self._note("distrusted", str(error))
                self._refuse_all(aboard, "distrusted", str(error))
            case ExhaustedError():
                self._note("up")
                self._refuse_all(aboard, "exhausted", str(error))
            case _:
                self._visited.set()
                if lost or isinstance(error, OutdatedError):
                    self._refuse_all(aboard, "unavailable", str(error))
                else:
                    self._queue.extendleft(reversed(aboard))

    async def _answer_readers(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            self._answering, self._readers = self._readers, []
            reading = await self._read()
            for reader in self._answering:
                if reading and not reader.done():
                    reader.set_result(reading)

    async def _watch(self) -> None:
        """Notice that the store is gone while nobody visits: what was seen here must be told as soon as it is back."""
        while True:
            await self._up.wait()
            soonest = self._loop.time() + REST
            await self._store.until_lost()
            self._visited.set()  # a trip finds out
            await asyncio.sleep(soonest - self._loop.time())

    async def _read(self) -> Reading | None:
        """Read the store, again and again while somebody waits; None if nobody does any more."""
        for pause in _pauses():
            before, changes = (self._belief.epoch, self._belief.wiped), self._belief.changes
            try:
                reading = await self._store.read(self._belief.epoch, self._belief.seen)
            except (UnavailableError, BrokenError) as error:
                self._trouble = self._trouble or str(error)
                await asyncio.sleep(pause)
            else:
                if changes == self._belief.changes:  # else it was read with what is no longer believed
                    break
            if all(reader.done() for reader in self._answering):
                return None
        if not reading.distrusted:
            self._belief.read(reading)
            self._note_epoch(*before)
        if reading.distrusted:
            if self.state == "up":
                self._visited.set()  # a trip finds out more
            self._note("distrusted", reading.distrusted)
        return reading

    def _waiting(self) -> Iterator[Waiter]:
        """Those who wait, in order of arrival."""
        return (waiter for waiter in chain(self._aboard, self._queue) if not waiter.visit.done())

    def _expire(self) -> None:
        """End the waits that are over. One timer serves all, since they end in order of arrival."""
        self._expiry = None
        due = self._loop.time() + TOGETHER
        over = []
        for waiter in self._waiting():
            if waiter.deadline > due:
                self._expiry = self._loop.call_at(waiter.deadline, self._expire)
                break
            over.append(waiter)
        self._refuse_all(over, "unavailable", LATE)

    def _refuse_all(self, waiters: Iterable[Waiter], reason: str, message: str) -> None:
        self._refuse((waiter.visit for waiter in waiters), reason, message)

    def _refuse(self, waiting: Iterable[asyncio.Future[Any]], reason: str, message: str) -> None:
        for answer in waiting:
            if not answer.done():
                answer.set_exception(RefusedError(reason, message))

    def _note(self, state: str, trouble: str = "") -> None:
        """Note how the store is; tell of a change, once."""
        self._trouble = trouble
        if state != "lost":
            self.reached.set()
        if state == self.state:
            return
        if state == "up":
            self._up.set()
            log.info("store is up", epoch=self._belief.epoch, last=self._belief.seen)
        else:
            self._up.clear()
            log.error(f"store is {state}", error=trouble)
        self.state = state
        self.metrics.state.state(state)

    def _note_epoch(self, before: str, wiped: bool) -> None:
        epoch = self._belief.epoch
        if self._belief.wiped and not wiped:
            self.metrics.wipes.inc()
            log.error("store was wiped: a new epoch begins", epoch=epoch)
        if epoch != before:
            if before and not wiped:
                log.warning("store is in another epoch", epoch=epoch, before=before)
            self.metrics.epoch.info({"epoch": epoch})


def _pauses() -> Iterator[float]:
    return chain(PAUSES, repeat(PAUSES[-1]))
