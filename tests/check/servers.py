"""Counters on 127.0.0.1 for the check to visit: an honest one, liars that lie once, and some that lose visits."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.check.commands import Result, check
from tests.support.processes import until

SILENCE = b""  # in the place of an answer: the connection is closed


def http(status: int, body: bytes, **headers: str) -> bytes:
    """An answer as bytes; `_` in a header's name stands for `-`."""
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Counter:
    """An honest counter of one process."""

    epoch, pod = "0123456789abcdef", "hello-a"

    def __init__(self, lie: int = 0) -> None:
        self.lie = lie
        """The visit at which a liar lies."""
        self.count = 0
        self.visits = 0
        self.reads = 0
        self.share = 0
        """How many numbers the pod has given."""

    def visit(self) -> bytes:
        self.visits += 1
        self.count += 1
        return self.greeting(self.count)

    async def visited(self, visits: int) -> None:
        """Wait until more than this many visits have come."""

        async def came() -> bool:
            return self.visits > visits

        await until(came, f"{visits} visits")

    def read(self) -> bytes:
        self.reads += 1
        return self.reading(self.count)

    def delay(self) -> float:
        """Seconds until a visit is counted and answered."""
        return 0.0

    def greeting(self, number: int, **headers: str) -> bytes:
        self.share += 1
        body = {"count": number, "pod": self.pod, "epoch": self.epoch}
        told = {"Hello_Count": str(number), "Hello_Pod": self.pod, "Hello_Epoch": self.epoch}
        return http(200, json.dumps(body).encode(), **{"Cache_Control": "no-store", **told, **headers})

    def reading(self, number: int) -> bytes:
        body = {"count": number, "epoch": self.epoch, "pods": {self.pod: self.share}}
        return http(200, json.dumps(body).encode(), Cache_Control="no-store", Hello_Pod=self.pod)


class Duplicate(Counter):
    def visit(self) -> bytes:
        if self.visits == self.lie:
            self.count -= 1
        return super().visit()


class Forgotten(Counter):
    """Forgets the last number that it gave."""

    def read(self) -> bytes:
        return self.reading(self.count - (self.visits == 2 * self.lie))


class Swapped(Counter):
    """Holds a number back for a hundred visits."""

    def visit(self) -> bytes:
        self.visits += 1
        self.count += 1
        if self.visits == self.lie + 100:
            return self.greeting(self.lie)
        return self.greeting(self.count + self.keeps_back)

    def read(self) -> bytes:
        return self.reading(self.count + self.keeps_back)

    @property
    def keeps_back(self) -> bool:
        return self.lie <= self.visits < self.lie + 100


class Cached(Counter):
    """Repeats the answer of two hundred visits before."""

    def visit(self) -> bytes:
        answer = super().visit()
        if self.visits == self.lie - 200:
            self.kept = answer
        if self.visits == self.lie:
            self.count -= 1
            return self.kept
        return answer


class GoneBack(Counter):
    def read(self) -> bytes:
        super().read()
        return self.reading(self.count - 100 * (self.reads == self.lie // 10))


class Skipped(Counter):
    def visit(self) -> bytes:
        self.count += self.visits == self.lie
        return super().visit()


class Second(Counter):
    epoch, pod = "fedcba9876543210", "hello-b"


class TwoCounters(Counter):
    def visit(self) -> bytes:
        if self.visits == self.lie:
            self.visits += 1
            return Second().visit()
        return super().visit()


class Careless(Counter):
    """Counts correctly, but some answers have flaws."""

    def visit(self) -> bytes:
        answer = super().visit()
        match self.visits - self.lie:
            case 0:
                return self.greeting(self.count, Hello_Count=str(self.count + 1))
            case 1:
                return self.greeting(self.count, Age="1")
            case 2:
                return self.greeting(self.count, Cache_Control="max-age=60")
            case 3:
                return http(200, b"Hello, world!", Cache_Control="no-store", Hello_Pod=self.pod)
            case 4:
                return http(503, b"busy", Hello_Pod=self.pod)
        return answer


class Wiped(Counter):
    def visit(self) -> bytes:
        if self.visits == self.lie:
            self.count, self.epoch = 0, "fedcba9876543210"
        return super().visit()


class Lossy(Counter):
    """Closes every other connection without counting or answering."""

    def visit(self) -> bytes:
        self.visits += 1
        if self.visits % 2 == 0:
            return SILENCE
        self.count += 1
        return self.greeting(self.count)


class LosesOneIn200(Counter):
    """Counts everybody, but loses one answer in 200."""

    def visit(self) -> bytes:
        answer = super().visit()
        return answer if self.visits % 200 else SILENCE


class Failing(Counter):
    """Counts one in 50, and answers 500 to the others."""

    def visit(self) -> bytes:
        self.visits += 1
        if self.visits % 50:
            return http(500, b"Internal Server Error")
        self.count += 1
        return self.greeting(self.count)


class Frozen(Counter):
    """Freezes once, and answers nobody meanwhile."""

    frozen = 3.0
    until: float | None = None

    def delay(self) -> float:
        now = asyncio.get_running_loop().time()
        if self.until is None and self.visits == self.lie:
            self.until = now + self.frozen
        return max((self.until or now) - now, 0)


class FrozenForLong(Frozen):
    frozen = 12.0


class Late(Counter):
    """Answers each visit after 12 s."""

    def delay(self) -> float:
        return 12.0


class DiesOnce(Counter):
    """Counts everybody, but closes one connection without an answer, like a pod that is killed."""

    def visit(self) -> bytes:
        answer = super().visit()
        return SILENCE if self.visits == self.lie else answer


class Mortal(Counter):
    """Dies for good."""

    server: asyncio.Server | None = None

    def visit(self) -> bytes:
        if self.visits < self.lie:
            return super().visit()
        assert self.server
        self.server.close()
        return SILENCE

    def read(self) -> bytes:
        return super().read() if self.visits < self.lie else SILENCE


class _Protocol(asyncio.Protocol):
    def __init__(self, counter: Counter, transports: set[asyncio.Transport]) -> None:
        self.counter = counter
        self.transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.transports.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        self.transports.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        reads = data.startswith(b"GET /count")
        if delay := 0.0 if reads else self.counter.delay():
            asyncio.get_running_loop().call_later(delay, self.answer, data, self.counter.visit)
        else:
            self.answer(data, self.counter.read if reads else self.counter.visit)

    def answer(self, data: bytes, what: Callable[[], bytes]) -> None:
        answer = what()
        self.transport.write(answer)
        if b"Connection: close" in data or answer == SILENCE:
            self.transport.close()


@asynccontextmanager
async def serving(counter: Counter) -> AsyncIterator[str]:
    """Serve a counter; its URL. Assumes that each request comes in one piece."""
    transports: set[asyncio.Transport] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Protocol(counter, transports), "127.0.0.1", 0)
    if isinstance(counter, Mortal):
        counter.server = server
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        while transports:
            for transport in transports:
                transport.abort()
            await asyncio.sleep(0)


async def checked(counter: Counter, *arguments: str) -> Result:
    """Check a counter."""
    async with serving(counter) as url:
        return await check(url, *arguments)
