"""Browsers that lack some functions: those of the last five years, and those whose user forbids some.

Chromium stands in for them: what they lack is removed before the page's script runs.
"""

import pytest
from playwright.async_api import expect

from tests.support.browser import Window, Windows
from tests.support.processes import Hello, MakeHello, RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

YOUNGER = """
    AbortSignal.any AbortSignal.prototype.throwIfAborted AbortSignal.timeout Array.fromAsync Array.prototype.at
    Array.prototype.findLast Array.prototype.findLastIndex Array.prototype.toReversed Array.prototype.toSorted
    Array.prototype.toSpliced Array.prototype.with BroadcastChannel CSSStyleSheet.prototype.replaceSync
    Element.prototype.ariaHidden Element.prototype.ariaLabel Element.prototype.checkVisibility Element.prototype.role
    HTMLDialogElement HTMLElement.prototype.inert Intl.DurationFormat Intl.Segmenter Iterator Map.groupBy Object.groupBy
    Object.hasOwn Promise.try Promise.withResolvers Response.json Response.prototype.bytes Set.prototype.difference
    Set.prototype.intersection Set.prototype.union String.prototype.at String.prototype.isWellFormed URL.canParse
    URL.parse Uint8Array.prototype.at crypto.randomUUID document.startViewTransition navigation navigator.locks
    requestIdleCallback scheduler structuredClone
"""
"""What Chrome 96, Firefox 94 or Safari 15 lacks, all of November 2021: https://github.com/mdn/browser-compat-data."""

REMOVE = """for (const path of "{}".split(" ")) {{
    const names = path.split("."), last = names.pop();
    const owner = names.reduce((object, name) => object?.[name], window);
    for (let object = owner; object; object = Object.getPrototypeOf(object)) delete object[last];
    if (owner && last in owner) throw new Error(`${{path}} is still there`);
}}"""
FORBID = "window.BroadcastChannel = function () { throw new DOMException('forbidden', 'SecurityError'); }"


def without(names: str) -> str:
    """A script that removes functions."""
    return REMOVE.format(" ".join(names.split()))


async def without_complaint(here: Window, pods: list[Hello]) -> None:
    """The page does everything."""
    response = await here.open(pods[0].url)
    assert await here.number() == int(response.headers["hello-count"])
    await here.counts(await here.number())
    await here.shows("#greeter", "pod-a")
    await here.shows("#pods tr:has-text('pod-a')", "greeted you")
    assert await here.page.locator("#pods .face").first.get_attribute("aria-hidden") == "true"
    await here.shows("#store", "Redis: counting")
    await here.counts(await pods[1].visit())
    await here.shows("#visited", f"{await here.visit()} visits got the numbers")
    await here.shows("#visited", "No number came twice.")


async def test_the_page_works_in_browsers_five_years_old(pods: list[Hello], window: Windows) -> None:
    here = await window()
    await here.page.add_init_script(without(YOUNGER))
    await without_complaint(here, pods)
    await here.shows("#stream", "live from pod-a")


@pytest.mark.long
async def test_windows_that_cannot_communicate_have_a_stream_each(pods: list[Hello], window: Windows) -> None:
    here = await window()
    other = await window(beside=here)
    for each in here, other:
        await each.page.add_init_script(FORBID)
        await without_complaint(each, pods)
        await each.shows("#stream", "live from pod-a")


async def test_a_browser_without_streams_asks_for_the_count(pods: list[Hello], window: Windows) -> None:
    here = await window()
    await here.page.add_init_script(without("EventSource"))
    await without_complaint(here, pods)
    await here.shows("#stream", "no live stream: asking every 2 s")


async def test_a_polling_page_shows_an_outage_of_the_store(
    hello: MakeHello, redis_server: RedisServer, window: Windows
) -> None:
    server = await (await hello("--store", redis_server.url, "--deadline", "0.5").start()).ready()
    here = await window(broken=True)
    await here.page.add_init_script(without("EventSource"))
    await here.open(server.url)
    await here.counts(1)
    redis_server.kill()
    await here.shows("#trouble", "The store is not answering: Redis.")
    assert await here.total() == 1
    await redis_server.start()
    await here.shows("#store", "Redis: counting")
    await expect(here.page.locator("#trouble")).to_be_hidden()
