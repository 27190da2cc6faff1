"""With a real nginx or Varnish on the way, honest counters are not accused, and what a proxy does is found."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from signal import SIGTERM

import pytest

from hello.check.verdict import Kind
from tests.check.commands import check
from tests.check.servers import SILENCE, Counter, http, serving
from tests.linux import require
from tests.processes import free_port, until

NGINX = """
daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/1; proxy_temp_path {directory}/2; fastcgi_temp_path {directory}/3;
    uwsgi_temp_path {directory}/4; scgi_temp_path {directory}/5;
    upstream hello {{ server {address}; server {address}; }}
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://hello; }} }}
}}
"""
VARNISH = """
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{port}"; }}
{more}
"""
DISOBEDIENT = "sub vcl_backend_response { set beresp.ttl = 10s; return (deliver); }"
"""A cache that keeps what it must not (Cache-Control: no-store)."""


class Unlucky(Counter):
    """Is honest, but now and then a visit fails, counted or not, as if a pod had died or been busy."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.random = Random(5)

    def visit(self) -> bytes:
        if self.random.random() > self.share:
            return super().visit()
        match self.random.randrange(4):
            case 0:
                self.count += 1
                return SILENCE
            case 1:
                return SILENCE
            case 2:
                return http(503, b"busy", Retry_After="1")
            case _:
                return http(500, b"Internal Server Error")


@asynccontextmanager
async def running(port: int, *command: str) -> AsyncIterator[str]:
    """Run a proxy in front of nothing but what its command says; its URL."""

    async def listens() -> bool:
        assert process.poll() is None, command
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            await until(listens, command[0])
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.send_signal(SIGTERM)


@asynccontextmanager
async def nginx(url: str, directory: Path) -> AsyncIterator[str]:
    """With its defaults, in front of two addresses of one counter."""
    require("nginx", "-v")
    port, file = free_port(), directory / "nginx.conf"
    file.write_text(NGINX.format(directory=directory, port=port, address=url.removeprefix("http://").rstrip("/")))
    async with running(port, "nginx", "-p", str(directory), "-c", str(file)) as proxy:
        yield proxy


@asynccontextmanager
async def varnish(url: str, directory: Path, more: str = "") -> AsyncIterator[str]:
    require("varnishd", "-V")
    port, file = free_port(), directory / "hello.vcl"
    file.write_text(VARNISH.format(port=url.rstrip("/").rpartition(":")[2], more=more))
    command = (
        "varnishd",
        "-F",
        "-j",
        "none",
        "-a",
        f"127.0.0.1:{port}",
        "-f",
        str(file),
        "-n",
        str(directory / "varnish"),
    )
    async with running(port, *command, "-s", "malloc,16m") as proxy:
        yield proxy


PROXIES = {"nginx": nginx, "varnish": varnish}
VISITS = int(os.environ.get("VISITS", "2000"))
"""More of them, by hand."""


@pytest.mark.parametrize("name", PROXIES)
async def test_a_proxy_that_passes_on_is_not_accused(name: str, tmp_path: Path) -> None:
    async with serving(Counter()) as url, PROXIES[name](url, tmp_path) as proxy:
        result = await check(proxy, f"--requests={VISITS}", "--alone", "--json")
    assert (result.status, result.report["findings"], result.report["lost"]) == (0, [], 0), result


@pytest.mark.parametrize("name", PROXIES)
async def test_whatever_fails_behind_a_proxy_only_losses_are_told(name: str, tmp_path: Path) -> None:
    async with serving(Unlucky(0.03)) as url, PROXIES[name](url, tmp_path) as proxy:
        result = await check(proxy, f"--requests={VISITS}", "--json")
    assert result.report["findings"] == []
    assert result.report["lost"] > VISITS / 100
    assert result.status == 1


async def test_a_cache_is_proved_by_what_came_twice(tmp_path: Path) -> None:
    async with serving(Counter()) as url, varnish(url, tmp_path, DISOBEDIENT) as proxy:
        result = await check(proxy, "--duration=2", "--json")
    assert result.status == 1
    assert {Kind.GIVEN_TWICE, Kind.CACHED} <= result.kinds


class DiesOnce(Counter):
    """Counts everybody, and dies under one of them, as a pod that is killed."""

    def visit(self) -> bytes:
        answer = super().visit()
        return SILENCE if self.visits == self.lie else answer


async def test_a_proxy_that_repeats_a_get_is_offered_as_an_explanation(tmp_path: Path) -> None:
    async with serving(DiesOnce(100)) as url, nginx(url, tmp_path) as proxy:
        log = str(tmp_path / "log")
        result = await check(proxy, "--requests=500", "--alone", "--log", log)
        assert result.status == 1
        assert "Lost?    Nothing: each of 500 visits got a number." in result.output
        assert "A proxy that repeats a GET" in result.output
        again = await check("--judge", log)
    assert again.status == 0, "without --alone, nothing is proved"
    assert "not accounted for" in again.output
