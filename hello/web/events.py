"""The live stream: what keeps the page up to date."""

import asyncio
import json
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from aiohttp.web import BaseRequest, Response, StreamResponse
from aiohttp_sse import EventSourceResponse

from hello.counting.counter import HEARTBEAT_INTERVAL, Counter
from hello.counting.queue import RefusedError
from hello.stores import Reading
from hello.web.page import Greeter

MESSAGE_INTERVAL = 1.0
"""Seconds between two messages; they also keep proxies from closing the stream."""

LATE_READINGS = 3
"""Readings in a row that may be late, each by a period, before the store is said to be away: a slow machine is none."""

WATCHER_LIMIT = 2000
"""Browsers that may watch one process: from one address, as many as leave as many places to others."""

SEND_TIMEOUT = 5.0
"""Seconds after which a watcher who takes nothing is dropped."""

POD_TIMEOUT = HEARTBEAT_INTERVAL + 3
"""Seconds without a batch after which a pod is taken to be gone."""

GONE_POD_LIFETIME = 600
"""Seconds for which a pod that is gone keeps a line of its own."""

POD_LIMIT = 50
"""Pods with a line of their own, at the most."""


class Events:
    """The stream. One reader asks the store once a second, while somebody watches this process."""

    def __init__(self, counter: Counter, greeter: Greeter, store: str, leaving: asyncio.Event) -> None:
        self._counter = counter
        self._greeter = greeter
        self._store = store
        self._leaving = leaving
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Future[str] = self._loop.create_future()
        """The message to come; empty if it is the end."""
        self._watchers = Tally[str | None]()
        """How many watch, by address."""
        self._late = 0
        """Readings in a row that were late."""
        self._outage = Outage()

    async def watch(self, request: BaseRequest) -> StreamResponse:
        """Send a message a second until either side leaves; 503 if this process is leaving, or has no place."""
        left = WATCHER_LIMIT - self._watchers.total()
        if self._leaving.is_set() or self._watchers[request.remote] >= left:
            text = "This pod is leaving.\n" if self._leaving.is_set() else "As many are watching as may watch.\n"
            return Response(status=503, text=text, headers={"Retry-After": "1"})
        response = EventSourceResponse(send_timeout=SEND_TIMEOUT)
        with self._place(request.remote), suppress(ConnectionError, TimeoutError):
            await response.prepare(request)
            async with response:
                while message := await asyncio.shield(self._next):
                    await response.send(message)
        response.force_close()
        return response

    @contextmanager
    def _place(self, address: str | None) -> Iterator[None]:
        self._watchers[address] += 1
        if self._watchers.total() == 1:
            self._reader = asyncio.create_task(self._read_on())
        self._counter.metrics.watchers.set(self._watchers.total())
        try:
            yield
        finally:
            self._watchers -= Tally([address])  # an address without a watcher is forgotten
            if not self._watchers:
                self._reader.cancel()
            self._counter.metrics.watchers.set(self._watchers.total())

    async def _read_on(self) -> None:
        """Tell all who watch. A reading begins after they came, so it is not below what they know already."""
        self._late = 0
        while not self._leaving.is_set():
            due = self._loop.time() + MESSAGE_INTERVAL
            watched, self._next = self._next, self._loop.create_future()
            watched.set_result(json.dumps(await self._message()))
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._leaving.wait()
        self._next.set_result("")

    async def _message(self) -> dict[str, Any]:
        """What there is to tell: the count, or how the store is if it does not tell."""
        message = {**self._greeter._asdict(), "store": self._store, "state": "up", "reason": ""}
        try:
            async with asyncio.timeout(MESSAGE_INTERVAL):
                reading = await self._counter.read()
        except (RefusedError, TimeoutError) as error:
            self._late += 1
            state = self._counter.state.name
            if state == "up" and isinstance(error, TimeoutError) and self._late < LATE_READINGS:
                return message
            self._outage.on = True
            return message | {"state": "lost" if state == "up" else state, "reason": str(error)}
        self._late = 0
        self._outage.end(self._loop.time())
        return message | total(reading, self._outage)


@dataclass(slots=True)
class Outage:
    """The last time in which the store was away, by this process's clock: no pod could make a batch then."""

    on: bool = False
    began: float = 0
    ended: float = 0
    heard: float = 0

    def end(self, now: float) -> None:
        """Note that the store answered."""
        if self.on:
            self.on, self.began, self.ended = False, self.heard, now
        self.heard = now

    def silence(self, seconds: float) -> float:
        """For how many of so many seconds the store was there."""
        last = self.heard - seconds
        return seconds - (self.ended - self.began if last <= self.began else 0)


def total(reading: Reading, outage: Outage) -> dict[str, Any]:
    """The count and the pods' shares: a line for each pod seen lately, and one figure for the rest."""
    silence = {pod: outage.silence(seconds) for pod, seconds in reading.silence.items()}
    first = sorted(silence, key=lambda pod: silence[pod])[:POD_LIMIT]
    lines = [pod for pod in first if silence[pod] < GONE_POD_LIFETIME]
    return {
        "epoch": reading.epoch,
        "count": reading.count,
        "pods": [{"pod": pod, "count": reading.pods[pod], "gone": silence[pod] > POD_TIMEOUT} for pod in lines],
        "earlier": sum(reading.pods.values()) - sum(reading.pods[pod] for pod in lines),
    }
