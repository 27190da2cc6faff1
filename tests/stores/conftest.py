"""What the tests of the stores share: stores that are closed when a test is over."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from hello.stores.etcd.store import EtcdStore
from hello.stores.redis.store import RedisStore
from tests.support.processes import RedisServer
from tests.support.stores import OpenEtcd


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
