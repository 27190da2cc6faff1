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
from hello.web.connections import SEND_TIMEOUT
from hello.web.page import Greeter

MESSAGE_INTERVAL = 1.0
"""Seconds between messages, which also keep proxies from closing the stream."""

STREAM_LIFETIME = 60.0
"""Seconds after which a stream ends and the page opens another.

A proxy that buffers the stream reads it to its end, even after its client has left.
"""

LATE_READINGS = 3
"""Consecutive late readings before the store counts as lost: a machine may be slow."""

WATCHER_LIMIT = 2000
"""Most streams of one process. An address may have as many as it leaves free for others."""

POD_TIMEOUT = HEARTBEAT_INTERVAL + 3
"""Seconds without a batch after which a pod counts as gone."""

GONE_POD_LIFETIME = 600
"""Seconds for which a gone pod keeps its own line."""

POD_LIMIT = 50
"""Most pods with their own line."""


class Events:
    """The stream. One reader reads the store once a second for all watchers."""

    def __init__(self, counter: Counter, greeter: Greeter, leaving: asyncio.Event) -> None:
        self._counter = counter
        self._greeter = greeter
        self._leaving = leaving
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Future[str] = self._loop.create_future()
        """The next message; empty at the end."""
        self._watchers = Tally[str | None]()
        """Streams by address."""
        counter.metrics.watchers.set_function(self._watchers.total)
        self._late = 0
        """Consecutive late readings."""
        self._outage = Outage()

    async def watch(self, request: BaseRequest) -> StreamResponse:
        """Send a message a second; 503 if this process is leaving or full."""
        left = WATCHER_LIMIT - self._watchers.total()
        if self._leaving.is_set() or self._watchers[request.remote] >= left:
            text = "This pod is shutting down.\n" if self._leaving.is_set() else "Too many viewers.\n"
            return Response(status=503, text=text, headers={"Retry-After": "1"})
        response = EventSourceResponse(send_timeout=SEND_TIMEOUT)
        with self._place(request.remote), suppress(ConnectionError, TimeoutError):
            await response.prepare(request)
            async with response:
                await self._send_messages(response)
        response.force_close()
        return response

    async def _send_messages(self, response: EventSourceResponse) -> None:
        began = self._loop.time()
        while message := await asyncio.shield(self._next):
            await response.send(message)
            if self._loop.time() - began > STREAM_LIFETIME:
                await response.send("", event="end")
                return

    @contextmanager
    def _place(self, address: str | None) -> Iterator[None]:
        self._watchers[address] += 1
        if self._watchers.total() == 1:
            self._reader = asyncio.create_task(self._read_on())
        try:
            yield
        finally:
            self._watchers -= Tally([address])  # an address without a watcher is forgotten
            if not self._watchers:
                self._reader.cancel()

    async def _read_on(self) -> None:
        """Send to all watchers. A reading begins after they arrived, so it is not below what they already know."""
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
        """The count, or the state of a store that cannot be read."""
        message = {**self._greeter._asdict(), "state": "up", "reason": ""}
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
    """The store's last outage, by this process's clock: no pod could make a batch meanwhile."""

    on: bool = False
    began: float = 0
    ended: float = 0
    heard: float = 0

    def end(self, now: float) -> None:
        if self.on:
            self.on, self.began, self.ended = False, self.heard, now
        self.heard = now

    def silence(self, seconds: float) -> float:
        """Subtract the outage from the seconds since a pod's last batch."""
        last = self.heard - seconds
        return seconds - (self.ended - self.began if last <= self.began else 0)


def total(reading: Reading, outage: Outage) -> dict[str, Any]:
    """The count and the shares: a line for each pod seen lately, and one figure for the rest."""
    silence = {pod: outage.silence(seconds) for pod, seconds in reading.silence.items()}
    first = sorted(silence, key=lambda pod: silence[pod])[:POD_LIMIT]
    lines = [pod for pod in first if silence[pod] < GONE_POD_LIFETIME]
    return {
        "epoch": reading.epoch,
        "count": reading.count,
        "pods": [{"pod": pod, "count": reading.pods[pod], "gone": silence[pod] > POD_TIMEOUT} for pod in lines],
        "earlier": sum(reading.pods.values()) - sum(reading.pods[pod] for pod in lines),
    }
