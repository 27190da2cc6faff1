"""What the tests of the live page share: a browser and its windows, and servers."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.browser import browser, window  # noqa: F401 -- fixtures
from tests.support.processes import Hello, RedisServer

EXPECTED = {"serving", "store is up", "store is lost", "leaving"}
"""Events that the shared servers may log. On a busy machine, Redis may time out."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    """A redis-server for all tests that do not disturb it."""
    server = await RedisServer(tmp_path_factory.mktemp("page") / "redis").start()
    yield server
    server.kill()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def pods(redis: RedisServer) -> AsyncIterator[list[Hello]]:
    """Two servers over it."""
    servers = [Hello("--store", redis.url, "--pod", pod) for pod in ("pod-a", "pod-b")]
    await asyncio.gather(*(server.start() for server in servers))
    await asyncio.gather(*(server.ready() for server in servers))
    yield servers
    for server in servers:
        assert await server.stop() == 0
        assert set(server.events()) <= EXPECTED
