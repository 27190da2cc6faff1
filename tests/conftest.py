"""What the tests share: stores, and servers over them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from signal import SIGINT, default_int_handler, signal

import pytest

from tests.processes import Hello, RedisServer

# A shell ignores SIGINT for what it runs in the background, and so would every process that the tests interrupt.
signal(SIGINT, default_int_handler)


@pytest.fixture
async def redis_server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A redis-server of the test's own."""
    server = await RedisServer(tmp_path / "redis").start()
    yield server
    server.kill()


@pytest.fixture
async def hello() -> AsyncIterator[Callable[..., Hello]]:
    """Makes servers that are gone when the test is over: `await hello("--store", …).start()`."""
    async with AsyncExitStack() as stack:

        def make(*arguments: str, command: tuple[str, ...] = (), **environment: str) -> Hello:
            server = Hello(*arguments, command=command, **environment)
            stack.push_async_callback(server.kill)
            return server

        yield make
