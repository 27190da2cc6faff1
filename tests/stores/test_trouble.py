"""Any store in trouble, under three servers: what their visitors get, and that it passes."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.client import figure, request, state
from tests.support.linux import mounted
from tests.support.processes import EtcdServer, MakeHello, RedisServer
from tests.support.proxy import Proxy
from tests.support.stores import Copy, empty, restore, running
from tests.support.troubles import AWAY, assert_in_order, logs, recovered, refusal, reset, started, until_store_is
from tests.support.witness import Witness


@dataclass
class Shared:
    """A store that servers share, its port, and what befalls it: `copy` returns what puts the copy in its place."""

    url: str
    port: int
    wipe: Callable[[], Awaitable[object]]
    copy: Callable[[], Awaitable[Callable[[], Awaitable[None]]]]


@asynccontextmanager
async def redis(directory: Path) -> AsyncIterator[Shared]:
    server = await RedisServer(directory / "redis").start()

    async def copy() -> Callable[[], Awaitable[None]]:
        return Copy(server).restore

    yield Shared(server.url, server.port, lambda: server.call("FLUSHALL"), copy)
    server.kill()


@asynccontextmanager
async def etcd(directory: Path) -> AsyncIterator[Shared]:
    async with running(EtcdServer(directory / "one")) as server:

        async def copy() -> Callable[[], Awaitable[None]]:
            snapshot = server.directory / "snapshot"
            await server.call("snapshot", "save", snapshot)
            return lambda: restore(server, snapshot)

        yield Shared(server.url, server.port, lambda: empty(server), copy)


@pytest.fixture(params=[redis, etcd], ids=["redis", "etcd"])
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shared]:
    async with request.param(tmp_path) as shared:
        yield shared


async def test_a_store_that_is_wiped_begins_a_new_epoch_loudly(hello: MakeHello, shared: Shared) -> None:
    witness, pods = Witness(), await started(hello, shared.url)
    async with witness.crowd(*pods):
        await witness.more()
        before = witness.acked[-1].epoch
        await shared.wipe()
        await witness.more()

    await witness.judge(pods[0])
    assert len({answer.epoch for answer in witness.acked}) == 2
    assert min(answer.number for answer in witness.acked if answer.epoch != before) == 1
    wipes = [await figure(pod.url, "hello_store_wipes_total") for pod in pods]
    assert any(wipes)
    for pod, wiped in zip(pods, wipes, strict=True):
        events = await logs(pod)
        assert sum("wiped" in event for event in events) == wiped
        assert "store is distrusted" not in events


async def test_a_store_that_went_back_in_time_is_refused_until_it_is_reset(hello: MakeHello, shared: Shared) -> None:
    witness, pods = Witness(), await started(hello, shared.url)
    for pod in pods:
        await witness.ask(pod)
    go_back = await shared.copy()
    await witness.ask(pods[0])
    await go_back()

    batch = await asyncio.gather(*(witness.ask(pods[0]) for _ in range(8)))
    assert {answer.status for answer in batch} == {503}
    for pod in pods:
        assert "rolled back" in await refusal(pod)
        assert (await request(pod.url, path="/count")).status == 503
        assert (await request(pod.url, path="/readyz")).status == 200
        assert await state(pod.url) == "distrusted"

    await asyncio.to_thread(reset, shared.url, 4)
    for pod in pods:
        await witness.recovered(pod)
    assert min(answer.number for answer in witness.acked[4:]) == 5
    await witness.judge(pods[0], began=4)
    for pod in pods:
        assert (await logs(pod)).count("store is distrusted") >= 1


async def test_an_answer_lost_on_its_way_costs_no_number(hello: MakeHello, shared: Shared) -> None:
    async with Proxy(shared.port) as proxy:
        witness = Witness()
        pods = await started(hello, shared.url.replace(str(shared.port), str(proxy.port)))
        proxy.lose_every = 7
        async with witness.crowd(*pods):
            await witness.more(300)

        proxy.lose_every = 0
        assert proxy.lost >= 10
        await witness.judge(pods[0])
        assert set(witness.statuses()) == {200}


async def test_no_certificate_has_the_final_dot_of_a_full_name(
    hello: MakeHello, shared: Shared, certificate: Path, tmp_path: Path
) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 localhost.\n")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with Proxy(shared.port, tls) as proxy:
        store = f"{shared.url.partition(':')[0]}s://localhost.:{proxy.port}?ca={certificate}"
        server = hello("--store", store, command=mounted(f"mount --bind {tmp_path / 'hosts'} /etc/hosts"))
        assert await (await server.start()).visit() == 1


@dataclass
class Guarded:
    """A store that lets the user `hello` in with the password `friend`, and what gives that user another one.

    wrong: what it says to another password; strangers: what a server says whose URL does not let it in.
    """

    url: str
    change: Callable[[str], Awaitable[None]]
    wrong: str
    strangers: dict[str, str]


@asynccontextmanager
async def guarded_redis(directory: Path) -> AsyncIterator[Guarded]:
    server = RedisServer(directory / "redis")

    async def change(password: str) -> None:
        server.kill()
        default, own = ("default", "on", ">secret"), ("hello", "on", f">{password}", "~*", "&*", "+@all")
        server.arguments = "--user", *default, "--user", *own
        await server.start()

    await change("friend")
    strangers = dict.fromkeys((server.url, f"{server.url}/1"), "wants a password")
    yield Guarded(f"redis://hello@127.0.0.1:{server.port}", change, "WRONGPASS", strangers)
    server.kill()


@asynccontextmanager
async def guarded_etcd(directory: Path) -> AsyncIterator[Guarded]:
    async with running(EtcdServer(directory / "one", "--bcrypt-cost", "4")) as server:
        for command in (
            *("user add root:secret", "user add hello:friend", "role add counter", "user grant-role hello counter"),
            *("role grant-permission counter --prefix=true readwrite /hello/", "auth enable"),
        ):
            await server.call(*command.split())

        async def change(password: str) -> None:
            for command in "user delete hello", f"user add hello:{password}", "user grant-role hello counter":
                await server.call("--user", "root:secret", *command.split())

        elsewhere = f"etcd://hello:friend@127.0.0.1:{server.port}/elsewhere"
        strangers = {server.url: "wants a user and a password", elsewhere: "permission denied"}
        url = f"etcd://hello@127.0.0.1:{server.port}"
        yield Guarded(url, change, "invalid user ID or password", strangers)


@pytest.fixture(params=[guarded_redis, guarded_etcd], ids=["redis", "etcd"])
async def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Guarded]:
    async with request.param(tmp_path) as guarded:
        yield guarded


async def test_who_is_not_let_in_says_why(hello: MakeHello, guarded: Guarded) -> None:
    for url, reason in guarded.strangers.items():
        server = await hello("--store", url, "--deadline", "0.5").start()
        assert await refusal(server) == AWAY
        await logs(server)
        assert_in_order(server, reason)


async def test_a_new_password_is_read_from_its_file(hello: MakeHello, guarded: Guarded, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("mellon\n")
    options = "--store", guarded.url, "--store-password-file", str(password), "--deadline", "0.5"
    server = await hello(*options).start()
    assert await refusal(server) == AWAY
    assert (await request(server.url, path="/readyz")).status == 503
    password.write_text("friend\n")
    await server.ready()
    await recovered(server)

    await guarded.change("mellon")
    await refusal(server)
    password.unlink()
    await refusal(server)
    password.touch()
    await refusal(server)
    password.write_text("mellon\r\n")
    await until_store_is("up", server)
    assert await recovered(server) >= 2
    await logs(server)
    assert_in_order(server, guarded.wrong, str(password), "is empty")
    assert "mellon" not in "".join(server.log)


async def test_a_user_that_was_made_anew_costs_nobody_anything(hello: MakeHello, guarded: Guarded) -> None:
    """Redis' connection or etcd's token is valid no more."""
    options = "--store", guarded.url
    server = await hello(*options, HELLO_STORE_PASSWORD="friend\r\n").start()
    assert await server.visit() == 1
    await guarded.change("friend")
    assert await server.visit() == 2


@pytest.fixture(params=[None, redis, etcd], ids=["sqlite", "redis", "etcd"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param is None:
        yield f"sqlite:{tmp_path / 'hello.db'}"
        return
    async with request.param(tmp_path) as shared:
        yield shared.url


async def test_no_number_is_forgotten_by_servers_that_are_killed(hello: MakeHello, url: str) -> None:
    witness, pods = Witness(), await started(hello, url)
    async with witness.crowd(*pods):
        for pod in pods:
            await witness.more(40)
            await pod.kill()
            await witness.more(40)
            await pod.start()
        await witness.more(40)
        await asyncio.gather(*(pod.kill() for pod in pods))

    await pods[0].start()
    await witness.ask(pods[0])
    await witness.judge(pods[0])
    assert 503 not in witness.statuses()
    if url.startswith("sqlite:"):  # others may have the file for a moment
        assert not any("store is lost" in pod.events() for pod in pods)
