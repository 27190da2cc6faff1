"""etcd in trouble, under three servers: what their visitors get, and that it passes."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

from hello.stores import LostError, UnavailableError, etcd
from hello.stores.etcd import EtcdStore
from tests.client import figure, request, state, until_up
from tests.linux import require
from tests.processes import EtcdServer, Hello, free_port, until
from tests.proxy import Proxy
from tests.test_redis_trouble import assert_in_order, logs, lost, recovered, refusal, started
from tests.test_stores import FIRST, OTHER, following
from tests.witness import Witness


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
async def member(tmp_path: Path) -> AsyncIterator[EtcdServer]:
    """An etcd of one member, of the test's own."""
    async with running(EtcdServer(tmp_path / "one")) as member:
        yield member


@asynccontextmanager
async def running(member: EtcdServer) -> AsyncIterator[EtcdServer]:
    require("etcd", "--version")
    try:
        yield await member.start()
    finally:
        member.kill()


class Members:
    """An etcd of three members, each of which fsyncs."""

    def __init__(self, directory: Path) -> None:
        self.all = [EtcdServer(directory / name, durable=True) for name in ("one", "two", "three")]
        for member in self.all:
            member.cluster = ",".join(other.cluster for other in self.all if other is not member) + f",{member.cluster}"
        self.url = "etcd://" + ",".join(f"127.0.0.1:{member.port}" for member in self.all)

    async def leader(self) -> EtcdServer:
        """The member that leads now."""
        found: list[EtcdServer] = []

        async def is_there() -> bool:
            for member in self.all:
                told = (await asyncio.to_thread(member.control, "endpoint", "status", "--write-out=json")).stdout
                status = json.loads(told or "[]")
                if status and status[0]["Status"]["leader"] == status[0]["Status"]["header"]["member_id"]:
                    found.append(member)
                    return True
            return False

        await until(is_there, "a member leads")
        return found[0]


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    require("etcd", "--version")
    members = Members(tmp_path)
    for member in members.all:
        member.launch()
    await members.leader()
    yield members
    for member in members.all:
        member.kill()


def reset(url: str, to: int) -> None:
    command = [sys.executable, "-m", "hello", "reset", "--store", url, "--to", str(to), "--yes"]
    subprocess.run(command, check=True, capture_output=True)


async def test_a_leader_that_is_killed_under_load_costs_nobody_anything(
    hello: Callable[..., Hello], members: Members, witness: Witness
) -> None:
    pods = await started(hello, members.url)
    async with witness.crowd(*pods):
        for _ in range(2):
            await witness.more()
            leader = await members.leader()
            leader.kill()
            await witness.more()
            leader.launch()
        await witness.more()

    await witness.judge(pods[0])
    assert set(witness.statuses()) == {200}


@pytest.mark.parametrize("leads", [True, False])
async def test_a_member_that_is_silent_costs_nobody_anything(
    hello: Callable[..., Hello], members: Members, witness: Witness, leads: bool
) -> None:
    pods = await started(hello, members.url)
    leader = await members.leader()
    silent = leader if leads else next(member for member in members.all if member is not leader)
    async with witness.crowd(*pods):
        await witness.more()
        silent.signal(SIGSTOP)
        await witness.more(300)
        silent.signal(SIGCONT)
        await witness.more()

    await witness.judge(pods[0])
    assert set(witness.statuses()) == {200}


async def test_two_members_of_three_away_is_503_and_then_goes_on(
    hello: Callable[..., Hello], members: Members, witness: Witness
) -> None:
    (server,) = await started(hello, members.url, "--deadline", "0.5", pods="a")
    async with witness.crowd(server):
        await witness.more()
        for member in members.all[:2]:
            member.kill()
        await refusal(server)
        await lost(server)
        assert (await request(server.url, path="/readyz")).status == 200
        members.all[0].launch()
        await witness.more()

    await witness.judge(server)
    assert set(witness.statuses()) == {200, 503}
    await logs(server)


async def test_an_absent_etcd_is_waited_for(hello: Callable[..., Hello], member: EtcdServer) -> None:
    member.kill()
    server = await hello("--store", member.url, "--deadline", "0.3").start()
    await refusal(server)
    assert (await request(server.url, path="/readyz")).status == 503

    await member.start()
    await server.ready()
    assert await server.visit() == 1
    events = await logs(server)
    assert events.count("store is lost") == events.count("store is up") == 1


async def test_an_address_of_something_else_says_so(hello: Callable[..., Hello]) -> None:
    other = await hello("--store", "memory:").start()
    server = await hello("--store", other.url.replace("http:", "etcd:"), "--deadline", "0.3").start()
    await refusal(server)
    await logs(server)
    assert_in_order(server, "not as etcd does")


@pytest.fixture
async def proxy(etcd_server: EtcdServer) -> AsyncIterator[Proxy]:
    async with Proxy(etcd_server.port) as proxy:
        yield proxy


def beyond(proxy: Proxy, url: str) -> str:
    """Where the same counter is, behind a proxy."""
    return f"etcd://127.0.0.1:{proxy.port}/{url.rpartition('/')[2]}"


async def test_an_answer_lost_on_its_way_costs_no_number(
    hello: Callable[..., Hello], proxy: Proxy, etcd_url: str, witness: Witness
) -> None:
    pods = await started(hello, beyond(proxy, etcd_url))
    proxy.lose_every = 7
    async with witness.crowd(*pods):
        await witness.more(400)

    proxy.lose_every = 0
    assert proxy.lost >= 10
    await witness.judge(pods[0])
    assert set(witness.statuses()) == {200}


async def test_connections_cut_under_load_cost_no_number(
    hello: Callable[..., Hello], proxy: Proxy, etcd_url: str, witness: Witness
) -> None:
    pods = await started(hello, beyond(proxy, etcd_url), pods="ab")
    async with witness.crowd(*pods):
        for _ in range(10):
            await witness.more(30)
            await proxy.cut()
        await witness.more()

    await witness.judge(pods[0])
    assert set(witness.statuses()) == {200}


async def test_a_transaction_that_arrives_after_its_repetition_counts_nobody(
    hello: Callable[..., Hello], proxy: Proxy, etcd_server: EtcdServer, etcd_url: str
) -> None:
    (server,) = await started(hello, beyond(proxy, etcd_url), pods="a")
    assert await server.visit() == 1
    proxy.swallow = 1
    assert await server.visit() == 2
    (late,) = proxy.swallowed

    for number in 3, 4:
        reader, writer = await asyncio.open_connection("127.0.0.1", etcd_server.port)
        writer.write(late)
        answer = await reader.readuntil(b"\r\n0\r\n") if number else b""
        assert b" 200 OK" in answer
        assert b'"succeeded":true' not in answer
        writer.close()
        assert await server.visit() == number


async def test_no_transaction_is_sent_twice_by_itself(etcd_url: str) -> None:
    """Whatever becomes of the connection, also of one that was kept."""
    received = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        with suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
                )
                await reader.readexactly(length)
                received += 1
                if received % 2 == 0:
                    break
                body = b'{"header": {"revision": "1"}}'
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    store = EtcdStore(f"etcd://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    for sent in range(1, 11):
        if sent % 2:
            await store.read("", 0)
        else:
            with pytest.raises(LostError):
                await store.read("", 0)
        assert received == sent
    await store.close()
    server.close()


async def test_a_past_that_is_compacted_is_an_unknown_outcome(etcd_server: EtcdServer, etcd_url: str) -> None:
    store = EtcdStore(etcd_url)
    first = await store.commit(FIRST)
    second = await store.commit(following(FIRST, first))
    await store.commit(OTHER)
    assert await store.commit(following(FIRST, first)) == second
    revision = (await store._look(store._readings)).revision  # noqa: SLF001
    await etcd_server.call("compact", revision)
    with pytest.raises(LostError, match="compacted"):
        await store.commit(following(FIRST, first))
    assert (await store.commit(following(FIRST, first, sequence=3))).top == 12
    assert (await store.read("", 0)).count == 12
    await store.close()


async def test_an_etcd_with_no_space_counts_nobody(hello: Callable[..., Hello], tmp_path: Path) -> None:
    async with running(EtcdServer(tmp_path / "one", "--quota-backend-bytes", "300000")) as member:
        (server,) = await started(hello, member.url, "--deadline", "0.3", pods="a")
        assert await server.visit() == 1
        written = 0
        while (await asyncio.to_thread(member.control, "put", f"other/{written}", "x" * 50_000)).returncode == 0:
            written += 1

        await refusal(server)
        assert (await request(server.url, path="/count")).body == "1\n"
        await member.call("del", "--prefix", "other")
        await member.call("compact", await revision_of(member))
        await member.call("defrag")
        await member.call("alarm", "disarm")
        await until_up(server.url)
        assert await server.visit() == 2
        await logs(server)
        assert_in_order(server, "database space exceeded")


async def revision_of(member: EtcdServer) -> str:
    return str(
        json.loads(await member.call("endpoint", "status", "--write-out=json"))[0]["Status"]["header"]["revision"]
    )


async def test_a_wiped_etcd_begins_a_new_epoch_loudly(
    hello: Callable[..., Hello], member: EtcdServer, witness: Witness
) -> None:
    pods = await started(hello, member.url)
    async with witness.crowd(*pods):
        await witness.more()
        before = witness.acked[-1].epoch
        await member.call("del", "--prefix", "/hello/")
        await witness.more()

    await witness.judge(pods[0])
    assert len({answer.epoch for answer in witness.acked}) == 2
    assert min(answer.number for answer in witness.acked if answer.epoch != before) == 1
    for pod in pods:
        wiped = await figure(pod.url, "hello_store_wipes_total")
        events = await logs(pod)
        assert wiped == 1 or "store is in another epoch" in events


@pytest.mark.parametrize("forgotten", [1, 20])
async def test_an_etcd_that_was_restored_from_a_snapshot_is_refused_until_it_is_reset(
    hello: Callable[..., Hello], member: EtcdServer, witness: Witness, forgotten: int
) -> None:
    pods = await started(hello, member.url)
    for pod in pods:
        await witness.ask(pod)
    snapshot = member.directory / "snapshot.db"
    await member.call("snapshot", "save", snapshot)
    for _ in range(forgotten):
        await witness.ask(pods[0])
    member.kill()
    await restore(member, snapshot)

    assert (await witness.ask(pods[0], "/count")).status == 503
    for pod in pods:
        assert "rolled back" in await refusal(pod)
        assert (await request(pod.url, path="/readyz")).status == 200
        assert await state(pod.url) == "distrusted"

    await asyncio.to_thread(reset, member.url, 3 + forgotten)
    for pod in pods:
        await witness.recovered(pod)
    assert min(answer.number for answer in witness.acked[3 + forgotten :]) == 4 + forgotten
    await witness.judge(pods[0], began=3 + forgotten)
    for pod in pods:
        assert (await logs(pod)).count("store is distrusted") >= 1


async def restore(member: EtcdServer, snapshot: Path) -> None:
    """Start a member that is dead from a snapshot, as a new cluster."""
    data = member.directory / "data"
    data.rename(member.directory / "before")
    name, _, peer = member.cluster.partition("=")
    cluster = ("--initial-cluster", f"{name}={peer}", "--initial-advertise-peer-urls", peer)
    await member.call("snapshot", "restore", snapshot, "--data-dir", data, "--name", name, *cluster)
    await member.start()


async def test_an_earlier_epoch_is_refused_by_those_who_never_were_in_it(
    hello: Callable[..., Hello], member: EtcdServer
) -> None:
    (pod,) = await started(hello, member.url, pods="a")
    assert await pod.visit() == 1
    snapshot = member.directory / "snapshot.db"
    await member.call("snapshot", "save", snapshot)
    await asyncio.to_thread(reset, member.url, 1000)
    await pod.stop()
    await (await pod.start()).ready()
    assert await pod.visit() == 1001

    member.kill()
    await restore(member, snapshot)
    assert "rolled back" in await refusal(pod)
    await asyncio.to_thread(reset, member.url, 2000)
    await recovered(pod)


async def test_a_reset_while_three_servers_count_is_taken_up_by_all(
    hello: Callable[..., Hello], etcd_url: str, witness: Witness
) -> None:
    pods = await started(hello, etcd_url)
    async with witness.crowd(*pods):
        await witness.more()
        before = witness.acked[-1].epoch
        await asyncio.to_thread(reset, etcd_url, 1_000_000)
        await witness.more()

    await witness.judge(pods[0], began=1_000_000)
    assert min(answer.number for answer in witness.acked if answer.epoch != before) == 1_000_001
    assert set(witness.statuses()) == {200}
    for pod in pods:
        assert (await logs(pod)).count("store is in another epoch") == 1


USER = "root", "mellon"


async def guard(member: EtcdServer) -> None:
    """Let nobody in without a password; `hello` has the rights that the README names."""
    await member.call("user", "add", "root:mellon")
    await member.call("user", "add", "hello:friend")
    await member.call("role", "add", "hello")
    await member.call("role", "grant-permission", "hello", "--prefix=true", "readwrite", "/hello/")
    await member.call("user", "grant-role", "hello", "hello")
    await member.call("auth", "enable")


async def test_an_etcd_that_wants_a_password_says_so(hello: Callable[..., Hello], member: EtcdServer) -> None:
    await guard(member)
    server = await hello("--store", member.url, "--deadline", "0.3").start()
    await refusal(server)
    await logs(server)
    assert_in_order(server, "wants a user and a password")


async def test_a_new_password_is_read_from_its_file(
    hello: Callable[..., Hello], member: EtcdServer, tmp_path: Path
) -> None:
    await guard(member)
    password = tmp_path / "password"
    password.write_text("mellon\n")
    store = f"etcd://hello@127.0.0.1:{member.port}"
    server = await hello("--store", store, "--etcd-password-file", str(password), "--deadline", "0.3").start()
    await refusal(server)
    assert (await request(server.url, path="/readyz")).status == 503

    password.write_text("friend\n")
    await server.ready()
    assert await server.visit() == 1
    member.kill()
    await member.start()  # which knows no token any more
    await recovered(server)
    await server.visit()
    await logs(server)
    assert_in_order(server, "invalid user ID or password")
    assert not {"mellon", "friend"} & set("".join(server.log).split('"'))


async def test_a_token_that_etcd_has_forgotten_costs_nobody_anything(
    hello: Callable[..., Hello], member: EtcdServer
) -> None:
    await guard(member)
    server = await hello("--store", f"etcd://hello:friend@127.0.0.1:{member.port}").start()
    assert await server.visit() == 1
    root = ("--user", "root:mellon")
    await member.call(*root, "user", "add", "another:one")  # tokens are of the rights as they were
    assert await server.visit() == 2
    assert "store is lost" not in await logs(server)


async def test_a_user_without_rights_says_so(hello: Callable[..., Hello], member: EtcdServer) -> None:
    await guard(member)
    store = f"etcd://hello:friend@127.0.0.1:{member.port}/elsewhere"
    server = await hello("--store", store, "--deadline", "0.3").start()
    await refusal(server)
    await logs(server)
    assert_in_order(server, "permission denied")


async def test_etcd_is_reached_over_tls_with_a_certificate_of_the_client(
    hello: Callable[..., Hello], tmp_path: Path, certificate: Path
) -> None:
    files = ("--cert-file", str(certificate), "--key-file", str(certificate))
    clients = ("--client-cert-auth", "--trusted-ca-file", str(certificate))
    member = EtcdServer(tmp_path / "one", *files, *clients, protocol="https").launch()
    store = f"etcds://127.0.0.1:{member.port}?ca={certificate}"
    without = await hello("--store", store, "--deadline", "0.3").start()
    server = await hello("--store", f"{store}&cert={certificate}&key={certificate}", "--deadline", "5").start()
    await server.ready()
    assert await server.visit() == 1
    await refusal(without)
    await logs(without)
    assert_in_order(without, "ertificate")
    member.kill()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("epoch", value) for value in ("rubbish", "", "two words", None)],
        *[("base", value) for value in ("rubbish", "0 0", "0 -1 0", "0 0x1 0", "0 99999999999999999 0", None)],
        ("sessions/" + "0" * 32, "rubbish"),
    ],
)
async def test_a_counter_that_is_none_is_refused_until_it_is_one(
    hello: Callable[..., Hello], etcd_server: EtcdServer, etcd_url: str, key: str, value: str | None
) -> None:
    """It is not distrusted: nothing was lost."""
    (server,) = await started(hello, etcd_url, "--deadline", "0.3", pods="a")
    assert await server.visit() == 1
    prefix = "/" + etcd_url.rpartition("/")[2]
    before = (await etcd_server.call("get", "--print-value-only", f"{prefix}/{key}")).removesuffix("\n")

    await (
        etcd_server.call("del", f"{prefix}/{key}")
        if value is None
        else etcd_server.call("put", f"{prefix}/{key}", value)
    )
    newcomer = await hello("--store", etcd_url, "--deadline", "0.3").start()
    for one in server, newcomer:
        await refusal(one)
        assert (await request(one.url, path="/count")).status == 503
    await (etcd_server.call("put", f"{prefix}/{key}", before) if before else etcd_server.call("del", f"{prefix}/{key}"))

    last = 1
    for one in server, newcomer:
        await until_up(one.url)
        number = await one.visit()
        assert number > last  # who was refused may have been counted
        last = number
        assert (await logs(one)).count("store is lost") == 1
        assert_in_order(one, "what it holds is")


async def test_more_sessions_than_are_folded_at_once_lose_no_visitor(
    etcd_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EtcdStore(etcd_url)
    given = await store.commit(FIRST)
    for number in range(etcd.FOLDED_AT_ONCE + 5):
        await store.commit(replace(OTHER, client=f"{number:032}", pod=f"pod-{number}", n=1))
    monkeypatch.setattr(etcd, "IDLE_TIMEOUT", 0)
    last = await store.commit(following(FIRST, given))
    for sequence in 3, 4:
        last = await store.commit(following(FIRST, last, sequence=sequence))
    assert len((await store._look(store._readings)).sessions) == 1  # noqa: SLF001
    reading = await store.read("", 0)
    assert reading.count == last.top == 12 + etcd.FOLDED_AT_ONCE + 5
    assert reading.pods == {"pod-a": 12} | {f"pod-{number}": 1 for number in range(etcd.FOLDED_AT_ONCE + 5)}
    await store.close()


async def test_a_process_that_was_away_while_it_was_forgotten_begins_anew(
    hello: Callable[..., Hello], etcd_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server,) = await started(hello, etcd_url, pods="a")
    assert await server.visit() == 1
    server.signal(SIGSTOP)
    store = EtcdStore(etcd_url)
    given = await store.commit(FIRST)
    monkeypatch.setattr(etcd, "IDLE_TIMEOUT", 0)
    await store.commit(following(FIRST, given))
    assert len((await store._look(store._readings)).sessions) == 1  # noqa: SLF001
    server.signal(SIGCONT)
    assert await server.visit() == 8
    await store.close()
    assert "store is distrusted" not in await logs(server)


async def test_members_that_refuse_are_passed_over(etcd_server: EtcdServer, etcd_url: str) -> None:
    prefix = etcd_url.rpartition("/")[2]
    nobody = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    for _ in range(5):  # each begins with another member
        store = EtcdStore(f"etcd://{','.join([*nobody, f'127.0.0.1:{etcd_server.port}'])}/{prefix}")
        await store.read("", 0)
        await store.close()
    store = EtcdStore(f"etcd://{','.join(nobody)}/{prefix}")
    with pytest.raises(UnavailableError):
        await store.read("", 0)
    await store.close()
