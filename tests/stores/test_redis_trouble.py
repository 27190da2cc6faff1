"""Redis in trouble, under three servers: what their visitors get, and that it passes."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

from hello.stores import StoreError, UnavailableError
from hello.stores.redis.store import RedisStore
from tests.support.client import Connection, request
from tests.support.linux import Trace, mounted
from tests.support.processes import Hello, MakeHello, RedisServer, free_port, until
from tests.support.stores import FIRST, Copy, RunRedis, following
from tests.support.troubles import (
    AWAY,
    assert_in_order,
    logs,
    recovered,
    refusal,
    reset,
    started,
    until_store_is,
)
from tests.support.witness import Witness


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
async def pods(hello: MakeHello, redis_server: RedisServer) -> list[Hello]:
    """Three servers over one Redis."""
    return await started(hello, redis_server.url)


async def test_a_node_of_a_cluster_that_has_not_the_counter_says_so(run_redis: RunRedis) -> None:
    options = "--cluster-enabled", "yes", "--cluster-port"
    one, two = [await run_redis(name, *options, str(free_port())) for name in ("one", "two")]
    store, direct = RedisStore(one.url), RedisStore(two.url)
    with pytest.raises(UnavailableError, match="CLUSTERDOWN"):
        await store.commit(FIRST)

    await two.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    await one.call("CLUSTER", "MEET", "127.0.0.1", two.port, two.arguments[-1])

    async def is_moved() -> bool:
        return "MOVED" in await one.call("GET", "{hello}")

    await until(is_moved, "moved")
    with pytest.raises(UnavailableError, match="MOVED"):
        await store.commit(FIRST)

    async def counts_directly() -> bool:
        with suppress(UnavailableError):
            return (await direct.commit(FIRST)).top == 3
        return False

    await until(counts_directly, "the cluster is up")
    await store.close()
    await direct.close()


class Names:
    """What names lead to, for one server."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "hosts"
        self.file.touch()
        self.command = mounted(f"mount --bind {self.file} /etc/hosts")

    def lead(self, name: str, *addresses: str) -> None:
        self.file.write_text("".join(f"{address} {name}\n" for address in addresses))


@pytest.mark.long
async def test_a_redis_that_was_demoted_is_left_for_the_one_that_its_name_leads_to(
    hello: MakeHello, run_redis: RunRedis, tmp_path: Path
) -> None:
    names, one = Names(tmp_path), await run_redis("one")
    two = await run_redis("two", host="127.0.0.2", port=one.port)
    names.lead("redis.test", one.host)
    store = f"redis://redis.test:{one.port}"
    server = await (await hello("--store", store, "--deadline", "3", command=names.command).start()).ready()
    assert await server.visit() == 1
    assert (await request(server.url, path="/count")).body == "1\n"

    await two.call("REPLICAOF", one.host, one.port)

    await one.call("CONFIG", "SET", "min-replicas-to-write", 2)  # what it counted now would be lost

    async def has_all() -> bool:
        told, known = await one.lines("INFO", "replication"), await two.lines("INFO", "replication")
        (offset,) = (line for line in told if line.startswith("master_repl_offset:"))
        return "master_link_status:up" in known and offset in known

    await until(has_all, "two has all that one counted")
    await two.call("REPLICAOF", "NO", "ONE")
    await one.call("REPLICAOF", two.host, two.port)
    await refusal(server)
    names.lead("redis.test", two.host)

    async def counts() -> bool:
        return (await request(server.url)).status == 200

    await until(counts, "it counts in the other one")
    one.kill()
    (number, *_) = (await request(server.url, path="/count")).body.split()
    assert await server.visit() == int(number) + 1
    assert "store is distrusted" not in await logs(server)
    assert_in_order(server, "read only")


@contextmanager
def swallowing(host: str, port: int) -> Iterator[None]:
    """An address that answers nobody: as many connections wait there as may wait."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield


async def test_an_address_that_swallows_all_holds_nobody(hello: MakeHello, run_redis: RunRedis, tmp_path: Path) -> None:
    redis = await run_redis("redis", host="127.0.0.2")
    names, swallowed = Names(tmp_path), ("127.0.0.1", "127.0.0.3")
    names.lead("redis.test", *swallowed, redis.host)
    store = f"redis://redis.test:{redis.port}"
    with ExitStack() as stack:
        for host in swallowed:
            stack.enter_context(swallowing(host, redis.port))
        server = await hello("--store", store, "--deadline", "5", command=names.command).start()
        assert await server.visit() == 1
        assert "store is lost" not in await logs(server)


async def test_a_counter_that_is_none_is_refused_until_it_is_one(hello: MakeHello, redis_server: RedisServer) -> None:
    """By a server that counted in it and by a new one, and distrusted by neither."""
    (server,) = await started(hello, redis_server.url, "--deadline", "0.3", pods="a")
    last = await recovered(server)
    epoch = await redis_server.call("HGET", "{hello}", "epoch")
    await redis_server.call("HSET", "{hello}", "epoch", "rubbish")
    newcomer = await hello("--store", redis_server.url, "--deadline", "0.3").start()
    for one in server, newcomer:
        assert await refusal(one) == AWAY
        assert (await request(one.url, path="/count")).status == 503
    await redis_server.call("HSET", "{hello}", "epoch", epoch)

    for one in server, newcomer:
        await until_store_is("up", one)
        number = await recovered(one)
        assert number > last  # who was refused may have been counted
        last = number
        assert (await logs(one)).count("store is lost") == 1
        assert_in_order(one, "what it holds is")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("epoch", value) for value in ("rubbish", "", "42", "DEADBEEF17325800", "two words", "-e1")],
        *[("count", value) for value in ("nan", "inf", "-5", "1.5", "1e3", "0x10", "", " 1", "many", str(2**53 + 1))],
        ("epoch", None),
        ("count", None),
    ],
)
async def test_what_is_no_counter_is_unavailable_until_it_is_one(
    redis_store: RedisStore, redis_server: RedisServer, field: str, value: str | None
) -> None:
    given = await redis_store.commit(FIRST)
    before = await redis_server.call("HGET", "{hello}", field)
    change = ("HDEL", "{hello}", field) if value is None else ("HSET", "{hello}", field, value)
    await redis_server.call(*change)
    with pytest.raises(UnavailableError, match="what it holds is"):
        await redis_store.read(given.epoch, given.top)
    with pytest.raises(StoreError):
        await redis_store.commit(following(FIRST, given))
    await redis_server.call("HSET", "{hello}", field, before)
    assert (await redis_store.commit(following(FIRST, given))).top == 6


@pytest.mark.parametrize("field", ["began", "index", "forgotten"])
@pytest.mark.parametrize("value", ["nan nan", "J\u00fcrgen\r\n"])
async def test_rubbish_in_the_counter_is_an_error_that_is_known(
    redis_store: RedisStore, redis_server: RedisServer, field: str, value: str
) -> None:
    given = await redis_store.commit(FIRST)
    await redis_server.call("HSET", "{hello}", field, value)
    for asked in redis_store.read(given.epoch, given.top), redis_store.commit(following(FIRST, given)):
        with suppress(StoreError):
            await asked


async def test_a_key_of_another_type_is_refused_and_left_alone(
    redis_store: RedisStore, redis_server: RedisServer
) -> None:
    await redis_server.call("SET", "{hello}", "world")
    with pytest.raises(UnavailableError, match="WRONGTYPE"):
        await redis_store.commit(FIRST)
    assert await redis_server.call("GET", "{hello}") == "world"
    await redis_server.call("DEL", "{hello}")
    assert (await redis_store.commit(FIRST)).top == 3


async def test_a_redis_that_closes_what_is_idle_is_not_lost(hello: MakeHello, redis_server: RedisServer) -> None:
    await redis_server.call("CONFIG", "SET", "timeout", "1")
    (server,) = await started(hello, redis_server.url, pods="a")
    for _ in range(2):
        with await Connection.open(redis_server.url) as idle:
            assert await idle.closed()
    assert await server.visit() == 1
    assert "store is lost" not in await logs(server)


@pytest.mark.parametrize(
    ("fault", "mend", "reason"),
    [
        (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"], "maxmemory"),
        (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"], "read only replica"),
    ],
)
async def test_a_redis_that_takes_no_writes_counts_nobody(
    redis_store: RedisStore, redis_server: RedisServer, fault: list[str], mend: list[str], reason: str
) -> None:
    batch = following(FIRST, await redis_store.commit(FIRST))
    await redis_store.read("", 0)  # Redis knows the script from now on
    assert await redis_server.call(*fault) == "+OK"
    with pytest.raises(UnavailableError, match=reason):
        await redis_store.commit(batch)
    assert (await redis_store.read("", 0)).count == 3
    assert await redis_server.call(*mend) == "+OK"
    assert (await redis_store.commit(batch)).top == 6


async def test_a_redis_that_is_killed_and_comes_back_costs_nobody_anything(
    pods: list[Hello], redis_server: RedisServer, witness: Witness
) -> None:
    async with witness.crowd(*pods):
        for _ in range(2):
            await witness.more()
            redis_server.kill()
            await asyncio.gather(*(until_store_is("lost", pod) for pod in pods))
            await redis_server.start()
        await witness.more()

    await witness.judge(pods[0])
    assert set(witness.statuses()) == {200}
    for pod in pods:
        events = await logs(pod)
        assert events.count("store is lost") == 2
        assert events.count("store is up") == 3


async def test_a_process_that_gave_a_lost_number_finds_out_though_the_others_went_on_without_it(
    pods: list[Hello], redis_server: RedisServer
) -> None:
    giver, other, third = pods
    assert [await pod.visit() for pod in pods] == [1, 2, 3]
    copy = Copy(redis_server)
    assert await giver.visit() == 4
    giver.signal(SIGSTOP)
    await copy.restore()

    for number in 4, 5, 6:  # nobody who could speak in time knows better
        assert await other.visit() == number
    giver.signal(SIGCONT)
    for pod in giver, other, third:
        assert "rolled back" in await refusal(pod)
    events = await logs(other) + await logs(third)
    assert "roll call timed out: some processes did not report" in events


async def test_a_reset_while_three_servers_count_is_taken_up_by_all(
    pods: list[Hello], redis_server: RedisServer, witness: Witness
) -> None:
    async with witness.crowd(*pods):
        await witness.more()
        before = witness.acked[-1].epoch
        await asyncio.to_thread(reset, redis_server.url, 1_000_000)
        await witness.more()

    await witness.judge(pods[0], began=1_000_000)
    assert min(answer.number for answer in witness.acked if answer.epoch != before) == 1_000_001
    assert set(witness.statuses()) == {200}
    for pod in pods:
        assert (await logs(pod)).count("store is in another epoch") == 1


async def test_each_reply_waits_for_the_disk(hello: MakeHello, redis_server: RedisServer, tmp_path: Path) -> None:
    trace = Trace(tmp_path / "trace")
    redis_server.kill()
    redis_server.command = trace.command
    await redis_server.start()
    (server,) = await started(hello, redis_server.url, pods="a")
    for _ in range(5):
        await server.visit()
    redis_server.kill()

    assert await trace.replies_behind_a_sync(r"range\\r\\n") == 6  # one before the first visitor
