"""What the tests of the server share: a server, both paths of a visit, and connections."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from tests.support import client
from tests.support.client import Connect, Connection
from tests.support.processes import Hello


@pytest.fixture(scope="module")
def server() -> Iterator[Hello]:
    """A server that tests share if they only send requests."""
    server = Hello("--store", "memory:", "--pod", "pod-<1>")
    asyncio.run(server.start())
    yield server
    asyncio.run(server.kill())


@pytest.fixture(params=[{}, client.HANDLED], ids=["fast", "handled"])
def both_paths(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test twice: with visits on the fast path, and through aiohttp's handler."""
    monkeypatch.setattr(client, "headers_of_all", request.param)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens connections, and closes them after the test."""
    with ExitStack() as stack:

        async def connect(url: str, source: str = "127.0.0.1") -> Connection:
            return stack.enter_context(await Connection.open(url, source))

        yield connect
