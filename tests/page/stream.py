"""The stream, without a browser."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import RawTestServer, TestClient

from hello.counting.counter import Counter
from hello.metrics import Metrics
from hello.stores import Store
from hello.web.page import Greeter
from hello.web.routes import add_admin_routes, public_routes
from hello.web.visits import Visits

Client = TestClient[web.BaseRequest, None]


class Stream:
    """An open stream."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self.content = content

    async def next(self) -> Any:
        """The next message; nothing if the stream is over."""
        async for line in self.content:
            if line == b"event: end\r\n":
                return None
            if line.startswith(b"data:"):
                return json.loads(line.removeprefix(b"data:"))
        return None


@asynccontextmanager
async def watch(url: str) -> AsyncIterator[Stream]:
    """Watch a server."""
    async with aiohttp.request("GET", f"{url}/events", headers={"Accept": "text/event-stream"}) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        yield Stream(response.content)


@asynccontextmanager
async def served(store: Store, queue_limit: int = 4096) -> AsyncIterator[Client]:
    """A server in this process."""
    async with Counter(store, "pod", Metrics(), deadline=10, queue_limit=queue_limit).running() as counter:
        greeter = Greeter("pod", "memory")
        routes = public_routes(counter, greeter, Visits(counter, greeter), asyncio.Event())
        add_admin_routes(routes, counter)
        client: Client
        async with TestClient(RawTestServer(routes, handler_cancellation=True)) as client:
            yield client
