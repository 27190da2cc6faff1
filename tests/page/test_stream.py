"""The stream: its messages, its cost to the store, and its end."""

import asyncio
import json
import math
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from signal import SIGTERM
from typing import Any
from urllib.parse import urlsplit

import pytest

from hello.stores import EARLIER_PODS, Reading
from hello.stores.memory import MemoryStore
from hello.web import events
from tests.page.stream import has_room, served, watch
from tests.support.client import Connection, figure, request
from tests.support.processes import PATIENCE, Hello, MakeHello, until
from tests.support.stores import FIRST

pytestmark = pytest.mark.asyncio(loop_scope="session")


class CountedStore(MemoryStore):
    """Counts its readings."""

    def __init__(self) -> None:
        super().__init__()
        self.readings = 0

    async def read(self, epoch: str, seen: int) -> Reading:
        self.readings += 1
        return await super().read(epoch, seen)


async def test_the_stream_tells_what_the_count_tells(pods: list[Hello]) -> None:
    for server in *pods, pods[0]:
        await server.visit()
    async with watch(pods[0].url) as stream:
        told = await stream.next()
    total = json.loads((await request(pods[0].url, path="/count", Accept="application/json")).body)

    assert {key: told[key] for key in ("count", "epoch")} == {key: total[key] for key in ("count", "epoch")}
    assert (told["version"], told["node"]) == (None, None)
    assert {line["pod"]: line["count"] for line in told["pods"]} == total["pods"]
    assert (told["state"], told["store"], told["pod"], told["earlier"]) == ("up", "redis", "pod-a", 0)


async def test_many_watchers_share_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MESSAGE_INTERVAL", 0.1)
    store = CountedStore()
    async with served(store) as url, watch(url) as stream, AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(watch(url))
        before, told = store.readings, 0
        async with asyncio.timeout(PATIENCE):
            while told < before + 3 or told < store.readings:  # this one was there from the first reading on
                await stream.next()
                told += 1


async def test_a_server_without_watchers_does_not_read_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MESSAGE_INTERVAL", 0.05)
    store = CountedStore()
    async with served(store) as url, served(MemoryStore()) as other, watch(other) as clock:
        async with watch(url) as stream:
            await stream.next()

        async def is_alone() -> bool:
            return await figure(url, "hello_watchers") == 0

        await until(is_alone, "nobody watches")
        before = store.readings
        for _ in range(10):
            await clock.next()
        assert store.readings == before


async def test_no_pod_could_show_itself_while_the_store_was_away() -> None:
    outage = events.Outage()
    outage.end(1000)
    outage.on = True
    outage.end(1600)
    assert [outage.silence(seconds) for seconds in (700, 602, 0)] == [100, 2, 0]
    outage.end(1620)
    assert [outage.silence(seconds) for seconds in (622, 20)] == [22, 20]


def _told(silence: Mapping[str, float]) -> Any:
    """The message if each pod counted one."""
    shares = dict.fromkeys(silence, 1)
    return events.total(Reading("epoch", len(silence), pods=shares, silence=silence), events.Outage())


async def test_pods_of_long_ago_share_one_figure() -> None:
    told = _told({"pod-a": 1, "pod-b": 10, "pod-c": 1000, EARLIER_PODS: math.inf})
    assert [(line["pod"], line["gone"]) for line in told["pods"]] == [("pod-a", False), ("pod-b", True)]
    assert told["earlier"] == 2


async def test_pods_with_a_line_are_limited() -> None:
    told = _told({"pod-a": 2} | {f"pod-{i}": 10 for i in range(events.POD_LIMIT)} | {"pod-b": 1})
    lines = [line["pod"] for line in told["pods"]]
    assert (len(lines), {"pod-a", "pod-b"} <= set(lines), told["earlier"]) == (events.POD_LIMIT, True, 2)


async def test_the_stream_ends_as_the_drain_begins(hello: MakeHello) -> None:
    server = await hello("--store", "memory:", "--drain", "600").start()
    with await Connection.open(server.url) as connection:
        connection.send(path="/events")
        await connection.reader.readuntil(b"data:")
        server.signal(SIGTERM)
        async with asyncio.timeout(PATIENCE):
            assert (await connection.reader.read()).endswith(b"\r\n0\r\n\r\n")
    assert await server.visit() == 1
    refused = await request(server.url, path="/events")
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert (await request(server.url, "HEAD", "/events")).status == 405


async def test_watchers_do_not_delay_the_shutdown(hello: MakeHello) -> None:
    server = await hello("--store", "memory:").start()
    async with watch(server.url) as stream, asyncio.timeout(PATIENCE):
        await stream.next()
        assert await server.stop() == 0
    assert server.events()[-1] == "leaving"


class SlowStore(MemoryStore):
    """Holds its readings back until they may arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.has_read = asyncio.Event()
        self.arrives = asyncio.Event()

    async def read(self, epoch: str, seen: int) -> Reading:
        reading = await super().read(epoch, seen)
        self.has_read.set()
        await self.arrives.wait()
        return reading


async def test_a_watcher_sees_at_least_what_was_answered_before() -> None:
    store = SlowStore()
    async with served(store) as url, watch(url):
        await store.has_read.wait()
        visit = await request(url)
        async with watch(url) as late:
            store.arrives.set()
            assert (await late.next())["count"] == int(visit.headers["hello-count"]) == 1


async def test_a_reading_that_comes_late_is_no_outage_but_no_reading_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MESSAGE_INTERVAL", 0.1)
    store = SlowStore()
    async with served(store) as url:
        assert (await request(url)).status == 200
        async with watch(url) as stream:
            told = [await stream.next() for _ in range(4)]
            assert [message["state"] for message in told] == ["up", "up", "lost", "lost"]
            assert not any("count" in message for message in told)
            store.arrives.set()
            while (message := await stream.next())["state"] == "lost":
                pass
            assert message["count"] == 1


async def test_watchers_are_limited_and_one_address_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "WATCHER_LIMIT", 4)
    async with served(MemoryStore()) as url, watch(url):
        async with watch(url):
            refused = await request(url, path="/events")
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            for _ in range(3):
                await until(lambda: has_room(url, "127.0.0.2"), "there is room for another address")
        await until(lambda: has_room(url), "there is room again")


async def test_a_watcher_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MESSAGE_INTERVAL", 0.02)
    monkeypatch.setattr(events, "SEND_TIMEOUT", 0.2)
    monkeypatch.setattr(events, "WATCHER_LIMIT", 2)
    store = MemoryStore()
    await store.commit(replace(FIRST, pod="x" * 500_000))
    async with served(store) as url:
        with socket.socket() as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            stalled.connect(("127.0.0.1", urlsplit(url).port))
            stalled.send(b"GET /events HTTP/1.1\r\nHost: hello\r\n\r\n")
            assert await asyncio.to_thread(stalled.recv, 100)
            assert not await has_room(url)
            await until(lambda: has_room(url), "it is dropped")


async def test_a_stream_ends_after_a_while_and_frees_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MESSAGE_INTERVAL", 0.05)
    monkeypatch.setattr(events, "WATCHER_LIMIT", 2)
    async with served(MemoryStore()) as url, watch(url) as stream:
        assert not await has_room(url)
        monkeypatch.setattr(events, "STREAM_LIFETIME", 0)
        while await stream.next():
            pass
        assert await stream.content.read() == b"data: \r\n\r\n"
        assert await has_room(url)
