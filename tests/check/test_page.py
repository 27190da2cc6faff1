"""The report page in a real browser: it requests nothing, fits a phone, and shows what was seen."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

from hello.check.history import Outcome, Record, line
from tests.check.commands import check
from tests.check.servers import SILENCE, Counter, Duplicate, checked
from tests.support.browser import FLAGS, chromium
from tests.support.linux import require
from tests.support.records import recorded

EVIL = '<script>document.title = "evil"</script>"&'
SECOND = 10**9


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    path = chromium()
    if path is None:
        require("chromium", "--version")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        await browser.close()


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def show(browser: Browser) -> AsyncIterator[Callable[..., Awaitable[Page]]]:
    """Opens a report; the test fails if the page requests anything else or logs an error."""
    opened: list[str] = []
    asked: list[str] = []
    said: list[str] = []
    async with AsyncExitStack() as stack:

        async def open_(file: Path, **options: Any) -> Page:
            context = await browser.new_context(**options)
            stack.push_async_callback(context.close)
            page = await context.new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: said.append(message.text))
            await page.goto(file.as_uri())
            opened.append(file.as_uri())
            return page

        yield open_
    assert asked == opened
    assert said == []


def outage() -> Iterator[Record]:
    """A visit every 10 ms; for two seconds in the middle, all are lost."""
    for number in range(1, 601):
        sent = number * SECOND // 100
        if 200 < number <= 400:
            yield recorded(sent, sent + 1, Outcome.RESET)
        else:
            yield recorded(sent, sent + 1, number=number, pod=f"hello-{'abc'[number % 3]}", epoch="e")


async def test_a_run_that_lost_visits_shows_when(tmp_path: Path, show: Callable[..., Awaitable[Page]]) -> None:
    log, file = tmp_path / "log", tmp_path / "report.html"
    log.write_text("".join(map(line, outage())))
    outcome = await check("--judge", str(log), "--report", str(file))
    assert outcome.status == 1
    page = await show(file)
    assert await page.inner_text("h1") == outcome.output.splitlines()[-1]
    marks = await page.locator(".plot path.lost").evaluate_all("all => all.map(each => each.getAttribute('d'))")
    assert marks
    assert all(320 < float(mark.split()[0].removeprefix("M")) < 680 for mark in marks)
    assert await page.locator(".key path.lost").count() == 1
    assert await page.locator(".plot rect.outage").count() == 1
    box = await page.locator(".plot rect.outage").first.bounding_box()
    plot = await page.locator(".plot").first.bounding_box()
    assert box
    assert plot
    assert 0.3 < (box["x"] - plot["x"]) / plot["width"] < 0.4
    for pod in ("hello-a", "hello-b", "hello-c"):
        assert await page.locator(".key li", has_text=pod).count() == 1
    assert (await page.inner_text("pre")).count("lost     reset over a fresh connection") == 50


class Unreliable(Duplicate):
    """Gives a number twice, and loses one answer in 100."""

    def visit(self) -> bytes:
        answer = super().visit()
        return answer if self.visits % 100 else SILENCE


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
async def test_it_is_readable_everywhere(
    tmp_path: Path, show: Callable[..., Awaitable[Page]], scheme: str, width: int
) -> None:
    file = tmp_path / "report.html"
    await checked(Unreliable(50), "--clients=1", "--report", str(file))
    page = await show(file, color_scheme=scheme, viewport={"width": width, "height": 800})
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    found = await Axe().run(page)
    assert found.response["violations"] == []
    texts = "[...document.querySelectorAll('body *')].filter(element => element.innerText)"
    assert min(await page.evaluate(f"{texts}.map(element => parseFloat(getComputedStyle(element).fontSize))")) >= 12
    assert "BROKEN   1. Distinct: numbers given twice (1)" in await page.inner_text("pre")
    background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 300) == (scheme == "dark")


async def test_what_a_server_says_is_shown_and_not_run(tmp_path: Path, show: Callable[..., Awaitable[Page]]) -> None:
    class Evil(Counter):
        pod, epoch = EVIL, EVIL

    file = tmp_path / "report.html"
    assert (await checked(Evil(), "--requests=50", "--report", str(file))).status == 0
    page = await show(file)
    assert (await page.title()).startswith("hello check: Promise kept: 50 visitors")
    assert await page.locator(".key li", has_text=EVIL).count() == 1


async def test_a_run_of_one_visit_and_one_of_none_are_drawn(
    tmp_path: Path, show: Callable[..., Awaitable[Page]]
) -> None:
    file, log = tmp_path / "report.html", tmp_path / "log"
    assert (await checked(Counter(), "--requests=1", "--report", str(file))).status == 0
    page = await show(file)
    assert await page.inner_text("h1") == "Promise kept: 1 visitor counted by 1 pod, none lost."
    log.touch()
    assert (await check("--judge", str(log), "--report", str(file))).status == 2
    page = await show(file)
    assert (await page.inner_text("h1")).startswith("Nothing could be judged")


async def test_a_report_that_cannot_be_written_is_no_verdict(tmp_path: Path) -> None:
    full = await checked(Counter(), "--requests=50", "--report", "/dev/full")
    nowhere = await checked(Counter(), "--report", "/nowhere/report.html")
    assert full.status == nowhere.status == 2
    assert full.output.splitlines()[-1].startswith("Promise kept")
    assert "cannot write /dev/full: No space left on device" in full.errors
    assert nowhere.output == ""
