"""Takes the README's pictures of two reports that `make e2e` left in build/: `python -m tests.check.picture`."""

import asyncio
import sys
from pathlib import Path

from playwright.async_api import async_playwright

from tests.support.browser import FLAGS, chromium

HERE = Path(__file__).parent
BUILD = HERE.parent.parent / "build"
NAMES = ("without-drain", "with-drain")
WIDTH = 760


async def take(name: str) -> None:
    """Take a picture of a report, down to its chart."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = await browser.new_page(viewport={"width": WIDTH, "height": 1200})
        await page.goto((BUILD / f"{name}.html").as_uri())
        chart = await page.locator("figure").first.bounding_box()
        assert chart
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": chart["y"] + chart["height"] + 16}
        await page.screenshot(path=HERE / f"{name}.png", clip=clip)  # type: ignore[arg-type]
        await browser.close()


if __name__ == "__main__":
    for name in NAMES:
        if (BUILD / f"{name}.html").exists():
            asyncio.run(take(name))
        else:
            sys.stderr.write(f"build/{name}.html is not there, so its picture stays: make e2e\n")
