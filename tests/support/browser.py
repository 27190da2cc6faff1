"""A window of a browser, in which nothing may go wrong unnoticed."""

import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import ConsoleMessage, Page, Response, expect

from tests.support.processes import PATIENCE, until

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
UNREACHED = re.compile("Failed to load resource|net::ERR")


def chromium() -> str | None:
    """Where a Chromium is."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Window:
    """A page of the server under test. `broken` says that the test lets servers fail, so that requests may."""

    def __init__(self, page: Page, *, broken: bool = False) -> None:
        self.page = page
        self.broken = broken
        self.requested: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    async def open(self, url: str) -> Response:
        response = await self.page.goto(url)
        assert response
        return response

    async def number(self) -> int:
        """The number of this visitor."""
        return int(await self.page.inner_text("#number"))

    async def total(self) -> int:
        """The count that is shown."""
        return int((await self.page.inner_text("#total")).replace(",", ""))

    async def figure(self, selector: str) -> float:
        """A figure that is shown, whatever its unit."""
        return float((await self.page.inner_text(selector)).replace(",", "").removesuffix(" s"))

    async def figure_is_above(self, selector: str, bound: float) -> bool:
        """Whether a figure is shown that is above a bound."""
        return await self.page.inner_text(selector) != "" and await self.figure(selector) > bound

    async def visit(self, answers: int = 5) -> int:
        """Keep visiting until so many visits are answered; how many were made."""
        await self.page.click("#keep")
        await until(lambda: self.figure_is_above("#answered", answers - 1), f"{answers} answers")
        await self.page.click("#keep")
        await expect(self.page.locator("#visit")).to_be_enabled()
        return int(await self.figure("#made"))

    async def letters(self) -> dict[str, str]:
        """The letter of each pod."""
        rows = self.page.locator("#pods tr")
        pods = await rows.locator(".pod").all_inner_texts()
        return dict(zip(pods, await rows.locator(".face").all_inner_texts(), strict=True))

    async def colour(self, pod: str) -> str:
        """The class of a pod's colour."""
        return (await self.page.locator(f"#pods tr:has-text('{pod}')").get_attribute("class") or "").split()[0]

    async def shows(self, selector: str, text: str | re.Pattern[str]) -> None:
        """Wait until an element shows a text; fail the test if it never does."""
        await expect(self.page.locator(selector)).to_contain_text(text, timeout=1000 * PATIENCE, use_inner_text=True)

    async def counts(self, total: int) -> None:
        """Wait until that count is shown."""
        await expect(self.page.locator("#total")).to_have_text(f"{total:,}", timeout=1000 * PATIENCE)

    async def accessible(self) -> None:
        """Fail the test if axe finds fault with what is shown."""
        results = await Axe().run(self.page)
        assert results.violations_count == 0, results.generate_report()

    async def screenshot(self, name: str) -> None:
        """Keep a picture of the whole page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def judge(self) -> None:
        """Fail the test if the page asked anyone but its server for anything, or the browser complained."""
        origin = "/".join(self.page.url.split("/")[:3]) + "/"
        foreign = [url for url in self.requested if not url.startswith((origin, "data:"))]
        assert not foreign, foreign
        complaints = [text for text in self.complaints if not (self.broken and UNREACHED.search(text))]
        assert not complaints, complaints


Windows = Callable[..., Awaitable[Window]]
"""What the fixture `window` is: it opens windows."""
