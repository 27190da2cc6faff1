"""Takes the README's picture of the live page: `python -m tests.page.picture`."""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import async_playwright

from tests.page.service import Service
from tests.support.browser import FLAGS, Window, chromium
from tests.support.processes import Hello, RedisServer

PICTURE = Path(__file__).with_name("page.png")
PODS = [f"hello-world-7d9c8b6f5d-{end}" for end in ("q9f4m", "tt8zb", "x2x7k")]


async def take(directory: Path) -> None:
    """Visit three pods for a while, replace one of them, and take a picture of the page."""
    async with AsyncExitStack() as stack:
        redis = await RedisServer(directory / "redis").start()
        stack.callback(redis.kill)

        async def start(pod: str, version: str = "1.4.0") -> Hello:
            server = Hello("--store", redis.url, "--pod", pod, "--version", version, "--node", "minikube")
            stack.push_async_callback(server.kill)
            return await server.start()

        pods = [await start(pod) for pod in PODS]
        service = await stack.enter_async_context(Service(*pods))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        stack.push_async_callback(browser.close)
        window = Window(await browser.new_page(viewport={"width": 1100, "height": 800}))
        await visit(pods, seconds=2)
        await window.open(service.url)
        await visit(pods, seconds=15)
        await window.page.click("#keep")
        await visit(pods, seconds=5)
        service.servers.append(await start("hello-world-66cf5d9b8c-zk6pw", "1.4.1"))
        pods.append(service.servers[-1])
        await visit(pods, seconds=3)
        await pods.pop(0).kill()
        await visit(pods, seconds=12)
        await window.shows("#pods", "gone")
        await window.page.screenshot(path=PICTURE, full_page=True)


async def visit(servers: list[Hello], seconds: int) -> None:
    """Visit, more often in the middle of each ten seconds."""
    for i in range(10 * seconds):
        for _ in range(random.randint(0, 1 + min(i % 100, -i % 100) // 10)):
            await random.choice(servers).visit()
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    with TemporaryDirectory() as directory:
        asyncio.run(take(Path(directory)))
