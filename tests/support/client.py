"""An HTTP client of few words: it sends what it is told, once, and never again."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

HANDLED = {"Expect": "nothing"}
"""A header that takes a visit off the fast path."""

headers_of_all: dict[str, str] = {}
"""Headers that each request has: see the fixture `both_paths`."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; the names of its headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: str


class Connection:
    """A connection that stays open until one side closes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, url: str, source: str | None = None) -> Self:
        """Connect to the host and port of a URL, from an address if one is given; raises OSError."""
        address, own = urlsplit(url), (source, 0) if source else None
        return cls(*await asyncio.open_connection(address.hostname, address.port, local_addr=own))

    def send(self, method: str = "GET", path: str = "/", **headers: str) -> None:
        """Send a request without a body. A header is written as Python can: `Sec_Purpose="prefetch"`."""
        lines = [
            f"{name.replace('_', '-')}: {value}"
            for name, value in {"Host": "hello", **headers_of_all, **headers}.items()
        ]
        self.writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode())

    async def receive(self, *, body: bool = True) -> Response:
        """Receive an answer; raises OSError or EOFError if the connection ends before it is whole."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        content = await self.reader.readexactly(int(headers["content-length"])) if body else b""
        return Response(int(status.split()[1]), headers, content.decode())

    async def closed(self) -> bool:
        """Wait for the other side to close; false if it says something instead."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


Connect = Callable[..., Awaitable[Connection]]


async def request(url: str, method: str = "GET", path: str = "/", **headers: str) -> Response:
    """Send a request over a connection of its own; raises OSError or EOFError if no answer comes."""
    with await Connection.open(url) as connection:
        connection.send(method, path, **headers)
        return await connection.receive(body=method != "HEAD")


async def figure(url: str, name: str) -> float:
    """Read one figure of /metrics, by its name and labels as they stand there; 0 if it is not there."""
    text = (await request(url, path="/metrics")).body
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} ")), 0.0)


async def state(url: str) -> str:
    """Read how a server sees its store: starting, up, lost or distrusted."""
    text = (await request(url, path="/metrics")).body
    return next(
        line.split('"')[1]
        for line in text.splitlines()
        if line.startswith("hello_store_state{")
        if line.endswith(" 1.0")
    )
