"""The live page through the NodePort, while the pods are being replaced."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest

from tests.page.conftest import browser, window  # noqa: F401 -- fixtures
from tests.support.browser import Window
from tests.support.commands import make, total

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_page_lives_on_while_every_pod_is_replaced(
    window: Callable[..., Awaitable[Window]],  # noqa: F811
) -> None:
    here = await window(broken=True)
    url = await asyncio.to_thread(make, "url")
    before = await asyncio.to_thread(total, url)
    await here.open(url)
    assert await here.number() == before + 1
    await here.counts(before + 1)
    await here.shows("#store", "Redis: counting")

    await asyncio.to_thread(make, "restart")

    await here.shows("#news", re.compile("is new"))
    await here.shows("#news", re.compile("is gone"))
    await here.shows("#stream", "live from")
    await here.page.get_by_role("button", name="Visit 100 times").click()
    await here.shows("#visited", "No number came twice")
    await here.counts(await asyncio.to_thread(total, url))
    assert await asyncio.to_thread(total, url) == before + 101
