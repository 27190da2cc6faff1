"""The stream, without a browser."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp


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
