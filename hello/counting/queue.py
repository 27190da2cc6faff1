"""Visitors who wait for a number: in order of arrival, each until a deadline."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import NamedTuple

from hello.metrics import Reason

DEADLINE_SHARE = 0.97
"""The share of the deadline after which a wait ends, so that the answer has arrived by then."""

EXPIRY_RESOLUTION = 0.05
"""Waits that end within so many seconds end at once."""

RETRY_BACKOFF = (0.02, 0.05, 0.1, 0.2)
"""Seconds before the first, second … repetition; the last one from then on."""

QUEUE_FULL = "As many visitors are waiting as may wait."
LATE = "The store did not answer in time."
LEAVING = "This pod is leaving."


def retry_backoff() -> Iterator[float]:
    """The seconds of RETRY_BACKOFF, without an end."""
    return chain(RETRY_BACKOFF, repeat(RETRY_BACKOFF[-1]))


class Visit(NamedTuple):
    """A visitor's number, in its epoch."""

    number: int
    epoch: str


class RefusedError(Exception):
    """No number for this visitor. `reason` is for the metrics; the message is for the visitor."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def no_place(limit: int) -> RefusedError:
    """Why nobody may join a queue that is full; its limit is 0 once it is closed."""
    return RefusedError("busy", QUEUE_FULL) if limit else RefusedError("leaving", LEAVING)


class Waiter(NamedTuple):
    """A visitor who waits, and the loop's time at which the wait ends."""

    deadline: float
    visit: asyncio.Future[Visit]


class Queue:
    """Those who wait: the batch in flight, and who has come since. They are `limit` at the most.

    deadline: seconds for which a visitor waits.
    """

    def __init__(self, deadline: float, limit: int) -> None:
        self.arrival = asyncio.Event()
        """Set when somebody comes, or when something else needs a commit; who takes the next batch clears it."""
        self._deadline = deadline * DEADLINE_SHARE
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Waiter] = deque()
        self._in_flight: list[Waiter] = []
        self._expiry: asyncio.TimerHandle | None = None

    def __bool__(self) -> bool:
        """Whether somebody has come since the last batch was taken."""
        return bool(self._waiting)

    def join(self) -> asyncio.Future[Visit]:
        """Wait for a number from now on; raises RefusedError."""
        if len(self._waiting) + len(self._in_flight) >= self._limit:
            self._waiting = deque(waiter for waiter in self._waiting if not waiter.visit.done())
            if len(self._waiting) + len(self._in_flight) >= self._limit:
                raise no_place(self._limit)
        waiter = Waiter(self._loop.time() + self._deadline, self._loop.create_future())
        self._waiting.append(waiter)
        self.arrival.set()
        if self._expiry is None:
            self._expiry = self._loop.call_at(waiter.deadline, self._expire)
        return waiter.visit

    def take_batch(self) -> int:
        """Put all who wait into the batch in flight; how many they are."""
        self.arrival.clear()
        self._in_flight = [waiter for waiter in self._waiting if not waiter.visit.done()]
        self._waiting.clear()
        return len(self._in_flight)

    def is_batch_awaited(self) -> bool:
        """Whether anybody in the batch in flight still waits."""
        return not all(waiter.visit.done() for waiter in self._in_flight)

    def answer_batch(self, top: int, epoch: str) -> int:
        """Give out the numbers of the batch in flight, the last of which is `top`; how many nobody waited for."""
        batch, self._in_flight = self._in_flight, []
        abandoned = 0
        for number, waiter in enumerate(batch, top - len(batch) + 1):
            if waiter.visit.done():
                abandoned += 1
            else:
                waiter.visit.set_result(Visit(number, epoch))
        return abandoned

    def refuse_batch(self, reason: Reason, message: str) -> None:
        """Refuse the batch in flight."""
        batch, self._in_flight = self._in_flight, []
        _refuse(batch, reason, message)

    def put_batch_back(self) -> None:
        """Let the batch in flight, which was not counted, be the first of the next one."""
        self._waiting.extendleft(reversed(self._in_flight))
        self._in_flight = []

    def close(self) -> None:
        """Refuse who waits and who comes."""
        self._limit = 0
        _refuse(self._all(), "leaving", LEAVING)

    def _all(self) -> Iterator[Waiter]:
        return chain(self._in_flight, self._waiting)

    def _expire(self) -> None:
        """End the waits that are over. One timer serves all, since they end in order of arrival."""
        self._expiry = None
        due = self._loop.time() + EXPIRY_RESOLUTION
        over = []
        for waiter in self._all():
            if not waiter.visit.done() and waiter.deadline > due:
                self._expiry = self._loop.call_at(waiter.deadline, self._expire)
                break
            over.append(waiter)
        _refuse(over, "unavailable", LATE)


def _refuse(waiters: Iterable[Waiter], reason: Reason, message: str) -> None:
    for waiter in waiters:
        if not waiter.visit.done():
            waiter.visit.set_exception(RefusedError(reason, message))
