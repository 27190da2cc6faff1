"""components/monitoring: a real Prometheus has data for each panel of the dashboard, and each fault fires its alert."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import aiohttp
import pytest

from tests.support.processes import Hello, MakeHello, RedisServer, until
from tests.support.prometheus import Prometheus, assert_rules_pass, plain_rules, prometheus

MONITORING = Path(__file__).parents[2] / "manifests/components/monitoring"
PANELS = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return plain_rules(MONITORING, tmp_path)


@pytest.fixture
def quick_rules(rules: Path) -> Path:
    """Rules that wait for a second instead of a minute."""
    rules.write_text(rules.read_text().replace("for: 1m", "for: 1s"))
    return rules


def test_the_rules_pass_prometheus_own_tests(tmp_path: Path) -> None:
    assert_rules_pass(MONITORING, tmp_path)


def target(url: str, pod: str) -> dict[str, Any]:
    """A server as Prometheus scrapes it, with the labels that the PodMonitor gives to a pod."""
    return {"targets": [url.removeprefix("http://").rstrip("/")], "labels": {"namespace": "hello-world", "pod": pod}}


async def visit(url: str) -> None:
    """Visit again and again, whatever the answer."""
    while True:
        with suppress(aiohttp.ClientError):
            async with aiohttp.request("GET", url):
                pass
        await asyncio.sleep(0.02)


@asynccontextmanager
async def monitored(hello: Hello, rules: Path) -> AsyncIterator[Prometheus]:
    """Let Prometheus scrape a server with constant visitors."""
    async with prometheus(rules.parent, rules, target(hello.url, "pod-a")) as watching:
        visitor = asyncio.create_task(visit(hello.url))

        async def has_rates() -> bool:
            return await watching.value("rate(hello_visitors_total[1m])") > 0

        try:
            await until(has_rates, "visitors are counted")
            yield watching
        finally:
            visitor.cancel()


@pytest.fixture
async def pod(hello: MakeHello, redis_server: RedisServer) -> Hello:
    return await hello("--store", redis_server.url, "--deadline", "0.5", "--pod", "pod-a").start()


@pytest.mark.long
async def test_each_panel_has_data_and_no_alert_fires_while_all_is_well(pod: Hello, quick_rules: Path) -> None:
    assert len(PANELS) == 8
    async with monitored(pod, quick_rules) as watching:
        for query in QUERIES:
            values = await watching.values(query)
            assert values, query
            assert not any(map(math.isnan, values)), query
        assert await watching.firing() == set()


async def kill(redis: RedisServer) -> None:
    redis.kill()


async def lose_numbers(redis: RedisServer) -> None:
    await redis.call("HSET", "{hello}", "count", 1)


async def wipe(redis: RedisServer) -> None:
    await redis.call("FLUSHALL")


async def hang_for_a_second(redis: RedisServer) -> None:
    redis.signal(SIGSTOP)
    await asyncio.sleep(1)  # the fault itself
    redis.signal(SIGCONT)


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "alerts"),
    [
        (kill, {"HelloStoreLost", "HelloVisitorsRefused"}),
        (lose_numbers, {"HelloStoreDistrusted", "HelloVisitorsRefused"}),
        (wipe, {"HelloStoreWiped"}),
        (hang_for_a_second, {"HelloVisitorsRefused"}),
    ],
)
async def test_each_fault_fires_its_alerts(
    pod: Hello,
    redis_server: RedisServer,
    quick_rules: Path,
    fault: Callable[[RedisServer], Awaitable[None]],
    alerts: set[str],
) -> None:
    async with monitored(pod, quick_rules) as watching:
        await fault(redis_server)

        async def fire() -> bool:
            return await watching.firing() == alerts

        await until(fire, f"these fire, and no other: {alerts}")
