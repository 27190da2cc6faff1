"""The stream, without a browser."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from hello.counting.counter import Counter
from hello.metrics import Metrics
from hello.stores import Store
from tests.server.ports import listening, port_over


class Stream:
    """An open stream."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self.content = content

    async def next(self) -> Any:
        """The next message; None at the end."""
        async for line in self.content:
            if line == b"event: end\r\n":
                return None
            if line.startswith(b"data:"):
                return json.loads(line.removeprefix(b"data:"))
        return None


@asynccontextmanager
async def asking(url: str, source: str = "127.0.0.1") -> AsyncIterator[aiohttp.ClientResponse]:
    """Ask for the stream of a server, from an address of this machine."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(source, 0))) as client,
        client.get(f"{url}/events", headers={"Accept": "text/event-stream"}) as response,
    ):
        yield response


@asynccontextmanager
async def watch(url: str) -> AsyncIterator[Stream]:
    """Watch a server."""
    async with asking(url) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        yield Stream(response.content)


async def has_room(url: str, source: str = "127.0.0.1") -> bool:
    """Whether an address may watch."""
    async with asking(url, source) as response:
        return response.status == 200


@asynccontextmanager
async def served(store: Store) -> AsyncIterator[str]:
    """A server in this process; its URL."""
    counting = Counter(store, "pod", Metrics(), deadline=10).running()
    async with counting as counter, listening(port_over(counter)) as url:
        yield url
