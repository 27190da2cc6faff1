"""A real Prometheus scrapes the canary, and the right alert fires for each fault."""

import asyncio
import os
import re
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM

import aiohttp
import pytest
import yaml

from tests.check.commands import check, result, start
from tests.check.servers import Counter, DiesOnce, LosesOneIn200, serving
from tests.support.processes import Hello, RedisServer, free_port, until
from tests.support.prometheus import Prometheus, assert_rules_pass, plain_rules, prometheus
from tests.support.proxies import nginx
from tests.support.proxy import Proxy

ALERTS = Path(__file__).parents[2] / "manifests/components/canary-alerts"
QUIET = float(os.environ.get("QUIET", "15"))
"""Seconds without a fault; set it higher by hand."""
LOST = 'hello_check_visits_total{outcome!~"answered|interrupted"}'
"""The visits that got no number, by what became of them."""


@asynccontextmanager
async def service(*pods: Hello) -> AsyncIterator[str]:
    """One address for several pods, which take connections in turn; its URL."""
    turns = cycle(pods)

    class Service(Proxy):
        async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection("127.0.0.1", next(turns).port)

    async with Service(0) as proxy:
        yield f"http://127.0.0.1:{proxy.port}"


async def get(url: str) -> str:
    async with aiohttp.request("GET", url) as response:
        assert response.status == 200, url
        return await response.text()


@asynccontextmanager
async def canary(url: str) -> AsyncIterator[tuple[Process, int]]:
    """Start a canary; its process and its port."""
    port = free_port()
    process = await start(url, "--watch", "--alone", f"--metrics-port={port}")

    async def visits() -> bool:
        try:
            return "hello_check_visits_total{" in await get(f"http://127.0.0.1:{port}/metrics")
        except aiohttp.ClientError:
            return False

    try:
        await until(visits, "the canary visits")
        yield process, port
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@asynccontextmanager
async def watched(url: str, directory: Path) -> AsyncIterator[Prometheus]:
    """Start a canary, and a Prometheus that scrapes it."""
    async with (
        canary(url) as (_, port),
        prometheus(directory, plain_rules(ALERTS, directory), {"targets": [f"127.0.0.1:{port}"]}) as watching,
    ):

        async def scrapes() -> bool:
            return await watching.value("hello_check_due_total") > 50

        await until(scrapes, "Prometheus scrapes the canary")
        yield watching


async def alerted(watching: Prometheus, name: str) -> None:
    """Wait for an alert; no other may fire."""
    fired: set[str] = set()

    async def fires() -> bool:
        nonlocal fired
        fired = await watching.firing()
        return bool(fired)

    await until(fires, name)
    assert fired == {name}


@pytest.fixture
async def pods(hello: Callable[..., Hello], redis_server: RedisServer) -> list[Hello]:
    servers = [hello("--store", redis_server.url, "--pod", f"hello-{name}") for name in "ab"]
    return [await (await server.start()).ready() for server in servers]


@pytest.mark.long
async def test_nothing_alerts_while_all_is_well(pods: list[Hello], tmp_path: Path) -> None:
    async with service(*pods) as url, watched(url, tmp_path) as watching:
        await asyncio.sleep(QUIET)  # the absence of a fault itself
        assert await watching.firing() == set()
        assert (await watching.ask("query", query=LOST))["result"] == []


@pytest.mark.long
async def test_a_pod_killed_without_a_drain_alerts_of_lost_visits(pods: list[Hello], tmp_path: Path) -> None:
    async with service(*pods) as url, watched(url, tmp_path) as watching:
        await pods[1].kill()
        await alerted(watching, "HelloVisitsLost")


@pytest.mark.long
async def test_a_server_frozen_for_8_s_alerts_that_nobody_is_answered(pods: list[Hello], tmp_path: Path) -> None:
    async with service(*pods) as url, watched(url, tmp_path) as watching:
        for pod in pods:
            pod.signal(SIGSTOP)
        await asyncio.sleep(8)  # the fault itself
        for pod in pods:
            pod.signal(SIGCONT)
        await alerted(watching, "HelloNobodyAnswered")


@pytest.mark.long
async def test_a_wiped_store_alerts_of_a_broken_promise(
    pods: list[Hello], redis_server: RedisServer, tmp_path: Path
) -> None:
    async with service(*pods) as url, watched(url, tmp_path) as watching:
        await redis_server.call("FLUSHALL")
        await alerted(watching, "HelloPromiseBroken")


@pytest.mark.long
async def test_a_proxy_that_repeats_a_request_alerts_of_it(tmp_path: Path) -> None:
    server = DiesOnce(0)
    async with serving(server) as url, nginx(url, tmp_path) as proxy, watched(proxy, tmp_path) as watching:
        server.lie = server.visits + 1  # not before Prometheus has seen a canary that found nothing
        await alerted(watching, "HelloRequestsRepeated")


# ---- the command


async def test_the_canary_tells_what_it_sees_and_ends_with_the_verdict_of_the_whole_time() -> None:
    async with serving(LosesOneIn200()) as url, canary(url) as (process, port):
        told = ""

        async def lost() -> bool:
            nonlocal told
            told = await get(f"http://127.0.0.1:{port}/metrics")
            return "hello_check_lost_total 1.0" in told

        await until(lost, "a visit is lost")
        assert await get(f"http://127.0.0.1:{port}/healthz") == "ok\n"
        process.send_signal(SIGTERM)
        outcome = await result(process)
    for words in (
        rf'^hello_check_visits_total\{{connection="(fresh|kept)",outcome="closed",url="{url}"\}} 1.0$',
        r'^hello_check_broken_promises_total\{promise="distinct"\} 0.0$',
        r"^hello_check_due_total \d+",
        r"^hello_check_repeated_total 0.0$",
        r"^hello_check_disrupted_seconds_total \d",
        r"^hello_check_longest_gap_seconds 0.\d",
        r'^hello_check_latency_seconds_bucket\{le="10.0"\} [1-9]',
        r"^hello_check_last_answer_timestamp_seconds 1.*e\+09$",
    ):
        assert re.search(words, told, re.MULTILINE), (words, told)
    assert "lost     1 closed without an answer" in outcome.output
    assert outcome.output.splitlines()[-1].startswith("Visits lost: 1 of ")
    assert outcome.status == 1


async def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    async with serving(Counter()) as url:
        port = url.rstrip("/").rpartition(":")[2]
        outcome = await check(url, "--watch", f"--metrics-port={port}")
    assert outcome.status == 2
    assert len(outcome.errors.splitlines()) == 1
    assert "address already in use" in outcome.errors


# ---- the alerts


def test_the_rules_pass_prometheus_own_tests(tmp_path: Path) -> None:
    assert_rules_pass(ALERTS, tmp_path)


def test_each_alert_has_its_section() -> None:
    groups = yaml.safe_load((ALERTS / "prometheusrule.yaml").read_text())["spec"]["groups"]
    sections = re.findall(r"^## (\w+)$", (ALERTS / "README.md").read_text(), re.MULTILINE)
    assert [rule["alert"] for group in groups for rule in group["rules"]] == sections
    for rule in (rule for group in groups for rule in group["rules"]):
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook"].endswith(f"README.md#{rule['alert'].lower()}")
