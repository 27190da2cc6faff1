"""The contract of a store: one suite over all four."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from hello.server import loop_factory
from hello.stores import (
    EARLIER_PODS,
    LIMIT,
    POD_LIFETIME,
    POD_LIMIT,
    SESSION_TIMEOUT,
    Batch,
    DistrustedError,
    ExhaustedError,
    ForgottenError,
    LostError,
    OtherEpochError,
    OutdatedError,
    Range,
    Store,
    UnavailableError,
    WipedError,
)
from hello.stores.etcd.store import EtcdStore
from hello.stores.memory import MemoryStore
from hello.stores.redis import store as redis_module
from hello.stores.redis.store import RedisStore
from hello.stores.sqlite import SqliteStore
from tests.support.linux import require
from tests.support.processes import REDIS_SERVERS, RedisServer, until
from tests.support.stores import FIRST, OTHER, RunRedis, following, redis_command, wipe

AHEAD = Range("4102444800000000-ahead", 1, 1)
"""What was seen of an epoch that is later than all others here."""


@pytest.fixture(params=["memory", "sqlite", *REDIS_SERVERS, "etcd"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, run_redis: RunRedis) -> AsyncIterator[Store]:
    store: Store
    match request.param:
        case "memory":
            store = MemoryStore()
        case "sqlite":
            store = SqliteStore(tmp_path / "hello.db")
        case "etcd":
            store = EtcdStore(request.getfixturevalue("etcd_url"))
        case kind:
            store = RedisStore((await run_redis(kind, server=_installed(kind))).url)
    yield store
    await store.close()


def _installed(kind: str) -> str:
    path = REDIS_SERVERS[kind] or kind
    require(path, "--version")
    return path


async def test_an_empty_store_has_no_epoch(store: Store) -> None:
    reading = await store.read("", 0)
    assert (reading.epoch, reading.count, reading.began, reading.distrusted, dict(reading.pods)) == ("", 0, 0, "", {})


async def test_the_first_batch_begins_the_epoch_that_it_brings(store: Store) -> None:
    before = time.time()
    given = await store.commit(FIRST)
    assert (given.epoch[17:], given.top) == ("e1", 3)
    assert given.index > 0
    assert before - 0.01 < int(given.epoch[:16]) / 1e6 < time.time() + 0.01


async def test_a_batch_that_begins_an_epoch_again_begins_another_one(store: Store) -> None:
    """It may come late, after a wipe."""
    before = (await store.commit(FIRST)).epoch
    await wipe(store)
    assert (await store.commit(FIRST)).epoch != before


async def test_a_range_follows_the_one_before(store: Store) -> None:
    first = await store.commit(FIRST)
    assert (await store.commit(following(FIRST, first))).top == 6
    last = await store.commit(OTHER)
    assert (last.epoch, last.top) == (first.epoch, 9)
    assert last.index > first.index


async def test_a_batch_sent_again_gets_the_same_range_and_counts_once(store: Store) -> None:
    given = await store.commit(FIRST)
    await store.commit(OTHER)
    assert await store.commit(FIRST) == given
    assert (await store.read("", 0)).count == 6


async def test_a_batch_older_than_the_last_one_is_refused(store: Store) -> None:
    given = await store.commit(FIRST)
    await store.commit(following(FIRST, given, sequence=3))
    with pytest.raises(OutdatedError):
        await store.commit(following(FIRST, given))
    assert (await store.read("", 0)).count == 6


async def test_a_batch_for_nobody_counts_nobody_but_begins_an_epoch(store: Store) -> None:
    given = await store.commit(replace(FIRST, n=0))
    assert (given.epoch[17:], given.top) == ("e1", 0)
    assert (await store.read("", 0)).pods == {"pod-a": 0}


async def test_a_process_that_believed_in_an_epoch_is_told_that_the_store_is_empty(store: Store) -> None:
    batch = following(FIRST, await store.commit(FIRST))
    await wipe(store)
    with pytest.raises(WipedError):
        await store.commit(batch)
    assert (await store.read("", 0)).epoch == ""


async def test_an_epoch_is_later_than_the_one_that_it_follows_whatever_the_clock_says(store: Store) -> None:
    given = await store.commit(replace(FIRST, epoch=AHEAD.epoch))
    assert given.epoch == "4102444800000001-e1"
    await store.reset("e2", 0)
    assert (await store.read("", 0)).epoch == "4102444800000002-e2"


async def test_a_batch_that_began_an_epoch_after_a_wipe_gets_the_same_range_again(store: Store) -> None:
    batch = replace(FIRST, epoch="1000000000000000-before")
    assert await store.commit(batch) == await store.commit(batch)
    assert (await store.read("", 0)).count == 3


async def test_a_batch_of_another_epoch_is_told_the_present_one_and_counts_nothing(store: Store) -> None:
    given = await store.commit(FIRST)
    await store.reset("e2", 5)
    with pytest.raises(OtherEpochError) as told:
        await store.commit(following(FIRST, given))
    reading = await store.read("", 0)
    assert (told.value.epoch, 5) == (reading.epoch, reading.count)


async def test_a_store_with_less_than_was_seen_is_distrusted_by_all(store: Store) -> None:
    given = await store.commit(FIRST)
    with pytest.raises(DistrustedError):
        await store.commit(following(FIRST, given, n=100, seen=4))  # the batch would make up for it
    with pytest.raises(DistrustedError):
        await store.commit(OTHER)
    reading = await store.read("", 0)
    # etcd cannot compare a sum before it counts: nobody gets the numbers of who found out.
    assert (reading.count, bool(reading.distrusted)) == (103 if isinstance(store, EtcdStore) else 3, True)


async def test_a_reading_of_less_than_was_seen_makes_the_store_distrusted(store: Store) -> None:
    given = await store.commit(FIRST)
    assert not (await store.read(given.epoch, 3)).distrusted
    assert not (await store.read("1000000000000000-before", 4)).distrusted
    assert (await store.read(given.epoch, 4)).distrusted
    with pytest.raises(DistrustedError):
        await store.commit(following(FIRST, given))


async def test_a_store_that_has_lost_an_answered_batch_is_distrusted(store: Store) -> None:
    """The count alone does not show it: another process has counted past it since."""
    given = await store.commit(FIRST)
    with pytest.raises(DistrustedError):
        await store.commit(following(FIRST, given, sequence=3, answered=given.index + 1))


async def test_a_store_that_has_lost_all_trips_of_a_process_is_distrusted(store: Store) -> None:
    given = await store.commit(OTHER)
    with pytest.raises(DistrustedError):
        await store.commit(following(FIRST, given, seen=0))
    assert (await store.read("", 0)).count == 3


async def test_a_process_whose_batches_were_all_lost_needs_no_record(store: Store) -> None:
    await store.commit(OTHER)
    assert (await store.commit(replace(FIRST, sequence=5))).top == 6


async def test_the_count_never_passes_its_limit(store: Store) -> None:
    await store.reset("e1", LIMIT - 4)
    given = await store.commit(FIRST)
    assert given.top == LIMIT - 1
    with pytest.raises(ExhaustedError):
        await store.commit(following(FIRST, given, n=2))
    assert (await store.commit(following(FIRST, given, n=1, sequence=3))).top == LIMIT
    assert (await store.read(given.epoch, LIMIT)).count == LIMIT


@pytest.mark.parametrize("top", [10**14, 10**15 + 1, 2**53 - 1])
async def test_large_numbers_are_exact(store: Store, top: int) -> None:
    await store.reset("e1", top - 3)
    given = await store.commit(FIRST)
    assert given.top == top
    assert await store.commit(FIRST) == given
    assert (await store.read(given.epoch, top)).count == top


async def test_the_shares_add_up_to_the_count(store: Store) -> None:
    given = await store.commit(FIRST)
    await store.commit(OTHER)
    await store.commit(following(FIRST, given))
    await store.commit(replace(OTHER, client="c" * 32, pod="pod-a"))
    reading = await store.read("", 0)
    assert reading.pods == {"pod-a": 9, "pod-b": 3}
    assert reading.began + sum(reading.pods.values()) == reading.count


async def test_reset_begins_an_epoch_with_its_own_shares(store: Store) -> None:
    before = await store.commit(FIRST)
    await store.reset("e9", 41)
    reading = await store.read(before.epoch, 3)
    assert (reading.epoch[17:], reading.count, reading.began, dict(reading.pods)) == ("e9", 41, 41, {})
    assert (await store.commit(OTHER)).top == 44
    reading = await store.read("", 0)
    assert reading.pods == {"pod-b": 3}


@pytest.mark.parametrize("batch", [None, following(OTHER, AHEAD), replace(OTHER, epoch=AHEAD.epoch)])
async def test_a_store_in_an_earlier_epoch_than_was_seen_is_distrusted_by_all(
    store: Store, batch: Batch | None
) -> None:
    """The next epoch is later than what was seen: else a clock that was ahead would make every reset an earlier one."""
    await store.commit(FIRST)
    if batch is None:
        assert (await store.read(AHEAD.epoch, 0)).distrusted
    else:
        with pytest.raises(DistrustedError):
            await store.commit(batch)
    with pytest.raises(DistrustedError):
        await store.commit(OTHER)
    assert (await store.read("", 0)).distrusted
    await store.reset("e2", 4)
    with pytest.raises(OtherEpochError) as told:
        await store.commit(following(OTHER, AHEAD))
    given = await store.commit(OTHER)
    assert (given.epoch, given.top) == (told.value.epoch, 7) == ("4102444800000001-e2", 7)


async def test_a_connection_that_is_reset_before_its_first_command_is_lost_in_any_loop(
    redis_server: RedisServer,
) -> None:
    async def commit() -> None:
        store = RedisStore(redis_server.url)
        connection = store._commits  # noqa: SLF001
        await redis_module._connect(connection)  # noqa: SLF001
        connection._writer.transport.abort()  # type: ignore[union-attr]  # noqa: SLF001
        with suppress(ConnectionError):
            await connection._writer.wait_closed()  # type: ignore[union-attr]  # noqa: SLF001
        with pytest.raises(LostError):
            await redis_module._call(connection, "PING")  # noqa: SLF001
        assert (await store.commit(FIRST)).top == 3
        await store.close()

    def run() -> None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(commit())

    await asyncio.to_thread(run)


async def test_redis_is_reached_over_a_socket_of_the_machine(tmp_path: Path, run_redis: RunRedis) -> None:
    await run_redis("redis", "--unixsocket", str(tmp_path / "socket"))
    store = RedisStore(f"unix://{tmp_path / 'socket'}")
    assert (await store.commit(FIRST)).top == 3
    await store.close()


@pytest.mark.parametrize("kind", REDIS_SERVERS)
async def test_the_documented_rights_are_enough_and_none_is_too_many(run_redis: RunRedis, kind: str) -> None:
    rights, server = _documented_rights(), await run_redis(kind, server=_installed(kind))
    url = f"redis://hello:mellon@127.0.0.1:{server.port}"
    for missing in None, *[right for right in rights if right.startswith("+")]:
        await server.call("FLUSHALL")
        await server.call("SCRIPT", "FLUSH")
        given = [right for right in rights if right != missing]
        assert await server.call("ACL", "SETUSER", "hello", "reset", *given) == "+OK"
        assert (await _does_all(url)) == (missing is None), missing


def _documented_rights() -> list[str]:
    readme = Path(__file__).parents[2].joinpath("manifests/README.md").read_text("utf-8")
    (line,) = re.findall(r"^    ACL SETUSER hello (.*)", readme, re.MULTILINE)
    return str(line).replace("PASSWORD", "mellon").split()


async def _does_all(url: str) -> bool:
    """Whether a store can begin, count, read, answer the roll call and be reset."""
    store = RedisStore(url)
    try:
        first = await store.commit(FIRST)
        await store.commit(following(FIRST, first))
        await store.read("", 0)
        await store.reset("e2", 5)
        await store.commit(OTHER)
    except UnavailableError:
        return False
    finally:
        await store.close()
    return True


@pytest.mark.parametrize("record", ["rubbish", "", "e1 1 nan 1 1 1 pod"])
async def test_a_record_that_is_none_counts_nobody(
    redis_store: RedisStore, redis_server: RedisServer, record: str
) -> None:
    given = await redis_store.commit(FIRST)
    await redis_server.call("HSET", "{hello}", FIRST.client, record)
    for batch in following(FIRST, given), OTHER:
        with pytest.raises((UnavailableError, DistrustedError)):
            await redis_store.commit(batch)
    with pytest.raises(UnavailableError):
        await redis_store.read("", 0)
    assert await redis_server.call("HGET", "{hello}", "count") == "3"


@pytest.mark.parametrize("right", ["hget", "hscan", "hset", "hdel", "hmget", "time"])
async def test_a_right_that_is_lacking_costs_no_number(
    redis_store: RedisStore, redis_server: RedisServer, right: str
) -> None:
    """What a script wrote before it failed stays written, and the batch is sent again."""
    first = await redis_store.commit(FIRST)
    await _date_back(redis_store, POD_LIFETIME + 1)
    await redis_server.call("ACL", "SETUSER", "default", f"-{right}")
    batch = replace(OTHER, epoch=first.epoch)
    for _ in range(3):
        with suppress(UnavailableError):
            await redis_store.commit(batch)
    await redis_server.call("ACL", "SETUSER", "default", f"+{right}")
    assert (await redis_store.commit(batch)).top == 6
    assert (await redis_store.read("", 0)).count == 6


async def _date_back(store: RedisStore, seconds: int) -> None:
    """Make the records of all sessions older."""
    fields = await redis_command(store, "HGETALL", "{hello}")
    for client, record in zip(fields[::2], fields[1::2], strict=True):
        if len(client) == 32:
            *before, then, total, pod = record.split(" ")
            older = " ".join([*before, str(int(then) - seconds), total, pod])
            await redis_command(store, "HSET", "{hello}", client, older)


Age = Callable[[int], Awaitable[None]]


@pytest.fixture
def age(store: Store, monkeypatch: pytest.MonkeyPatch) -> Age:
    """Lets so many seconds pass: by this process's clocks, or in what Redis remembers."""

    async def age(seconds: int) -> None:
        if isinstance(store, RedisStore):
            await _date_back(store, seconds)
            return
        for clock, unit in ("time", 1), ("time_ns", 10**9), ("monotonic", 1):
            now = getattr(time, clock)
            monkeypatch.setattr(time, clock, lambda now=now, unit=unit: now() + seconds * unit)

    return age


async def test_pods_unseen_for_a_day_are_folded_into_one_entry(store: Store, age: Age) -> None:
    await store.commit(FIRST)
    await store.commit(OTHER)
    await age(POD_LIFETIME + 1)
    await store.commit(replace(FIRST, client="c" * 32, pod="pod-c"))
    assert (await store.read("", 0)).pods == {EARLIER_PODS: 6, "pod-c": 3}
    await age(POD_LIFETIME + 1)
    await store.commit(replace(FIRST, client="d" * 32, pod="pod-d"))
    assert (await store.read("", 0)).pods == {EARLIER_PODS: 9, "pod-d": 3}


async def test_pods_seen_within_a_day_keep_their_entry(store: Store, age: Age) -> None:
    await store.commit(FIRST)
    await age(POD_LIFETIME - 60)
    await store.commit(OTHER)
    assert (await store.read("", 0)).pods == {"pod-a": 3, "pod-b": 3}


async def test_a_batch_for_nobody_shows_that_its_pod_is_there(store: Store, age: Age) -> None:
    given = await store.commit(FIRST)
    await store.commit(OTHER)
    await age(59)
    await store.commit(following(FIRST, given, n=0))
    reading = await store.read("", 0)
    assert reading.pods == {"pod-a": 3, "pod-b": 3}
    assert reading.silence["pod-a"] < 5
    assert reading.silence["pod-b"] > 50


async def test_a_process_idle_for_a_day_is_forgotten_and_the_store_trusted(store: Store, age: Age) -> None:
    given = await store.commit(FIRST)
    await age(POD_LIFETIME + 1)
    await store.commit(OTHER)
    with pytest.raises(ForgottenError):
        await store.commit(following(FIRST, given))
    assert not (await store.read("", 0)).distrusted


async def test_a_process_idle_for_a_day_is_not_forgotten_while_nobody_comes(store: Store, age: Age) -> None:
    """Whatever a clock says that was wrong for a moment."""
    given = await store.commit(FIRST)
    await age(POD_LIFETIME + 1)
    assert (await store.commit(following(FIRST, given))).top == 6


Two = tuple[RedisStore, Batch, RedisStore, Batch]


@pytest.fixture
async def two(
    redis_store: RedisStore, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Two]:
    """Two processes that have counted, with the batch that each makes next, and no end to a wait for either."""
    monkeypatch.setattr(redis_module, "ROLL_CALL_TIMEOUT", 3600)
    one, other = redis_store, RedisStore(redis_server.url)
    next_of_one = following(FIRST, await one.commit(FIRST))
    next_of_other = following(OTHER, await other.commit(OTHER))
    yield one, next_of_one, other, next_of_other
    await other.close()


async def restart(server: RedisServer) -> None:
    server.kill()
    await server.start()


async def speaks(store: RedisStore, batch: Batch, server: RedisServer, missing: int) -> asyncio.Task[Range]:
    """Send a batch, and wait until its process has said what it saw and waits for others."""
    task = asyncio.create_task(store.commit(batch))

    async def has_spoken() -> bool:
        return await server.call("HLEN", "{hello}:roll") == f":{1 + missing}"

    await until(has_spoken, "the process has spoken")
    return task


async def both_are_refused(two: Two, server: RedisServer) -> None:
    """The one waits for the other, who knows that numbers were lost."""
    one, next_of_one, other, next_of_other = two
    waiting = await speaks(one, next_of_one, server, missing=1)
    for committing in other.commit(next_of_other), waiting:
        with pytest.raises(DistrustedError):
            await committing


async def test_nobody_counts_after_a_restart_before_all_have_spoken(two: Two, redis_server: RedisServer) -> None:
    one, next_of_one, other, next_of_other = two
    await restart(redis_server)
    waiting = await speaks(one, next_of_one, redis_server, missing=1)
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            await asyncio.shield(waiting)
    assert not waiting.done()
    assert (await other.commit(next_of_other)).top in (9, 12)
    assert (await waiting).top in (9, 12)


async def test_who_saw_what_is_lost_says_so_before_anybody_counts(two: Two, redis_server: RedisServer) -> None:
    await redis_server.call("HSET", "{hello}", "count", 5)
    await restart(redis_server)
    await both_are_refused(two, redis_server)


async def test_a_reset_after_a_restart_is_later_than_the_epoch_that_was_seen(
    two: Two, redis_server: RedisServer
) -> None:
    one, next_of_one, other, next_of_other = two
    await restart(redis_server)
    later = replace(next_of_other, epoch=AHEAD.epoch)
    await both_are_refused((one, next_of_one, other, later), redis_server)
    await one.reset("e2", 0)
    with pytest.raises(OtherEpochError) as told:
        await one.commit(next_of_one)
    assert told.value.epoch == "4102444800000001-e2"


async def test_who_is_silent_is_waited_for_no_longer_than_the_bound(
    two: Two, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, next_of_one, _, _ = two
    await restart(redis_server)
    monkeypatch.setattr(redis_module, "ROLL_CALL_TIMEOUT", 0)
    assert (await one.commit(next_of_one)).top == 9


class Pauses:
    """Holds a process between two looks at a roll call, until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.ends = asyncio.Event(), asyncio.Event()
        self._sleep = asyncio.sleep
        monkeypatch.setattr(redis_module, "ROLL_CALL_INTERVAL", 12.5)
        monkeypatch.setattr(asyncio, "sleep", self._pause)

    async def _pause(self, seconds: float) -> None:
        if seconds != 12.5:
            await self._sleep(seconds)
            return
        self.begun.set()
        await self.ends.wait()
        await self._sleep(0.05)


async def test_a_wait_that_is_over_ends_no_roll_call_of_another_run(
    two: Two, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis restarts twice, with older data, while one process waits and another one, which saw more, is silent."""
    one, next_of_one, *_ = two
    pauses = Pauses(monkeypatch)
    monkeypatch.setattr(redis_module, "ROLL_CALL_TIMEOUT", 0.2)
    await redis_server.call("HSET", "{hello}", "count", 5)
    await restart(redis_server)
    waiting = asyncio.create_task(one.commit(next_of_one))
    await pauses.begun.wait()
    await asyncio.sleep(0.3)
    monkeypatch.setattr(redis_module, "ROLL_CALL_TIMEOUT", 3600)
    await restart(redis_server)
    pauses.ends.set()
    with pytest.raises(LostError):
        await waiting
    await both_are_refused(two, redis_server)


async def test_a_roll_call_that_is_over_lets_nobody_count_in_another_run(
    two: Two, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis restarts between the end of the roll call and the batch."""
    one, next_of_one, *_ = two
    answer_roll_call = RedisStore._answer_roll_call  # noqa: SLF001

    async def restart_after_it(*of_whom: Any) -> None:
        await answer_roll_call(*of_whom)
        await redis_server.call("HSET", "{hello}", "count", 5)
        await restart(redis_server)

    await restart(redis_server)
    with monkeypatch.context() as patch, suppress(LostError):
        patch.setattr(redis_module, "ROLL_CALL_TIMEOUT", 0)
        patch.setattr(RedisStore, "_answer_roll_call", restart_after_it)
        await one.commit(next_of_one)
    assert await redis_server.call("HGET", "{hello}", "count") == "5"
    await both_are_refused(two, redis_server)


async def test_who_had_not_counted_for_long_is_not_waited_for(two: Two, redis_server: RedisServer) -> None:
    one, next_of_one, _, _ = two
    await _date_back(one, 60)
    given = await one.commit(next_of_one)
    await restart(redis_server)
    assert (await one.commit(following(FIRST, given, sequence=3))).top == 12


MANY = 10_000


async def _have_sessions(server: RedisServer, store: Store, *, seconds: int = 0) -> str:
    """Let many sessions of as many pods have counted one visitor each, so many seconds ago; the epoch."""
    await store.reset("e1", 0)
    epoch, then = (await store.read("", 0)).epoch, int(time.time()) - seconds
    for first in range(0, MANY, 1000):
        records = ((f"{i:032}", f"{epoch} 1 {i + 1} {i + 1} {then} 1 pod-{i}") for i in range(first, first + 1000))
        await server.call("HSET", "{hello}", *(word for record in records for word in record))
    await server.call("HSET", "{hello}", "count", MANY, "index", MANY)
    return epoch


async def test_many_idle_sessions_are_folded_as_new_ones_come(
    redis_store: RedisStore, redis_server: RedisServer
) -> None:
    """Until then a reading shows some of the pods, and the rest as one."""
    epoch = await _have_sessions(redis_server, redis_store, seconds=SESSION_TIMEOUT)
    reading = await redis_store.read(epoch, MANY)
    assert (reading.count, sum(reading.pods.values())) == (MANY, MANY)
    assert len(reading.pods) < MANY / 5
    for number in range(40):
        await redis_store.commit(replace(FIRST, client=md5(bytes([number])).hexdigest(), epoch=epoch, n=0))
    fields = int((await redis_server.call("HLEN", "{hello}")).removeprefix(":"))
    assert fields < 3 * POD_LIMIT
    reading = await redis_store.read(epoch, MANY)
    assert (reading.count, sum(reading.pods.values())) == (MANY, MANY)


async def test_a_roll_call_of_many_sessions_ends(
    redis_store: RedisStore, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = await _have_sessions(redis_server, redis_store)
    await restart(redis_server)
    monkeypatch.setattr(redis_module, "ROLL_CALL_TIMEOUT", 3600)
    batch = replace(FIRST, client=f"{0:032}", epoch=epoch, sequence=2, answered=1)
    with suppress(TimeoutError, LostError):  # a busy machine may take long to make the roll
        await asyncio.wait_for(redis_store.read(epoch, 0), 2)
    waiting = await speaks(redis_store, batch, redis_server, MANY - 1)
    redis_store._wait_end = 0  # noqa: SLF001
    assert (await waiting).top == MANY + 3


async def test_sessions_that_ended_leave_their_pods_shares(store: Store) -> None:
    given = await store.commit(FIRST)
    await store.commit(OTHER)
    last = following(FIRST, given, n=0, ends=True)
    await store.commit(last)
    with suppress(ForgottenError):
        await store.commit(last)
    reading = await store.read("", 0)
    assert (reading.count, reading.pods) == (6, {"pod-a": 3, "pod-b": 3})
    assert reading.silence["pod-a"] < 5


async def test_a_session_that_ends_as_it_lets_an_idle_one_go_keeps_the_share_of_both(store: Store, age: Age) -> None:
    given = await store.commit(FIRST)
    await age(SESSION_TIMEOUT)
    await store.commit(replace(FIRST, client="c" * 32, epoch=given.epoch, ends=True))
    assert (await store.read("", 0)).pods == {"pod-a": 6}


async def test_a_session_is_folded_into_its_pod_s_share_though_a_look_does_not_find_it(
    redis_store: RedisStore,
    redis_server: RedisServer,
) -> None:
    epoch = await _have_sessions(redis_server, redis_store, seconds=SESSION_TIMEOUT)
    shares = {f"pod:pod-{i}": f"{epoch} 1000 {int(time.time())}" for i in range(100)}
    await redis_server.call("HSET", "{hello}", *(word for share in shares.items() for word in share))
    for number in range(10):
        await redis_store.commit(replace(FIRST, client=md5(bytes([number])).hexdigest(), epoch=epoch, n=0))
    totals = [int(share.split(" ")[1]) for share in await redis_server.lines("HMGET", "{hello}", *shares)]
    assert len(totals) == 100
    assert set(totals) <= {1000, 1001}


async def test_a_batch_of_a_forgotten_session_that_comes_late_is_not_counted_again(store: Store) -> None:
    """Nor if its first batch came late before it, and the store knows the session as if it were a new one."""
    first = replace(FIRST, n=0)
    second = following(FIRST, await store.commit(first))
    third = following(FIRST, await store.commit(second), sequence=3, n=0, ends=True)
    await store.commit(third)
    for batch in second, first, second, third:
        with suppress(ForgottenError, OutdatedError):
            await store.commit(batch)
    assert (await store.read("", 0)).count == 3


async def test_who_has_left_is_not_waited_for(two: Two, redis_server: RedisServer) -> None:
    one, next_of_one, other, next_of_other = two
    await other.commit(replace(next_of_other, n=0, ends=True))
    await restart(redis_server)
    assert (await one.commit(next_of_one)).top == 9


async def test_a_flushed_script_cache_begins_no_roll_call(two: Two, redis_server: RedisServer) -> None:
    one, next_of_one, other, next_of_other = two
    await restart(redis_server)
    waiting = await speaks(one, next_of_one, redis_server, missing=1)
    await other.commit(next_of_other)
    given = await waiting
    await redis_server.call("SCRIPT", "FLUSH")
    assert (await one.commit(following(FIRST, given, sequence=3))).top == 15


async def test_an_answer_left_over_on_the_connection_is_not_taken_for_a_batch_s(redis_store: RedisStore) -> None:
    batch = following(FIRST, await redis_store.commit(FIRST))
    await redis_store._commits.send_command("ECHO", "left over")  # noqa: SLF001
    with suppress(LostError):
        await redis_store.commit(batch)
    assert (await redis_store.commit(batch)).top == 6
