"""etcd in trouble, under servers: what their visitors get, and that it passes."""

import asyncio
import json
import os
import re
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from hello.counting.counter import Counter
from hello.metrics import Metrics
from hello.stores import Batch, DistrustedError, LostError, UnavailableError
from hello.stores.etcd import folding
from hello.stores.etcd.client import Client, parse
from hello.stores.etcd.cluster import Cluster
from hello.stores.etcd.keys import delete, put
from hello.stores.etcd.store import EtcdStore
from tests.support.client import request
from tests.support.linux import require, require_etcd
from tests.support.processes import PATIENCE, EtcdServer, MakeHello, until
from tests.support.proxy import Proxy
from tests.support.stores import FIRST, OTHER, OpenEtcd, empty, etcd_keys, following, restore, running
from tests.support.troubles import (
    assert_in_order,
    logs,
    recovered,
    refusal,
    started,
    until_store_is,
)
from tests.support.witness import Witness

DEADLINE = 1.5
"""Seconds; longer than a member takes that gives no answer."""

SMALL = "--quota-backend-bytes", str(1 << 18)


class Members:
    """Three members of one etcd."""

    def __init__(self, directory: Path) -> None:
        self.all = [EtcdServer(directory / name) for name in ("one", "two", "three")]
        cluster = ",".join(member.cluster for member in self.all)
        for member in self.all:
            member.cluster = cluster
        self.url = "etcd://" + ",".join(f"127.0.0.1:{member.port}" for member in self.all)

    async def leader(self) -> EtcdServer:
        """The member that leads."""
        for member in self.all:
            status = json.loads(await member.call("endpoint", "status", "--write-out=json"))[0]["Status"]
            if status["leader"] == status["header"]["member_id"]:
                return member
        raise AssertionError("nobody leads")


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    require_etcd()
    members = Members(tmp_path)
    for member in members.all:
        member.launch()
    await asyncio.gather(*(until(member.answers, "etcd") for member in members.all))
    yield members
    for member in members.all:
        member.kill()


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[EtcdServer]:
    """An etcd of the test's own, of one member."""
    async with running(EtcdServer(tmp_path / "one")) as server:
        yield server


async def test_a_silent_member_and_a_leader_that_is_killed_cost_nobody_anything(
    hello: MakeHello, members: Members
) -> None:
    witness, pods = Witness(), await started(hello, members.url)
    async with witness.crowd(*pods):
        for member in members.all:
            member.signal(SIGSTOP)
            await asyncio.gather(*(witness.ask(pod) for pod in pods))  # each has to leave the silent one
            member.signal(SIGCONT)
        await witness.more()
        (await members.leader()).kill()
        await witness.more()

    await witness.judge(pods[0])
    assert set(witness.statuses()) == {200}


async def test_two_of_three_gone_are_503_and_then_it_goes_on(hello: MakeHello, members: Members) -> None:
    witness, (server,) = Witness(), await started(hello, members.url, "--deadline", str(DEADLINE), pods="a")
    async with witness.crowd(server):
        await witness.more(50)
        gone = list(members.all)[1:]
        for member in gone:
            member.kill()
        await until_store_is("lost", server)
        given = len(witness.acked)
        assert (await witness.ask(server)).status == 503
        assert (await request(server.url, path="/readyz")).status == 200
        assert len(witness.acked) == given
        for member in gone:
            member.launch()
        await witness.more(50)

    await witness.judge(server)
    assert set(witness.statuses()) == {200, 503}
    await logs(server)


@pytest.fixture
async def proxy(etcd_server: EtcdServer) -> AsyncIterator[Proxy]:
    async with Proxy(etcd_server.port) as proxy:
        yield proxy


async def test_a_batch_that_may_be_counted_is_not_counted_in_the_epoch_after_it(
    hello: MakeHello, proxy: Proxy, etcd_url: str, open_etcd: OpenEtcd
) -> None:
    """The second member tells of a new epoch; the first had counted in the old one, where a number would be missing."""
    prefix, admin = etcd_url.rpartition("/")[2], open_etcd(etcd_url)
    (server,) = await started(hello, f"etcd://127.0.0.1:{proxy.port},127.0.0.1:{proxy.port}/{prefix}", pods="a")
    assert await server.visit() == 1

    async def begin_anew() -> None:
        proxy.lose_every = 0
        if (await admin.read("", 0)).count == 2:
            await admin.reset("new", 0)
        else:
            proxy.lose_every = 1  # it was a heartbeat's, or a reader's

    proxy.lose_every, proxy.meanwhile = 1, begin_anew
    assert "the store is in epoch" in await refusal(server)
    assert await server.visit() == 1


async def test_a_disk_that_takes_longer_than_a_member_is_waited_for_costs_nobody_anything(
    hello: MakeHello, tmp_path: Path
) -> None:
    require("strace", "-o", os.devnull, "true")
    async with running(EtcdServer(tmp_path / "one", durable=True)) as etcd:
        (server,) = await started(hello, etcd.url, pods="a")
        assert await server.visit() == 1
        assert etcd.process
        slow = "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=1150000"
        tracer = await asyncio.create_subprocess_exec(
            "strace", "-f", "-o", os.devnull, *slow, "-p", str(etcd.process.pid), stderr=asyncio.subprocess.PIPE
        )
        assert tracer.stderr
        assert b"attached" in await tracer.stderr.readline()
        assert await server.visit() == 2
        tracer.terminate()
        await tracer.wait()
        assert await server.visit() == 3


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "[]"),
        (200, "{}"),
        (200, '{"header":null}'),
        (200, '{"header":{"revision":"1"},"kvs":null}'),
        (200, '{"header":{"revision":"1"},"kvs":["a"]}'),
        (200, "OK"),
        (404, "null"),
        (502, '"bad gateway"'),
        (503, "[1]"),
        (503, ""),
    ],
)
async def test_what_answers_otherwise_than_etcd_is_one_reason(status: int, body: str, open_etcd: OpenEtcd) -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, text=body)

    async with RawTestServer(answer) as server:
        store = open_etcd(f"etcd://127.0.0.1:{server.port}")
        with pytest.raises(LostError) as error:
            await store.read("", 0)
        assert "\n" not in str(error.value)


async def test_an_etcd_without_a_json_gateway_is_told_apart(tmp_path: Path, open_etcd: OpenEtcd) -> None:
    async with running(EtcdServer(tmp_path / "one", "--enable-grpc-gateway=false")) as etcd:
        with pytest.raises(LostError, match="enable-grpc-gateway"):
            await open_etcd(etcd.url).read("", 0)


async def test_what_gets_no_answer_is_not_sent_twice() -> None:
    """A kept connection that ends is where an HTTP client would do so by itself."""
    arrived = 0

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        while await reader.readuntil(b"{}"):
            arrived += 1
            if arrived > 1:
                break
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(answer_once, "127.0.0.1", 0) as server:
        client = Client(parse(f"etcd://127.0.0.1:{server.sockets[0].getsockname()[1]}", None), Cluster(1))
        await client.call("kv/txn", {})
        with pytest.raises(LostError):
            await client.call("kv/txn", {})
        await client.close()
    assert arrived == 2


async def test_a_batch_whose_revision_is_compacted_is_503_at_once(
    hello: MakeHello, one: EtcdServer, open_etcd: OpenEtcd
) -> None:
    other = open_etcd(one.url)
    async with Proxy(one.port) as proxy:
        url = f"etcd://127.0.0.1:{proxy.port}"
        (server,) = await started(hello, url, "--deadline", "3600", pods="a")
        assert await server.visit() == 1
        proxy.lose_every = 1
        visitor = asyncio.create_task(request(server.url))

        async def is_counted() -> bool:
            return (await other.read("", 0)).count == 2

        await until(is_counted, "it is counted")
        await compact(one)
        proxy.lose_every = 0
        assert (await visitor).status == 503
        assert await server.visit() == 3
        await logs(server)
    assert_in_order(server, "compacted")


async def compact(server: EtcdServer) -> None:
    """Let etcd forget all revisions but a new one."""
    told = json.loads(await server.call("put", "another", "key", "--write-out=json"))
    await server.call("compaction", told["header"]["revision"])


async def test_an_etcd_that_is_full_counts_nobody_until_there_is_room(tmp_path: Path, open_etcd: OpenEtcd) -> None:
    async with running(EtcdServer(tmp_path / "one", *SMALL)) as full:
        store = open_etcd(full.url)
        batch = following(FIRST, await store.commit(FIRST))
        await fill(full)
        with pytest.raises(UnavailableError, match="database space exceeded"):
            await store.commit(batch)
        assert (await store.read("", 0)).count == 3
        deleted = json.loads(await full.call("del", "another", "--write-out=json"))
        await full.call("compaction", deleted["header"]["revision"])
        await full.call("defrag")
        await full.call("alarm", "disarm")
        assert (await store.commit(batch)).top == 6


async def fill(server: EtcdServer) -> None:
    """Write until there is no more room."""
    while (await asyncio.to_thread(server.control, "put", "another", "x" * 50_000)).returncode == 0:
        pass


async def test_an_earlier_revision_is_distrusted_though_no_number_is_missing(
    one: EtcdServer, open_etcd: OpenEtcd
) -> None:
    knowing, other = open_etcd(one.url), open_etcd(one.url)
    given = await knowing.commit(FIRST)
    await other.commit(OTHER)
    snapshot = one.directory / "snapshot"
    await one.call("snapshot", "save", snapshot)
    await one.call("put", "another", "key")
    assert not (await knowing.read(given.epoch, 6)).distrusted
    await restore(one, snapshot)

    assert not (await other.read(given.epoch, 6)).distrusted
    with pytest.raises(DistrustedError):
        await knowing.commit(following(FIRST, given))
    assert (await other.read(given.epoch, 6)).distrusted


async def test_an_empty_etcd_that_is_replaced_by_another_one_was_not_rolled_back(
    tmp_path: Path, open_etcd: OpenEtcd
) -> None:
    async with running(EtcdServer(tmp_path / "one", *SMALL)) as etcd:
        store = open_etcd(etcd.url)
        await fill(etcd)
        with pytest.raises(UnavailableError, match="database space exceeded"):
            await store.commit(FIRST)
        await empty(etcd)
        given = await store.commit(FIRST)
        assert (await store.commit(following(FIRST, given))).top == 6


@pytest.fixture
async def apart(tmp_path: Path) -> AsyncIterator[list[EtcdServer]]:
    """Two clusters of one member each."""
    async with running(EtcdServer(tmp_path / "one")) as one, running(EtcdServer(tmp_path / "two")) as two:
        yield [one, two]


async def test_members_of_different_clusters_count_nobody(apart: list[EtcdServer], open_etcd: OpenEtcd) -> None:
    store = open_etcd("etcd://" + ",".join(f"127.0.0.1:{server.port}" for server in apart))
    with pytest.raises(UnavailableError, match="its cluster has only 1 of the 2 members"):
        await store.commit(FIRST)
    for etcd in apart:
        assert await etcd.call("get", "--prefix", "/hello") == ""


async def top(store: EtcdStore, batch: Batch) -> int:
    """The last number of a batch, which is sent again while the members choose a leader."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return (await store.commit(batch)).top
            except UnavailableError:
                await asyncio.sleep(0.05)


async def test_a_member_of_another_cluster_is_not_counted_in(members: Members, open_etcd: OpenEtcd) -> None:
    """It came in the place of one that was lost, and does not know the others."""
    store, newcomer = open_etcd(members.url), open_etcd(members.url)
    given = await store.commit(FIRST)
    stranger = members.all[0]
    stranger.cluster = f"{stranger.directory.name}={stranger.peer}"
    await empty(stranger)
    for one in store, newcomer:
        one._commits.client._member = one._readings.client._member = 0  # noqa: SLF001
    assert await top(store, following(FIRST, given)) == 6
    assert await top(newcomer, OTHER) == 9
    for one in store, newcomer:
        assert (await one.read(given.epoch, 9)).count == 9
    assert await stranger.call("get", "--prefix", "/hello") == ""


async def test_a_new_cluster_of_the_same_members_is_another_epoch(hello: MakeHello, members: Members) -> None:
    (server,) = await started(hello, members.url, pods="a")
    assert await server.visit() == 1
    for member in members.all:
        member.kill()
        shutil.rmtree(member.directory / "data")
        member.arguments += ["--initial-cluster-token", "another"]
        member.launch()
    await recovered(server)
    events = await logs(server)
    assert any("wiped" in event for event in events)
    assert "store is distrusted" not in events


async def test_a_copy_of_etcd_is_distrusted_though_it_has_counted_on(
    apart: list[EtcdServer], tmp_path: Path, open_etcd: OpenEtcd
) -> None:
    one, two = apart
    async with Proxy(one.port) as proxy:
        store, other, newcomer = open_etcd(f"etcd://127.0.0.1:{proxy.port}"), open_etcd(one.url), open_etcd(two.url)
        given = await store.commit(FIRST)
        await one.call("snapshot", "save", tmp_path / "snapshot")
        await other.commit(OTHER)  # and again in the copy
        assert (await store.read(given.epoch, 3)).count == 6
        await restore(two, tmp_path / "snapshot", token="another")
        for client in "cde":
            await newcomer.commit(replace(OTHER, client=client * 32))
        proxy.target = two.port
        await proxy.cut()
        with pytest.raises(LostError):
            await store.commit(following(FIRST, given, seen=6))
        with pytest.raises(DistrustedError):
            await store.commit(following(FIRST, given, seen=6))


async def test_a_client_certificate_opens_etcd(certificate: Path, tmp_path: Path, open_etcd: OpenEtcd) -> None:
    files = "--cert-file", str(certificate), "--key-file", str(certificate)
    clients = "--client-cert-auth", "--trusted-ca-file", str(certificate.with_name("own.pem"))  # no key is in it
    require_etcd()
    guarded = EtcdServer(tmp_path / "one", *files, *clients, protocol="https").launch()
    url = f"etcds://127.0.0.1:{guarded.port}"
    reasons = {f"{url}?ca={certificate}": "(?i)bad.certificate|certificate.required", url: "certificate verify failed"}
    try:
        assert await top(open_etcd(f"{url}?ca={certificate}&cert={certificate}&key={certificate}"), FIRST) == 3
        for stranger, reason in reasons.items():

            async def says_why(store: EtcdStore = open_etcd(stranger), reason: str = reason) -> bool:  # noqa: B008
                with pytest.raises(UnavailableError) as error:
                    await store.read("", 0)
                return re.search(reason, str(error.value)) is not None

            await until(says_why, reason)  # at one of its tries: etcd may close a connection before it was told why
    finally:
        guarded.kill()


@pytest.mark.parametrize(("key", "value"), [("epoch", "rubbish"), ("base", None), (f"sessions/{'0' * 32}", "rubbish")])
async def test_what_is_no_counter_is_lost_until_it_is_one(
    etcd_url: str, open_etcd: OpenEtcd, key: str, value: str | None
) -> None:
    store, name = open_etcd(etcd_url), f"/{etcd_url.rpartition('/')[2]}/{key}"
    given = await store.commit(FIRST)
    before = (await etcd_keys(store)).get(name)
    await store._readings.write([], put(name, value) if value else delete(name))  # noqa: SLF001
    for asked in store.read(given.epoch, 3), store.commit(following(FIRST, given)):
        with pytest.raises(LostError, match="what it holds is"):
            await asked
    await store._readings.write([], put(name, before) if before else delete(name))  # noqa: SLF001
    assert (await store.commit(OTHER)).top in (6, 9)  # what was refused may have been counted


async def test_sessions_that_are_folded_at_once_cost_no_number(
    etcd_url: str, monkeypatch: pytest.MonkeyPatch, open_etcd: OpenEtcd
) -> None:
    numbers: list[int] = []

    async def visit(pod: str) -> None:
        async with Counter(EtcdStore(etcd_url), pod, Metrics(), deadline=10).running() as counter:
            numbers.extend([(await counter.join()).number for _ in range(20)])

    async def fold_now_and_then() -> None:
        # Never all the while: a session needs two batches to count, and would always be folded after the first.
        for seconds in cycle((0, 60)):
            monkeypatch.setattr(folding, "IDLE_TIMEOUT", seconds)
            await asyncio.sleep(0.03)

    folds = asyncio.create_task(fold_now_and_then())
    async with asyncio.TaskGroup() as group:
        for pod in "abc":
            group.create_task(visit(pod))
    folds.cancel()
    assert sorted(numbers) == list(range(1, 61))
    store = open_etcd(etcd_url)
    reading = await store.read("", 0)
    assert reading.pods == {"a": 20, "b": 20, "c": 20}


@pytest.mark.parametrize("folds", [False, True])
async def test_a_session_is_folded_only_as_it_was_seen(
    etcd_url: str, monkeypatch: pytest.MonkeyPatch, open_etcd: OpenEtcd, folds: bool
) -> None:
    """Meanwhile it counts, or another process folds another one."""
    store, other, third = (open_etcd(etcd_url) for _ in range(3))
    given = await store.commit(FIRST)
    last = await third.commit(replace(FIRST, client="c" * 32))
    write = other._commits.write  # noqa: SLF001

    async def write_later(*transaction: Any) -> bool:
        if folds:
            monkeypatch.setattr(third._idle, "find", lambda _: {"c" * 32: last.index})  # noqa: SLF001
            await third.commit(replace(FIRST, client="d" * 32))
        else:
            await store.commit(following(FIRST, given))
        return await write(*transaction)

    monkeypatch.setattr(other._commits, "write", write_later)  # noqa: SLF001
    monkeypatch.setattr(other._idle, "find", lambda _: {FIRST.client: given.index})  # noqa: SLF001
    await other.commit(OTHER)
    assert (await store.read("", 0)).count == 4 * 3


async def test_a_pod_whose_clock_is_behind_is_not_taken_to_be_silent(
    etcd_url: str, monkeypatch: pytest.MonkeyPatch, open_etcd: OpenEtcd
) -> None:
    store, other = open_etcd(etcd_url), open_etcd(etcd_url)
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() - 60 * 10**9)
    given = await store.commit(FIRST)
    monkeypatch.setattr(time, "time_ns", now)
    await other.commit(OTHER)
    assert all(seconds < 60 for seconds in (await other.read("", 0)).silence.values())
    await store.commit(following(FIRST, given))
    assert (await other.read("", 0)).silence["pod-a"] < 60


async def test_a_commit_reads_what_was_changed_since_the_one_before(
    etcd_url: str, monkeypatch: pytest.MonkeyPatch, open_etcd: OpenEtcd
) -> None:
    store, other = open_etcd(etcd_url), open_etcd(etcd_url)
    for client in "cdef":
        await other.commit(replace(FIRST, client=client * 32))
    given = await store.commit(FIRST)
    await other.commit(OTHER)
    shown = []

    async def call(method: str, body: Any) -> Any:
        answer = await Client.call(store._commits.client, method, body)  # noqa: SLF001
        shown.append(len(answer["responses"][-1]["response_range"]["kvs"]))
        return answer

    monkeypatch.setattr(store._commits.client, "call", call)  # noqa: SLF001
    assert (await store.commit(following(FIRST, given))).top == 7 * 3
    assert shown == [2]


@pytest.mark.parametrize("is_lost", [False, True])
async def test_an_etcd_that_was_restored_and_has_counted_on_has_another_past(
    tmp_path: Path, is_lost: bool, open_etcd: OpenEtcd
) -> None:
    """Its revision is higher than before: only what a process wrote itself tells whether what it knows is still so."""
    async with running(EtcdServer(tmp_path / "one")) as server:
        store, other, newcomer = (open_etcd(server.url) for _ in range(3))
        snapshot, given = server.directory / "snapshot", await store.commit(FIRST)
        await server.call("snapshot", "save", snapshot)
        if is_lost:
            given = await store.commit(following(FIRST, given))
        await other.commit(OTHER)
        await restore(server, snapshot)
        for client in "cdef":
            await newcomer.commit(replace(OTHER, client=client * 32, pod=client))

        batch = following(FIRST, given, sequence=3, seen=0)
        if is_lost:
            with pytest.raises(DistrustedError):
                await store.commit(batch)
        else:
            assert (await store.commit(batch)).top == (await newcomer.read("", 0)).count == 6 * 3
