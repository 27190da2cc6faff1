"""Any store in trouble, under three servers: what their visitors get, and that it passes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.client import figure, request, state
from tests.support.processes import EtcdServer, Hello, RedisServer
from tests.support.proxy import Proxy
from tests.support.stores import Copy, empty, restore, running
from tests.support.troubles import logs, refusal, reset, started
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


async def test_a_store_that_is_wiped_begins_a_new_epoch_loudly(hello: Callable[..., Hello], shared: Shared) -> None:
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


@pytest.mark.parametrize("forgotten", [1, 20])
async def test_a_store_that_went_back_in_time_is_refused_until_it_is_reset(
    hello: Callable[..., Hello], shared: Shared, forgotten: int
) -> None:
    witness, pods = Witness(), await started(hello, shared.url)
    for pod in pods:
        await witness.ask(pod)
    go_back = await shared.copy()
    for _ in range(forgotten):
        await witness.ask(pods[0])
    await go_back()

    batch = await asyncio.gather(*(witness.ask(pods[0]) for _ in range(8)))
    assert {answer.status for answer in batch} == {503}
    for pod in pods:
        assert "rolled back" in await refusal(pod)
        assert (await request(pod.url, path="/count")).status == 503
        assert (await request(pod.url, path="/readyz")).status == 200
        assert await state(pod.url) == "distrusted"

    await asyncio.to_thread(reset, shared.url, 3 + forgotten)
    for pod in pods:
        await witness.recovered(pod)
    assert min(answer.number for answer in witness.acked[3 + forgotten :]) == 4 + forgotten
    await witness.judge(pods[0], began=3 + forgotten)
    for pod in pods:
        assert (await logs(pod)).count("store is distrusted") >= 1


async def test_an_answer_lost_on_its_way_costs_no_number(hello: Callable[..., Hello], shared: Shared) -> None:
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


@pytest.fixture(params=[None, redis, etcd], ids=["sqlite", "redis", "etcd"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param is None:
        yield f"sqlite:{tmp_path / 'hello.db'}"
        return
    async with request.param(tmp_path) as shared:
        yield shared.url


async def test_no_number_is_forgotten_by_servers_that_are_killed(hello: Callable[..., Hello], url: str) -> None:
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
