"""Behind a real nginx or Varnish, honest counters are not accused, and what a proxy does is found."""

import os
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from random import Random

import pytest

from hello.check.history import Kind
from tests.check.commands import check
from tests.check.servers import SILENCE, Counter, DiesOnce, http, serving
from tests.support.proxies import nginx, varnish

DISOBEDIENT = "sub vcl_backend_response { set beresp.ttl = 10s; return (deliver); }"
"""A cache that ignores Cache-Control: no-store."""


class Unlucky(Counter):
    """Honest, but now and then a visit fails, counted or not, as if a pod had died or was busy."""

    def __init__(self, failing: float) -> None:
        super().__init__()
        self.failing = failing
        self.random = Random(5)

    def visit(self) -> bytes:
        if self.random.random() > self.failing:
            return super().visit()
        match self.random.randrange(4):
            case 0:
                super().visit()
                return SILENCE
            case 1:
                return SILENCE
            case 2:
                return http(503, b"busy", Retry_After="1")
            case _:
                return http(500, b"Internal Server Error")


PROXIES: dict[str, Callable[[str, Path], AbstractAsyncContextManager[str]]] = {
    "nginx": partial(nginx, options="max_fails=0"),  # it asks a server again that failed
    "varnish": varnish,
}
VISITS = int(os.environ.get("VISITS", "2000"))
"""Set it higher by hand."""


@pytest.mark.parametrize("name", PROXIES)
async def test_a_proxy_that_passes_on_is_not_accused(name: str, tmp_path: Path) -> None:
    async with serving(Counter()) as url, PROXIES[name](url, tmp_path) as proxy:
        result = await check(proxy, f"--requests={VISITS}", "--alone", "--json")
    assert (result.status, result.report["findings"], result.report["lost"]) == (0, [], 0), result


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.long
async def test_whatever_fails_behind_a_proxy_only_losses_are_told(name: str, tmp_path: Path) -> None:
    async with serving(Unlucky(0.03)) as url, PROXIES[name](url, tmp_path) as proxy:
        result = await check(proxy, f"--requests={VISITS}", "--json")
    assert result.report["findings"] == []
    assert VISITS / 100 < result.report["lost"] < VISITS / 20
    assert result.status == 1


async def test_a_cache_is_proved_by_what_came_twice(tmp_path: Path) -> None:
    async with serving(Counter()) as url, varnish(url, tmp_path, DISOBEDIENT) as proxy:
        result = await check(proxy, "--duration=2", "--json")
    assert result.status == 1
    assert {Kind.GIVEN_TWICE, Kind.CACHED} <= result.kinds


async def test_a_request_that_a_proxy_repeats_is_told_with_the_pod_that_counted_it_and_when(tmp_path: Path) -> None:
    async with serving(DiesOnce(100)) as url, nginx(url, tmp_path) as proxy:
        log = str(tmp_path / "log")
        result = await check(proxy, "--requests=500", "--alone", "--log", log)
        assert result.status == 1
        assert "Lost?      Nothing: each of 500 visits got a number." in result.output
        assert re.search(r"Repeated\?  1 number counted and answered to nobody, .*: 1 on hello-a \(1\)", result.output)
        assert result.output.splitlines()[-1] == "Requests repeated: 1; the numbers that came were right."
    again = await check("--judge", log)
    assert again.status == 0, "without --alone, nothing is proved"
    assert "not accounted for" in again.output
    assert (await check("--judge", log, "--alone", "--allow-repeated=1")).status == 0
