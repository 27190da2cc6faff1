"""What the tests of the live page share: a browser, and its windows."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.support.browser import FLAGS, Window, Windows, chromium
from tests.support.processes import Hello, RedisServer

EXPECTED = {"serving", "store is up", "store is lost", "leaving"}
"""Events that the shared servers may log. On a busy machine, Redis may time out."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    """A redis-server for all tests that do not disturb it."""
    server = await RedisServer(tmp_path_factory.mktemp("page") / "redis").start()
    yield server
    server.kill()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def pods(redis: RedisServer) -> AsyncIterator[list[Hello]]:
    """Two servers over it."""
    servers = [Hello("--store", redis.url, "--pod", pod) for pod in ("pod-a", "pod-b")]
    await asyncio.gather(*(server.start() for server in servers))
    await asyncio.gather(*(server.ready() for server in servers))
    yield servers
    for server in servers:
        assert await server.stop() == 0
        assert set(server.events()) <= EXPECTED


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium. Without it the tests are skipped, or fail in CI."""
    if chromium() is None:
        missing = "Chromium is not installed: on Debian and Ubuntu, apt install chromium"
        if "CI" in os.environ:
            pytest.fail(missing)
        pytest.skip(missing)
    async with async_playwright() as playwright:
        # Playwright turns the cache for the back button off; a user has it.
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=FLAGS, ignore_default_args=["--disable-back-forward-cache"]
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def window(browser: Browser) -> AsyncIterator[Windows]:
    """Makes windows, each of another visitor, which open a URL: `await window(url, color_scheme="dark")`.

    One `beside` another is of the same visitor. `broken` lets servers fail.
    """
    windows: list[Window] = []
    async with AsyncExitStack() as stack:

        async def make(url: str = "", *, beside: Window | None = None, broken: bool = False, **options: Any) -> Window:
            if beside:
                context = beside.page.context
            else:
                context = await browser.new_context(**options)
                stack.push_async_callback(context.close)
            windows.append(Window(await context.new_page(), broken=broken))
            if url:
                await windows[-1].open(url)
            return windows[-1]

        yield make
        for made in windows:
            made.judge()
