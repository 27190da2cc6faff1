"""What the tests of the stores share: servers and stores that are gone when a test is over."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest

from hello.stores.etcd.store import EtcdStore
from hello.stores.redis.store import RedisStore
from tests.support.processes import RedisServer
from tests.support.stores import OpenEtcd, RunRedis


@pytest.fixture
async def run_redis(tmp_path: Path) -> AsyncIterator[RunRedis]:
    """Runs redis-servers: `await run_redis("one", "--option", "value")`."""
    with ExitStack() as stack:

        async def run(name: str, *arguments: str, **options: Any) -> RedisServer:
            server = RedisServer(tmp_path / name, *arguments, **options)
            stack.callback(server.kill)
            return await server.start()

        yield run


@pytest.fixture
async def redis_store(redis_server: RedisServer) -> AsyncIterator[RedisStore]:
    """The store in a Redis of the test's own."""
    store = RedisStore(redis_server.url)
    yield store
    await store.close()


@pytest.fixture
async def open_etcd() -> AsyncIterator[OpenEtcd]:
    """Opens a store in an etcd: `open_etcd(url)`."""
    async with AsyncExitStack() as stack:

        def open_store(url: str) -> EtcdStore:
            store = EtcdStore(url)
            stack.push_async_callback(store.close)
            return store

        yield open_store
