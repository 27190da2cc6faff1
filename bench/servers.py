"""The servers that are compared, and how each is started: ours, its peers, and the floor."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree, which
from subprocess import DEVNULL
from typing import Self

import redis

from bench.processes import BUILD, Process, free_ports, get
from tests.support.processes import REDIS_SERVER

HERE = Path(__file__).parent

GO = ("redigo", "rueidis")
"""Redis' clients in Go: one that sends a command a round trip, and one that pipelines."""

PEERS = (*GO, "node")


@dataclass(frozen=True, slots=True)
class Python:
    """A Python that runs our server: `enter` is what comes before a command, `bin` where its programs are."""

    description: str
    enter: tuple[str, ...]
    bin: Path

    def command(self, program: str, *arguments: str) -> tuple[str, ...]:
        """A command line that runs one of its programs."""
        return *self.enter, str(self.bin / program), *arguments


@contextmanager
def image() -> Iterator[Python]:
    """Enter the image's file system; without Docker, or unless root, take the Python of this machine.

    Only the file system: the peers are no images, and have no system call filter.
    """
    if os.geteuid() or not which("docker") or subprocess.call(["docker", "version"], stdout=DEVNULL, stderr=DEVNULL):
        yield Python("this machine's Python", (), HERE.parent / ".venv" / "bin")
        return
    name = "hello-counter:bench"
    _docker("build", "--quiet", "--tag", name, str(HERE.parent))
    mount = f"--volume={HERE}:{HERE}"
    container = _docker("run", "--detach", "--rm", "--pid=host", mount, "--entrypoint=sleep", name, "infinity")
    try:
        pid = _docker("inspect", "--format={{.State.Pid}}", container)
        enter = "nsenter", f"--target={pid}", "--mount", "--wdns=/"
        yield Python("the image", enter, Path("/opt/hello/bin"))
    finally:
        _docker("rm", "--force", container)


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"bench: docker {arguments[0]} failed:\n{done.stderr}")
    return done.stdout.strip()


class Redis(Process):
    """A redis-server of our own, which fsyncs before it answers."""

    def __init__(self) -> None:
        [self.port] = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}"
        rmtree(BUILD / "redis", ignore_errors=True)
        (BUILD / "redis").mkdir(parents=True)
        # Nothing is rewritten in the middle of a measurement.
        keep = "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--auto-aof-rewrite-percentage", "0"
        place = "--dir", str(BUILD / "redis"), "--bind", "127.0.0.1", "--port", str(self.port)
        super().__init__(REDIS_SERVER, *place, *keep, log=BUILD / "redis.log")
        self.until_listens(self.port)
        self.client = redis.Redis(port=self.port, decode_responses=True)

    def commands(self) -> int:
        """Commands that servers have sent so far; a script is one, whatever it runs."""
        statistics = self.client.info("commandstats")
        return sum(statistics.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "incr"))


class Server:
    """One server, as one process or several of them on a port each, as pods are."""

    def __init__(self, name: str, redis: Redis, python: Python, processes: int = 1, store: str = "") -> None:
        """Start it; `store` is where ours counts, if not in Redis."""
        self.name = name
        self.counts = name != "constant"
        self.ports = free_ports(processes)
        self._redis = redis
        self._processes = []
        for port in self.ports:
            command, environment = _command(name, port, redis, python, store or redis.url)
            self._processes.append(Process(*command, log=BUILD / f"{name}.log", environment=environment))
            self._processes[-1].until_answers(port)

    def cpu(self) -> tuple[float, float]:
        """Seconds on a core since the start, of the user's and of the system's."""
        user, system = zip(*(process.cpu() for process in self._processes), strict=True)
        return sum(user), sum(system)

    def memory(self) -> float:
        """Megabytes."""
        return sum(process.memory() for process in self._processes)

    def open_files(self) -> int:
        """How many files and connections it holds."""
        return sum(process.open_files() for process in self._processes)

    def count(self) -> int:
        """What it has counted."""
        if self.name.startswith("hello"):
            return int(get(self.ports[0], "/count")[1])
        return int(self._redis.client.get("hits") or 0) if self.counts else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.stop()


def _command(name: str, port: int, redis: Redis, python: Python, store: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """A server's command line and environment."""
    environment = {"PORT": str(port), "REDIS": f"127.0.0.1:{redis.port}", "CLIENT": name}
    match name:
        case "hello" | "hello memory":
            url = "memory:" if name == "hello memory" else store
            settings = {"HELLO_HOST": "127.0.0.1", "HELLO_PORT": str(port), "HELLO_STORE": url}
            return python.command("hello", "serve"), settings
        case "constant":
            return python.command("python", str(HERE / "peers" / "constant.py")), environment
        case "node":
            return ("node", str(BUILD / "node" / "server.js")), environment
    return (str(BUILD / "go"),), environment
