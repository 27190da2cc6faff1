"""The live page, in a real browser, from real servers over a real Redis."""

import asyncio
import json
import re
from dataclasses import replace
from signal import SIGKILL, SIGSTOP, SIGTERM
from typing import Literal

import pytest
from playwright.async_api import Route, expect

from hello.counting.queue import Visit
from hello.stores.redis.store import RedisStore
from hello.web.page import Greeter, greeting
from tests.page.service import Service
from tests.support.browser import Windows
from tests.support.client import figure, request
from tests.support.processes import PATIENCE, Hello, MakeHello, RedisServer, until
from tests.support.stores import FIRST

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
NAMED_MARKUP = "<img/src=x/onerror=alert(1)>{number}&lt;"

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def total(server: Hello) -> int:
    """The server's count."""
    count: int = json.loads((await request(server.url, path="/count", Accept="application/json")).body)["count"]
    return count


async def watched_by(server: Hello, number: int) -> None:
    async def watched() -> bool:
        return await figure(server.url, "hello_watchers") == number

    await until(watched, f"{number} watch")


async def test_the_back_button_counts_nobody_and_the_page_lives_on(pods: list[Hello], window: Windows) -> None:
    here = await window(pods[0].url)
    number = await here.number()
    await here.counts(number)
    await here.page.goto("about:blank")
    await watched_by(pods[0], 0)
    await here.page.evaluate("void setTimeout(() => history.back())")  # after this evaluation has ended
    await watched_by(pods[0], 1)

    assert await total(pods[0]) == number
    assert await here.number() == number
    await here.counts(await pods[0].visit())


async def test_without_javascript_the_number_is_there(pods: list[Hello], window: Windows) -> None:
    here = await window(pods[0].url, java_script_enabled=False)
    assert await here.number() == await total(pods[0])
    await expect(here.page.locator("#live")).to_be_hidden()


async def test_markup_in_a_name_is_shown_as_text(hello: MakeHello, redis_server: RedisServer, window: Windows) -> None:
    server = await (await hello("--store", redis_server.url, "--pod", NAMED_MARKUP).start()).ready()
    here = await window(server.url)
    await here.counts(1)
    assert await here.page.text_content("#greeter") == NAMED_MARKUP
    assert await here.page.text_content(".pod") == NAMED_MARKUP
    await here.shows("#visited", f"{await here.visit()} by {NAMED_MARKUP}")
    assert await here.page.locator("main img").count() == 0


@pytest.mark.long
async def test_pods_come_and_go(hello: MakeHello, redis_server: RedisServer, window: Windows) -> None:
    one, two = (hello("--store", redis_server.url, "--pod", pod) for pod in ("pod-1", "pod-2"))
    await asyncio.gather(one.start(), two.start())
    await asyncio.gather(one.ready(), two.ready())
    async with Service(one, two) as service:
        here = await window(service.url, broken=True)
        await here.shows("#stream", "live from")
        greeter = await here.page.inner_text("#greeter")
        watched = (await here.page.inner_text("#stream")).removeprefix("live from ")
        killed, other = (one, two) if watched == "pod-1" else (two, one)
        await here.shows("#pods", "pod-1")
        await here.shows("#pods", "pod-2")

        await asyncio.gather(killed.stop(SIGKILL), hello("--store", redis_server.url, "--pod", "pod-3").start())
        await here.shows("#news", f"The stream from {watched} broke off")
        survivor = "pod-2" if watched == "pod-1" else "pod-1"
        await here.shows("#stream", f"live from {survivor}")
        await here.shows("#pods tr:has-text('pod-3')", "new")
        await here.shows(f"#pods tr:has-text('{watched}')", "gone")
        await expect(here.page.locator("#pods tr.gone")).to_have_count(1)
        await here.shows("#news", f"Pod {watched} is gone.")
        await here.shows("#news", "Pod pod-3 is new.")
        await here.shows(f"#pods tr:has-text('{greeter}')", "greeted you")
        await here.counts(await other.visit())


async def test_a_pod_that_leaves_hands_its_watchers_over(hello: MakeHello, redis: RedisServer, window: Windows) -> None:
    one, two = (hello("--store", redis.url, "--pod", pod, "--drain", "600") for pod in ("pod-1", "pod-2"))
    await asyncio.gather(one.start(), two.start())
    async with Service(one) as service:
        here = await window(service.url, broken=True)
        await here.shows("#stream", "live from pod-1")
        service.servers = [two]
        one.signal(SIGTERM)
        await here.shows("#stream", "live from pod-2")
        await here.shows("#news", "The stream is back, from pod-2.")
        await here.counts(await one.visit())


async def test_a_silent_stream_is_replaced(hello: MakeHello, pods: list[Hello], window: Windows) -> None:
    frozen = await hello("--store", "memory:", "--pod", "pod-1").start()
    async with Service(frozen) as service:
        here = await window(service.url)
        await here.shows("#stream", "live from pod-1")
        service.servers = [pods[1]]
        frozen.signal(SIGSTOP)
        await here.shows("#news", "The stream from pod-1 broke off")
        await here.shows("#stream", "live from pod-b")


async def test_redis_goes_away_and_comes_back(hello: MakeHello, redis_server: RedisServer, window: Windows) -> None:
    server = await (await hello("--store", redis_server.url, "--deadline", "2").start()).ready()
    here = await window(server.url, broken=True)
    await here.counts(1)
    redis_server.kill()
    await here.shows("#trouble", "The store is not answering: Redis.")
    await here.accessible()
    await here.screenshot("redis-away")
    assert await here.total() == 1
    late = await window(broken=True)
    assert (await late.open(server.url)).status == 503
    await late.shows("#you", "You were not counted")
    await late.shows("#trouble", "The store is not answering")
    await late.accessible()

    await redis_server.start()
    await expect(here.page.locator("#trouble")).to_be_hidden(timeout=1000 * PATIENCE)
    await here.shows("#news", "The store is back.")
    await expect(here.page.locator("#pods tr.gone")).to_have_count(0)
    await late.counts(1)
    await late.page.click("text=Try again")
    await here.counts(2)
    assert await late.number() == 2


async def test_the_page_warns_of_a_wipe(hello: MakeHello, redis_server: RedisServer, window: Windows) -> None:
    server = await (await hello("--store", redis_server.url).start()).ready()
    for _ in range(3):
        await server.visit()
    here = await window(server.url)
    await here.counts(4)
    await redis_server.call("FLUSHALL")
    made = await here.visit()
    await here.shows("#visited", f"{made} visits got the numbers 1 to {made}:")
    await here.shows("#visited", "No number came twice.")
    await here.shows("#anew", "The count restarted")
    await here.accessible()


async def test_markup_in_an_epoch_is_escaped() -> None:
    page = greeting(Visit(1, "x\"><b>&'"), Greeter("pod-a", "redis"))
    assert 'data-epoch="x&quot;&gt;&lt;b&gt;&amp;&#x27;"' in page


async def test_the_page_warns_of_a_distrusted_store(
    hello: MakeHello, redis_server: RedisServer, window: Windows
) -> None:
    server = await (await hello("--store", redis_server.url).start()).ready()
    await server.visit()
    here = await window(server.url)
    await here.counts(2)
    await redis_server.call("HSET", "{hello}", "count", 1)
    await here.shows("#trouble", "Counting has stopped: the store was rolled back")
    assert await here.total() == 2


async def test_a_hundred_visits_spread_over_the_pods(pods: list[Hello], window: Windows) -> None:
    async with Service(*pods) as service:
        here = await window(service.url)
        await here.counts(before := await here.number())
        await here.page.keyboard.press("Tab")
        await expect(here.page.locator("#visit")).to_be_focused()
        connections = service.accepted
        await here.page.keyboard.press("Enter")
        await expect(here.page.locator("#visit")).to_be_disabled()
        await here.shows("#visited", f"100 visits got the numbers {before + 1} to {before + 100}:")
        await here.shows("#visited", "No number came twice.")
        assert service.accepted - connections >= 94, "all but those on a connection that was there"
        spread = {pod: int(n) for n, pod in re.findall(r"(\d+) by (pod-\w)", await here.page.inner_text("#visited"))}
        assert spread.keys() == {"pod-a", "pod-b"}
        assert min(spread.values()) > 20
        await here.counts(before + 100)
        await expect(here.page.locator("#squares .lost")).to_have_count(0)
        await expect(here.page.locator("#visit")).to_be_enabled()


async def test_the_page_notices_pods_that_count_separately(hello: MakeHello, window: Windows) -> None:
    servers = [hello("--store", "memory:", "--pod", pod) for pod in ("pod-1", "pod-2")]
    await asyncio.gather(*(server.start() for server in servers))
    async with Service(*servers) as service:
        here = await window(service.url)
        await here.shows("#alone", "Each pod counts for itself: this count is in the memory of pod pod-")
        await here.visit()
        await here.shows("#visited", re.compile(r"Number \d+ came twice: from pod-\d and from pod-\d\."))
        await expect(here.page.locator("#anew")).to_be_hidden()
        await here.accessible()


async def test_keep_visiting_visits_ten_times_a_second_until_stopped(pods: list[Hello], window: Windows) -> None:
    async with Service(*pods) as service:
        here = await window(service.url)
        await here.counts(before := await here.number())
        began = await here.page.evaluate("performance.now()")
        await here.page.get_by_role("button", name="Keep visiting").click()
        await expect(here.page.locator("#visit")).to_be_disabled()
        await until(lambda: here.figure_is_above("#answered", 30), "thirty answers")
        await here.accessible()
        await here.page.get_by_role("button", name="Stop visiting").click()
        await here.shows("#visited", "No number came twice.")
        took = await here.page.evaluate("performance.now()") - began
        made = int(await here.figure("#made"))
        assert made <= took / 100 + 5
        await here.shows("#visited", f"{made} visits got the numbers {before + 1} to {before + made}:")
        await here.counts(before + made)
        assert [await here.figure(which) for which in ("#answered", "#lost")] == [made, 0]
        assert await here.page.locator("#squares i").count() == made
        letters = await here.letters()
        for pod in "pod-a", "pod-b":
            squares = here.page.locator(f"#squares .{await here.colour(pod)}:text-is('{letters[pod]}')")
            assert await squares.count() >= made // 3
        await expect(here.page.get_by_role("button", name="Keep visiting")).to_be_enabled()


async def test_slow_and_lost_visits_are_drawn_as_such(pods: list[Hello], window: Windows) -> None:
    here = await window(pods[0].url, broken=True)
    await here.counts(await here.number())
    held: list[Route] = []

    async def hold_four(route: Route) -> None:
        if len(held) == 4:
            await route.continue_()
        else:
            held.append(route)

    await here.page.route(pods[0].url + "/", hold_four)
    await here.page.click("#keep")
    await until(lambda: here.figure_is_above("#gap", 1.2), "a gap")
    assert (await here.figure("#made"), await here.figure("#answered")) == (4, 0), "no more at once than connections"
    await held[0].abort()
    for route in held[1:]:
        await route.continue_()
    await until(lambda: here.figure_is_above("#answered", 10), "answers")
    await here.page.click("#keep")
    await here.shows("#visited", "1 got no number. No number came twice.")
    await expect(here.page.locator("#squares .slow.lost")).to_have_text(re.compile(r"^\W \d+\.\d s$"))
    await expect(here.page.locator("#squares .slow:not(.lost)")).to_have_text([re.compile(r"A \d+\.\d s")] * 3)
    assert await here.figure("#lost") == 1
    assert await here.figure("#gap") >= 1.2


@pytest.mark.long
async def test_a_rollout_shows_in_the_marks(hello: MakeHello, redis: RedisServer, window: Windows) -> None:
    old, new = (
        hello("--store", redis.url, "--pod", f"pod-{version}", "--node", "node-7", HELLO_VERSION=version)
        for version in ("old", "new")
    )
    await old.start()
    async with Service(old) as service:
        here = await window(service.url)
        await here.shows("#where", "version old, node node-7")
        await here.shows("#stream", "live from pod-old")
        await here.page.click("#keep")
        await until(lambda: here.figure_is_above("#answered", 5), "answers of the old version")
        await expect(here.page.locator("#marks i")).to_have_count(0)
        service.servers = [await new.start()]
        await expect(here.page.locator("#squares .mark1").nth(5)).to_be_visible()
        await here.page.click("#keep")
        await here.shows("#pods", "pod-new")
        letters = await here.letters()
        for mark, pod in enumerate(("pod-old", "pod-new")):
            assert await here.page.locator(f"#squares .mark{mark}:text-is('{letters[pod]}')").count() > 5
        await expect(here.page.locator("#marks > span")).to_have_text(["version old", "version new"])
        for pod, tags in ("pod-old", ["greeted you", "old"]), ("pod-new", ["new", "new"]):
            await expect(here.page.locator(f"#pods tr:has-text('{pod}') .tag:visible")).to_have_text(tags)


@pytest.mark.long
async def test_seven_windows_of_one_browser_share_one_stream(
    hello: MakeHello, redis: RedisServer, window: Windows
) -> None:
    server = await hello("--store", redis.url, "--pod", "pod-1").start()
    windows = [await window()]
    windows += [await window(beside=windows[0]) for _ in range(6)]
    for here in windows:
        await here.open(server.url)
        await here.shows("#stream", "live from pod-1")
    for here in windows:
        await here.counts(await windows[-1].number())
    assert await figure(server.url, "hello_watchers") == 1
    while len(windows) > 2:
        await windows.pop(0).page.close()
        number = await server.visit()
        for here in windows:
            await here.counts(number)
        assert await figure(server.url, "hello_watchers") == 1


async def test_windows_that_open_streams_at_once_settle_on_one(pods: list[Hello], window: Windows) -> None:
    one = await window()
    two = await window(beside=one)
    for rank, here in enumerate((one, two)):
        await here.page.add_init_script(f"Math.random = () => 0.5 + {rank} / 1000")
    await asyncio.gather(one.open(pods[0].url), two.open(pods[0].url))
    await watched_by(pods[0], 1)
    number = await pods[1].visit()
    await asyncio.gather(one.counts(number), two.counts(number))


async def test_a_message_that_comes_late_is_no_outage(pods: list[Hello], window: Windows) -> None:
    async with Service(pods[0]) as service:
        here = await window(broken=True)
        await here.page.route("**/events", lambda route: route.abort(), times=1)
        await here.open(service.url)
        await here.shows("#stream", "reconnecting")
        await here.shows("#stream", "live from pod-a")
        assert await here.page.locator("#news li").count() == 1, "nothing was there that could break"


async def test_a_stream_without_messages_is_retried_less_and_less_often(pods: list[Hello], window: Windows) -> None:
    here = await window()
    await here.page.clock.install()
    await here.page.route("**/events", lambda _: None)  # no answer
    await here.open(pods[0].url)
    tries: list[int] = []
    for _ in range(3):
        await here.page.clock.run_for(180_000)
        tries.append(sum(url.endswith("/events") for url in here.requested) - sum(tries))
    assert 3 <= tries[0] <= 8
    assert 1 <= tries[2] <= 5
    await here.counts(await pods[1].visit())


@pytest.mark.parametrize("viewport", [PHONE, {"width": 1280, "height": 720}])
async def test_the_buttons_are_in_sight_however_many_pods_there_were(
    hello: MakeHello, redis_server: RedisServer, window: Windows, viewport: object
) -> None:
    store = RedisStore(redis_server.url)
    for number in range(30):
        await store.commit(replace(FIRST, client=f"{number:032}", pod=f"hello-world-7d9c8b6f5d-{number:05}"))
    await store.close()
    server = await hello("--store", redis_server.url).start()
    here = await window(server.url, viewport=viewport)
    await expect(here.page.locator("#pods tr")).to_have_count(31)
    await expect(here.page.locator("#keep")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize(("name", "viewport"), [("phone", PHONE), ("desktop", DESKTOP)])
async def test_axe_finds_nothing(pods: list[Hello], window: Windows, name: str, viewport: object) -> None:
    async with Service(*pods) as service:
        here = await window(service.url, viewport=viewport, reduced_motion="reduce")
        await here.counts(await here.number())
        await here.visit()
        await here.shows("#visited", "No number came twice.")
        for scheme in SCHEMES:
            await here.page.emulate_media(color_scheme=scheme)
            await here.accessible()
            await here.screenshot(f"{name}-{scheme}")
        width = await here.page.evaluate("document.documentElement.scrollWidth")
        assert width <= await here.page.evaluate("innerWidth"), "the page is wider than its window"


async def test_screen_readers_do_not_read_every_count(pods: list[Hello], window: Windows) -> None:
    here = await window(pods[0].url)
    await here.counts(await here.number())
    await here.page.evaluate("""() => {
        window.said = 0;
        const all = {subtree: true, childList: true, characterData: true, attributes: true};
        for (const region of document.querySelectorAll("[role=log], [role=status], [role=alert], [aria-live]"))
            new MutationObserver(() => window.said++).observe(region, all);
    }""")
    for _ in range(3):
        await here.counts(await pods[1].visit())
    assert await here.page.evaluate("window.said") == 0


async def test_nothing_moves_if_the_user_prefers_reduced_motion(pods: list[Hello], window: Windows) -> None:
    here = await window(pods[0].url, reduced_motion="reduce")
    await here.counts(await here.number())
    bar = here.page.locator(".bar i").first
    assert await bar.evaluate("bar => getComputedStyle(bar).transitionDuration") == "0s"


async def test_the_page_may_load_nothing_foreign(pods: list[Hello]) -> None:
    response = await request(pods[0].url, Accept="text/html")
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert all(re.fullmatch(r"'sha256-[\w+/=]+'", policy[name]) for name in ("script-src", "style-src"))


async def test_the_page_is_small(pods: list[Hello]) -> None:
    assert len((await request(pods[0].url, Accept="text/html")).body) < 30_000
