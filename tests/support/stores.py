"""What tests ask of a store and do to one: batches, and what befalls the data."""

import shutil
import sqlite3
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hello.stores import Batch, Range, Store
from hello.stores.etcd.keys import delete
from hello.stores.etcd.store import EtcdStore
from hello.stores.memory import MemoryStore
from hello.stores.redis.store import RedisStore
from hello.stores.sqlite import SqliteStore
from tests.support.linux import require_etcd
from tests.support.processes import EtcdServer, RedisServer

FIRST = Batch(epoch="", client="a" * 32, sequence=1, answered=0, n=3, seen=0, pod="pod-a", new_epoch="e1")
OTHER = replace(FIRST, client="b" * 32, pod="pod-b", new_epoch="e2")

OpenEtcd = Callable[[str], EtcdStore]
RunRedis = Callable[..., Awaitable[RedisServer]]
"""What the fixtures `open_etcd` and `run_redis` are."""


def following(batch: Batch, given: Range, **changes: Any) -> Batch:
    """The next batch of the same process, after an answer."""
    known = replace(batch, sequence=2, epoch=given.epoch, answered=given.index, seen=given.top, new_epoch="")
    return replace(known, **changes)


async def wipe(store: Store) -> None:
    match store:
        case MemoryStore():
            store.__init__()  # type: ignore[misc]
        case SqliteStore():
            await store.read("", 0)
            with sqlite3.connect(store.path) as connection:
                connection.execute("DELETE FROM counter")
                connection.execute("DELETE FROM sessions")
            connection.close()
        case RedisStore():
            await redis_command(store, "FLUSHALL")
        case EtcdStore():
            await store._readings.write([], *(delete(key) for key in await etcd_keys(store)))  # noqa: SLF001


async def etcd_keys(store: EtcdStore) -> dict[str, str]:
    """The keys of a store's prefix, and their values."""
    answer = await store._readings.client.call("kv/range", store._keys.all())  # noqa: SLF001
    pairs = ((b64decode(pair["key"]), b64decode(pair.get("value", ""))) for pair in answer.get("kvs", []))
    return {key.decode(): value.decode() for key, value in pairs}


async def redis_command(store: RedisStore, *words: str) -> Any:
    """Send a command over the store's own connection; its answer."""
    await store._commits.send_command(*words)  # noqa: SLF001
    return await store._commits.read_response()  # noqa: SLF001


@asynccontextmanager
async def running(server: EtcdServer) -> AsyncIterator[EtcdServer]:
    require_etcd()
    try:
        yield await server.start()
    finally:
        server.kill()


async def restore(server: EtcdServer, snapshot: Path, *, token: str = "etcd-cluster") -> None:
    """Begin a cluster with an older copy of its data, as etcd's documentation has it."""
    server.kill()
    data = server.directory / "data"
    shutil.rmtree(data, ignore_errors=True)
    member = "--name", server.directory.name, "--initial-advertise-peer-urls", server.peer
    cluster = "--initial-cluster", server.cluster, "--initial-cluster-token", token
    await server.call("snapshot", "restore", snapshot, "--data-dir", data, *member, *cluster)
    await server.start()


async def empty(server: EtcdServer) -> None:
    """Replace it by a new one, which holds nothing."""
    server.kill()
    shutil.rmtree(server.directory / "data")
    await server.start()


class Copy:
    """An older copy of Redis' data."""

    def __init__(self, redis: RedisServer) -> None:
        self.redis = redis
        self.directory = redis.directory.with_name("copy")
        shutil.copytree(redis.directory / "appendonlydir", self.directory)

    async def restore(self) -> None:
        self.redis.kill()
        shutil.rmtree(self.redis.directory / "appendonlydir")
        shutil.copytree(self.directory, self.redis.directory / "appendonlydir")
        await self.redis.start()
