"""Counters on 127.0.0.1 that the check visits: an honest one, and liars that lie once in a run."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LIE = 5_000  # the visit at which a liar lies


def http(status: int, body: bytes, **headers: str) -> bytes:
    """An answer; `_` in a header's name stands for `-`."""
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Counter:
    """An honest counter of one process, and its answers as bytes."""

    epoch, pod = "0123456789abcdef", "hello-a"

    def __init__(self) -> None:
        self.count = 0
        self.visits = 0
        self.reads = 0

    def visit(self) -> bytes:
        """Be visited."""
        self.visits += 1
        self.count += 1
        return self.greeting(self.count)

    def read(self) -> bytes:
        """Be read."""
        self.reads += 1
        return self.reading(self.count)

    def greeting(self, number: int, **headers: str) -> bytes:
        body = {"count": number, "pod": self.pod, "epoch": self.epoch}
        told = {"Hello_Count": str(number), "Hello_Pod": self.pod, "Hello_Epoch": self.epoch}
        return http(200, json.dumps(body).encode(), **{"Cache_Control": "no-store", **told, **headers})

    def reading(self, number: int) -> bytes:
        return http(200, json.dumps({"count": number, "epoch": self.epoch}).encode(), Cache_Control="no-store")


class Duplicate(Counter):
    def visit(self) -> bytes:
        if self.visits == LIE:
            self.count -= 1
        return super().visit()


class Forgotten(Counter):
    """Forgets the last number that it gave."""

    def read(self) -> bytes:
        return self.reading(self.count - (self.visits == 2 * LIE))


class Swapped(Counter):
    """Keeps a number back for the hundredth visit after."""

    def visit(self) -> bytes:
        self.visits += 1
        self.count += self.visits != LIE + 100
        if self.visits < LIE or self.visits > LIE + 100:
            return self.greeting(self.count)
        return self.greeting(LIE if self.visits == LIE + 100 else self.count + 1)


class Cached(Counter):
    """Answers what it answered two hundred visits before."""

    def visit(self) -> bytes:
        answer = super().visit()
        if self.visits == LIE - 200:
            self.kept = answer
        if self.visits == LIE:
            self.count -= 1
            return self.kept
        return answer


class GoneBack(Counter):
    def read(self) -> bytes:
        super().read()
        return self.reading(self.count - 100 * (self.reads == LIE // 10))


class Skipped(Counter):
    def visit(self) -> bytes:
        self.count += self.visits == LIE
        return super().visit()


class Second(Counter):
    epoch, pod = "fedcba9876543210", "hello-b"


class TwoCounters(Counter):
    def visit(self) -> bytes:
        if self.visits == LIE:
            self.visits += 1
            return Second().visit()
        return super().visit()


class Careless(Counter):
    """Counts well, but some answers are not as they should be."""

    def visit(self) -> bytes:
        answer = super().visit()
        match self.visits - LIE:
            case 0:
                return self.greeting(self.count, Hello_Count=str(self.count + 1))
            case 1:
                return self.greeting(self.count, Age="1")
            case 2:
                return self.greeting(self.count, Cache_Control="max-age=60")
            case 3:
                return http(200, b"Hello, world!", Cache_Control="no-store")
            case 4:
                return http(503, b"busy")
        return answer


class _Protocol(asyncio.Protocol):
    def __init__(self, counter: Counter) -> None:
        self.counter = counter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.counter.read() if data.startswith(b"GET /count") else self.counter.visit())
        if b"Connection: close" in data:
            self.transport.close()


@asynccontextmanager
async def serving(counter: Counter) -> AsyncIterator[str]:
    """Serve it; its URL. A request is taken to come in one piece."""
    server = await asyncio.get_running_loop().create_server(lambda: _Protocol(counter), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
