"""The page and its stream under a prefix, behind real proxies with their defaults."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import aiohttp
import pytest

from hello.stores.memory import MemoryStore
from hello.web import events
from tests.page.stream import has_room, served, watch
from tests.support.browser import Windows
from tests.support.processes import PATIENCE, Hello, MakeHello, until
from tests.support.proxies import lighttpd, nginx, varnish

Proxy = Callable[[str, Path], AbstractAsyncContextManager[str]]

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_page_works_under_a_prefix_without_a_slash(
    pods: list[Hello], tmp_path: Path, window: Windows
) -> None:
    async with nginx(pods[0].url, tmp_path) as url:
        here = await window(f"{url}/bare?from=here")
        await here.counts(number := await here.number())
        assert await here.page.evaluate("getComputedStyle(document.body).margin") == "0px", "it has its style"
        await here.counts(await pods[1].visit())
        made = await here.visit()
        await here.shows("#visited", f"{made} visits got the numbers {number + 2} to {number + 1 + made}")
        assert all(address.startswith((f"{url}/bare", "data:")) for address in here.requested), here.requested


async def test_try_again_stays_under_the_prefix(hello: MakeHello, tmp_path: Path, window: Windows) -> None:
    server = await hello("--store", "redis://127.0.0.1:1", "--deadline", "0.2").start()
    async with nginx(server.url, tmp_path) as url:
        here = await window(broken=True)
        assert (await here.open(f"{url}/bare")).status == 503
        async with here.page.expect_navigation():
            await here.page.click("text=Try again")
        assert here.page.url == f"{url}/bare"
        await here.shows("#trouble", "The store is not answering")


@pytest.mark.parametrize(("proxy", "path"), [(nginx, "/bare"), (varnish, "")])
async def test_no_proxy_holds_a_message_back(pods: list[Hello], tmp_path: Path, proxy: Proxy, path: str) -> None:
    async with proxy(pods[0].url, tmp_path) as url, watch(url + path) as stream, watch(url + path) as other:
        number = await pods[0].visit()
        async with asyncio.timeout(PATIENCE):
            for each in stream, other:
                while (await each.next())["count"] < number:
                    pass


HOLDING = [(lighttpd, "/"), pytest.param(nginx, "/buffered/", marks=pytest.mark.long)]
"""Proxies that hold a stream back: lighttpd until its end, nginx until its buffer is full."""


@pytest.mark.parametrize(("proxy", "path"), HOLDING)
async def test_a_page_whose_stream_is_held_back_asks_for_the_count(
    pods: list[Hello], window: Windows, tmp_path: Path, proxy: Proxy, path: str
) -> None:
    async with proxy(pods[0].url, tmp_path) as url:
        here = await window(url + path)
        await here.shows("#stream", "no live stream: asking every 2 s")
        await here.shows("#news", "No live stream comes through: this page asks for the count instead.")
        await here.counts(await here.number())
        await here.counts(await pods[1].visit())
        await here.shows("#pods tr:has-text('pod-a')", "greeted you")
        await here.shows("#pods", "pod-b")
        await here.shows("#store", "Redis: counting")
        await here.shows("#visited", f"{await here.visit()} visits got the numbers")
        await here.accessible()


@pytest.mark.parametrize(("proxy", "path"), HOLDING)
async def test_a_place_is_free_again_though_a_proxy_held_its_stream_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: Proxy, path: str
) -> None:
    monkeypatch.setattr(events, "MESSAGE_INTERVAL", 0.05)
    monkeypatch.setattr(events, "STREAM_LIFETIME", 1)
    monkeypatch.setattr(events, "WATCHER_LIMIT", 4)
    async with served(MemoryStore()) as server, proxy(server, tmp_path) as url:
        for _ in range(2):
            await leave(f"{url}{path}events")
        await until(lambda: has_room(server), "its places are free", 5)


async def leave(address: str) -> None:
    """Begin to watch, and leave without a message."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.2), aiohttp.request("GET", address):
            pass
