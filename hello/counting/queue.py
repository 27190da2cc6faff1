"""The queue of visitors who wait for a number, in order of arrival, each until a deadline."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import Generic, NamedTuple, TypeVar

from hello.metrics import Reason

DEADLINE_SHARE = 0.97
"""The share of the deadline after which a wait ends, so that the answer arrives in time."""

EXPIRY_RESOLUTION = 0.05
"""Waits that end within so many seconds of each other end together."""

RETRY_BACKOFF = (0.02, 0.05, 0.1, 0.2)
"""Seconds before the first, second … retry; the last one from then on."""

QUEUE_FULL = "As many visitors are waiting as may wait."
LATE = "The store did not answer in time."
LEAVING = "This pod is leaving."

T = TypeVar("T")


def retry_backoff() -> Iterator[float]:
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


class Waiter(NamedTuple, Generic[T]):
    """A waiter, and the loop's time at which the wait ends."""

    deadline: float
    answer: asyncio.Future[T]


class Queue(Generic[T]):
    """The batch in flight and those who came since: at most `limit`, each of whom waits for `deadline` seconds."""

    def __init__(self, deadline: float, limit: int) -> None:
        self.arrival = asyncio.Event()
        """Set when somebody comes, or when something else needs a commit; cleared by taking a batch."""
        self._deadline = deadline * DEADLINE_SHARE
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Waiter[T]] = deque()
        self._in_flight: list[Waiter[T]] = []
        self._expiry: asyncio.TimerHandle | None = None

    def __bool__(self) -> bool:
        """Whether anybody came since the last batch was taken."""
        return bool(self._waiting)

    def join(self) -> asyncio.Future[T]:
        """Join the queue; raises RefusedError, as the future does."""
        if len(self._waiting) + len(self._in_flight) >= self._limit:
            self._waiting = deque(waiter for waiter in self._waiting if not waiter.answer.done())
            if len(self._waiting) + len(self._in_flight) >= self._limit:
                raise RefusedError("busy", QUEUE_FULL) if self._limit else RefusedError("leaving", LEAVING)
        waiter = Waiter(self._loop.time() + self._deadline, self._loop.create_future())
        self._waiting.append(waiter)
        self.arrival.set()
        if self._expiry is None:
            self._expiry = self._loop.call_at(waiter.deadline, self._expire)
        return waiter.answer

    def take_batch(self) -> int:
        """Take all who wait into the batch in flight; returns their number."""
        self.arrival.clear()
        self._in_flight = [waiter for waiter in self._waiting if not waiter.answer.done()]
        self._waiting.clear()
        return len(self._in_flight)

    def is_batch_awaited(self) -> bool:
        """Whether anybody still waits for the batch in flight."""
        return not all(waiter.answer.done() for waiter in self._in_flight)

    def answer_batch(self, answers: Iterable[T]) -> int:
        """Answer the batch in flight; returns how many no longer waited."""
        batch, self._in_flight = self._in_flight, []
        abandoned = 0
        for waiter, answer in zip(batch, answers, strict=False):
            if waiter.answer.done():
                abandoned += 1
            else:
                waiter.answer.set_result(answer)
        return abandoned

    def refuse_batch(self, reason: Reason, message: str) -> None:
        batch, self._in_flight = self._in_flight, []
        _refuse(batch, reason, message)

    def put_batch_back(self) -> None:
        """Put the batch in flight, which was not counted, at the head of the queue."""
        self._waiting.extendleft(reversed(self._in_flight))
        self._in_flight = []

    def close(self) -> None:
        """Refuse those who wait and those who come."""
        self._limit = 0
        _refuse(self._all(), "leaving", LEAVING)

    def _all(self) -> Iterator[Waiter[T]]:
        return chain(self._in_flight, self._waiting)

    def _expire(self) -> None:
        """End the waits that are over. They end in order of arrival, so one timer serves all."""
        self._expiry = None
        due = self._loop.time() + EXPIRY_RESOLUTION
        over = []
        for waiter in self._all():
            if not waiter.answer.done() and waiter.deadline > due:
                self._expiry = self._loop.call_at(waiter.deadline, self._expire)
                break
            over.append(waiter)
        _refuse(over, "unavailable", LATE)


def _refuse(waiters: Iterable[Waiter[T]], reason: Reason, message: str) -> None:
    for waiter in waiters:
        if not waiter.answer.done():
            waiter.answer.set_exception(RefusedError(reason, message))
