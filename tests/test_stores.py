"""The contract of a store: one suite over all three."""

import asyncio
import sqlite3
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Connection

from hello.server import loop_factory
from hello.stores import (
    EARLIER_PODS,
    LIMIT,
    MEMORY,
    DistrustedError,
    ExhaustedError,
    ForgottenError,
    LostError,
    OtherEpochError,
    OutdatedError,
    Store,
    Trip,
    UnavailableError,
    WipedError,
    redis,
)
from hello.stores.memory import MemoryStore
from hello.stores.redis import RedisStore
from hello.stores.sqlite import SqliteStore
from tests.processes import RedisServer
from tests.proxy import Proxy

FIRST = Trip(epoch="", process="a", sequence=1, answered=0, n=3, seen=0, pod="pod-a", new_epoch="e1")
NEXT = replace(FIRST, sequence=2, answered=1, seen=3)
OTHER = replace(FIRST, process="b", pod="pod-b", new_epoch="e2")


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with _opened(request.param, tmp_path) as (store, _):
        yield store


@pytest.fixture(params=["sqlite", "redis"])
async def aged(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Store, RedisServer | None]]:
    async with _opened(request.param, tmp_path) as opened:
        yield opened


@asynccontextmanager
async def _opened(kind: str, directory: Path) -> AsyncIterator[tuple[Store, RedisServer | None]]:
    server = await RedisServer(directory / "redis").start() if kind == "redis" else None
    store: Store = MemoryStore() if kind == "memory" else SqliteStore(directory / "hello.db")
    if server:
        store = RedisStore(server.url)
    yield store, server
    await store.close()
    if server:
        server.kill()


async def wipe(store: Store) -> None:
    match store:
        case MemoryStore():
            store.__init__()  # type: ignore[misc]
        case SqliteStore():
            await store.read("", 0)
            with sqlite3.connect(store.path) as connection:
                for table in "counter", "pods", "processes":
                    connection.execute(f"DELETE FROM {table}")
            connection.close()
        case RedisStore():
            await store._trips.send_command("FLUSHALL")  # noqa: SLF001
            await store._trips.read_response()  # noqa: SLF001


async def test_an_empty_store_has_no_epoch(store: Store) -> None:
    reading = await store.read("", 0)
    assert (reading.epoch, reading.count, reading.began, reading.distrusted, dict(reading.pods)) == ("", 0, 0, "", {})


async def test_the_first_trip_begins_the_epoch_that_it_brings(store: Store) -> None:
    given = await store.take(FIRST)
    assert (given.epoch[:2], given.top) == ("e1", 3)
    assert abs(given.time - time.time()) < 5


async def test_a_process_that_believes_in_no_epoch_takes_the_one_that_is_there(store: Store) -> None:
    epoch = (await store.take(FIRST)).epoch
    given = await store.take(OTHER)
    assert (given.epoch, given.top) == (epoch, 6)


async def test_a_trip_that_begins_an_epoch_again_begins_another_one(store: Store) -> None:
    """It may come late, after a wipe."""
    before = (await store.take(FIRST)).epoch
    await wipe(store)
    assert (await store.take(FIRST)).epoch != before


async def test_a_range_follows_the_one_before(store: Store) -> None:
    assert [(await store.take(trip)).top for trip in (FIRST, NEXT, OTHER)] == [3, 6, 9]


async def test_a_trip_sent_again_gets_the_same_range_and_counts_once(store: Store) -> None:
    given = await store.take(FIRST)
    await store.take(OTHER)
    assert await store.take(FIRST) == given
    assert (await store.read("", 0)).count == 6


async def test_a_trip_that_begins_an_epoch_may_be_sent_again(store: Store) -> None:
    assert await store.take(FIRST) == await store.take(FIRST)
    assert (await store.read("", 0)).count == 3


async def test_a_trip_older_than_the_last_one_is_refused(store: Store) -> None:
    await store.take(FIRST)
    await store.take(replace(NEXT, sequence=3))
    with pytest.raises(OutdatedError):
        await store.take(NEXT)
    assert (await store.read("", 0)).count == 6


async def test_a_trip_for_nobody_counts_nobody_but_begins_an_epoch(store: Store) -> None:
    given = await store.take(replace(FIRST, n=0))
    assert (given.epoch[:2], given.top) == ("e1", 0)
    assert (await store.read("", 0)).pods == {"pod-a": 0}


async def test_a_process_that_believed_in_an_epoch_is_told_that_the_store_is_empty(store: Store) -> None:
    with pytest.raises(WipedError):
        await store.take(replace(NEXT, epoch="e1"))
    assert (await store.read("", 0)).epoch == ""


async def test_a_trip_of_another_epoch_is_told_the_present_one_and_counts_nothing(store: Store) -> None:
    epoch = (await store.take(FIRST)).epoch
    with pytest.raises(OtherEpochError) as told:
        await store.take(replace(NEXT, epoch="e0"))
    assert told.value.epoch == epoch
    assert (await store.read("", 0)).count == 3


async def test_a_store_with_less_than_was_seen_is_distrusted_by_all(store: Store) -> None:
    await store.take(FIRST)
    with pytest.raises(DistrustedError):
        await store.take(replace(NEXT, seen=4))
    with pytest.raises(DistrustedError):
        await store.take(OTHER)
    reading = await store.read("", 0)
    assert (reading.count, bool(reading.distrusted)) == (3, True)


async def test_less_than_was_seen_is_distrusted_though_the_trip_would_make_up_for_it(store: Store) -> None:
    await store.take(FIRST)
    with pytest.raises(DistrustedError):
        await store.take(replace(NEXT, n=100, seen=4))


async def test_a_reading_of_less_than_was_seen_makes_the_store_distrusted(store: Store) -> None:
    epoch = (await store.take(FIRST)).epoch
    assert not (await store.read(epoch, 3)).distrusted
    assert not (await store.read("e0", 4)).distrusted
    assert (await store.read(epoch, 4)).distrusted
    with pytest.raises(DistrustedError):
        await store.take(NEXT)


async def test_a_store_that_has_lost_an_answered_trip_is_distrusted(store: Store) -> None:
    """The count alone does not show it: another process has counted past it since."""
    await store.take(FIRST)
    with pytest.raises(DistrustedError):
        await store.take(replace(NEXT, sequence=3, answered=2))


async def test_a_process_without_a_record_is_told_and_not_counted(store: Store) -> None:
    await store.take(OTHER)
    with pytest.raises(ForgottenError) as told:
        await store.take(replace(NEXT, seen=0))
    assert abs(told.value.time - time.time()) < 5
    assert (await store.read("", 0)).count == 3


async def test_a_process_whose_trips_were_all_lost_needs_no_record(store: Store) -> None:
    await store.take(OTHER)
    assert (await store.take(replace(FIRST, sequence=5))).top == 6


async def test_the_count_never_passes_its_limit(store: Store) -> None:
    await store.reset("e1", LIMIT - 4)
    assert (await store.take(FIRST)).top == LIMIT - 1
    with pytest.raises(ExhaustedError):
        await store.take(replace(NEXT, n=2, seen=LIMIT - 1))
    assert (await store.take(replace(NEXT, n=1, sequence=3, seen=LIMIT - 1))).top == LIMIT
    assert (await store.read("e1", LIMIT)).count == LIMIT


@pytest.mark.parametrize("top", [10**14, 10**15 + 1, 2**53 - 1])
async def test_large_numbers_are_exact(store: Store, top: int) -> None:
    await store.reset("e1", top - 3)
    given = await store.take(FIRST)
    assert given.top == top
    assert await store.take(FIRST) == given
    assert (await store.read("e1", top)).count == top


async def test_the_shares_add_up_to_the_count(store: Store) -> None:
    for trip in FIRST, OTHER, NEXT:
        await store.take(trip)
    reading = await store.read("", 0)
    assert reading.pods == {"pod-a": 6, "pod-b": 3}
    assert reading.began + sum(reading.pods.values()) == reading.count


async def test_reset_begins_an_epoch_with_its_own_shares(store: Store) -> None:
    await store.take(FIRST)
    await store.reset("e9", 41)
    reading = await store.read("e1", 3)
    assert (reading.epoch, reading.count, reading.began, dict(reading.pods)) == ("e9", 41, 41, {})
    assert (await store.take(OTHER)).top == 44
    reading = await store.read("", 0)
    assert reading.began + sum(reading.pods.values()) == reading.count


async def test_a_trip_counted_before_a_reset_is_not_counted_again_after_it(store: Store) -> None:
    """Sent by a process that believed in no epoch, and sent again because its answer was lost."""
    await store.take(FIRST)
    await store.reset("e9", 0)
    with pytest.raises(OtherEpochError) as told:
        await store.take(FIRST)
    assert told.value.epoch == "e9"
    assert (await store.read("", 0)).count == 0


async def test_reset_makes_a_distrusted_store_count_again(store: Store) -> None:
    await store.read((await store.take(FIRST)).epoch, 4)
    await store.reset("e2", 4)
    given = await store.take(OTHER)
    assert (given.epoch, given.top) == ("e2", 7)


async def test_an_empty_store_is_reset_too(store: Store) -> None:
    await store.reset("e1", 0)
    assert (await store.take(FIRST)).top == 3


async def test_another_connection_sees_the_same(tmp_path: Path, redis_server: RedisServer) -> None:
    for url in tmp_path / "hello.db", redis_server.url:
        one, two = (SqliteStore(url) if isinstance(url, Path) else RedisStore(url) for _ in range(2))
        given = await one.take(FIRST)
        assert (await two.take(OTHER)).top == 6
        await one.close()
        assert await two.take(FIRST) == given
        await two.close()


async def test_a_connection_that_is_reset_before_its_first_command_is_lost_in_any_loop(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = redis._connect  # noqa: SLF001

    async def connect_and_be_reset(connection: Connection) -> None:
        await connect(connection)
        connection._writer.transport.abort()  # type: ignore[union-attr]  # noqa: SLF001
        with suppress(ConnectionError):
            await connection._writer.wait_closed()  # type: ignore[union-attr]  # noqa: SLF001

    async def take() -> None:
        store = RedisStore(redis_server.url)
        monkeypatch.setattr(redis, "_connect", connect_and_be_reset)
        with pytest.raises(LostError):
            await store.take(FIRST)
        monkeypatch.undo()
        assert (await store.take(FIRST)).top == 3
        await store.close()

    def run() -> None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(take())

    await asyncio.to_thread(run)


async def test_redis_is_reached_over_a_socket_of_the_machine(tmp_path: Path) -> None:
    server = await RedisServer(tmp_path / "redis", "--unixsocket", str(tmp_path / "socket")).start()
    store = RedisStore(f"unix://{tmp_path / 'socket'}")
    assert (await store.take(FIRST)).top == 3
    await store.close()
    server.kill()


async def test_redis_is_reached_over_tls(redis_server: RedisServer, certificate: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with Proxy(redis_server.port, tls) as proxy:
        store = RedisStore(f"rediss://127.0.0.1:{proxy.port}?ssl_ca_certs={certificate}")
        assert (await store.take(FIRST)).top == 3
        await store.close()


async def test_a_share_that_is_none_counts_nobody(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url)
    await store.take(FIRST)
    for pod in "pod-a", "pod-b":
        await redis_server.call("HSET", "{hello}:pods", pod, "rubbish")
        for _ in range(2):
            with pytest.raises(UnavailableError):
                await store.take(replace(OTHER, pod="pod-a"))
        await redis_server.call("HDEL", "{hello}:pods", pod)
    assert (await store.read("", 0)).count == 3
    await store.close()


async def test_more_pods_than_are_folded_at_once_lose_no_visitor(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url)
    await store.reset("e1", 0)
    shares = [word for number in range(2500) for word in (f"old-{number}", "1 1")]
    await redis_server.call("HSET", "{hello}:pods", *shares)
    for process in "abc":
        await store.take(replace(FIRST, process=process))
    assert (await store.read("", 0)).pods == {EARLIER_PODS: 2500, "pod-a": 9}
    await store.close()


async def _age(store: Store, server: RedisServer | None, tmp_path: Path, seconds: int) -> None:
    """Make all that the store remembers of pods and processes older."""
    then = int(time.time()) - seconds
    if server is None:
        with sqlite3.connect(tmp_path / "hello.db") as connection:
            connection.execute("UPDATE pods SET seen = ?", (then,))
            connection.execute("UPDATE processes SET time = ?", (then,))
        connection.close()
        return
    pods = (await store.read("", 0)).pods
    for pod, count in pods.items():
        await server.call("HSET", "{hello}:pods", pod, f"{count} {then}")
    if seconds >= MEMORY:
        await server.call("DEL", "{hello}:process:a", "{hello}:process:b")


async def test_pods_unseen_for_a_day_are_folded_into_one_entry(
    aged: tuple[Store, RedisServer | None], tmp_path: Path
) -> None:
    store, server = aged
    await store.take(FIRST)
    await store.take(OTHER)
    await _age(store, server, tmp_path, MEMORY + 1)
    await store.take(replace(FIRST, process="c", pod="pod-c"))
    assert (await store.read("", 0)).pods == {EARLIER_PODS: 6, "pod-c": 3}
    await _age(store, server, tmp_path, MEMORY + 1)
    await store.take(replace(FIRST, process="d", pod="pod-d"))
    assert (await store.read("", 0)).pods == {EARLIER_PODS: 9, "pod-d": 3}


async def test_pods_seen_within_a_day_keep_their_entry(aged: tuple[Store, RedisServer | None], tmp_path: Path) -> None:
    store, server = aged
    await store.take(FIRST)
    await _age(store, server, tmp_path, MEMORY - 60)
    await store.take(OTHER)
    assert (await store.read("", 0)).pods == {"pod-a": 3, "pod-b": 3}


async def test_a_reading_tells_when_each_pod_made_its_last_trip(store: Store) -> None:
    first = (await store.take(FIRST)).time
    reading = await store.read("", 0)
    assert reading.seen == {"pod-a": first}
    assert first <= reading.time < first + 5


async def test_a_trip_for_nobody_shows_that_its_pod_is_there(
    aged: tuple[Store, RedisServer | None], tmp_path: Path
) -> None:
    store, server = aged
    await store.take(FIRST)
    await store.take(OTHER)
    await _age(store, server, tmp_path, 60)
    now = (await store.take(replace(NEXT, n=0))).time
    reading = await store.read("", 0)
    assert reading.pods == {"pod-a": 3, "pod-b": 3}
    assert reading.seen["pod-a"] == now
    assert reading.seen["pod-b"] < now - 50


async def test_a_process_idle_for_a_day_is_forgotten(aged: tuple[Store, RedisServer | None], tmp_path: Path) -> None:
    store, server = aged
    await store.take(FIRST)
    await _age(store, server, tmp_path, MEMORY + 1)
    with pytest.raises(ForgottenError):
        await store.take(NEXT)


async def test_redis_forgets_a_process_after_a_day(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url)
    await store.take(FIRST)
    await store.close()
    left = int((await redis_server.call("TTL", "{hello}:process:a"))[1:])
    assert MEMORY - 60 < left <= MEMORY


async def test_all_keys_of_redis_share_one_hash_tag(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url)
    await store.take(FIRST)
    await store.close()
    keys = await redis_server.lines("KEYS", "*")
    assert sorted(keys) == ["{hello}", "{hello}:pods", "{hello}:process:a"]


async def test_an_answer_left_over_on_the_connection_is_not_taken_for_a_trips(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url)
    await store.take(FIRST)
    await store._trips.send_command("ECHO", "left over")  # noqa: SLF001
    with suppress(LostError):
        await store.take(NEXT)
    assert (await store.take(NEXT)).top == 6
    await store.close()
