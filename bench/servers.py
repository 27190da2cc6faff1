"""The servers that are compared, and how each is started: ours, its peers, and the floors."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree, which
from subprocess import DEVNULL
from typing import Self

import redis

from bench.processes import BUILD, Process, free_ports, get
from tests.support.processes import REDIS_SERVER

HERE = Path(__file__).parent
DURABILITY = {"off": ("no", "everysec"), "everysec": ("yes", "everysec"), "always": ("yes", "always")}
"""Redis' `appendonly` and `appendfsync`."""


@dataclass(frozen=True, slots=True)
class Python:
    """A Python to run servers with: `enter` is what comes before the command, `bin` where its programs are."""

    description: str
    enter: tuple[str, ...]
    bin: Path

    def command(self, program: str, *arguments: str) -> tuple[str, ...]:
        """A command line that runs one of its programs."""
        return *self.enter, str(self.bin / program), *arguments


@dataclass(frozen=True, slots=True)
class Pythons:
    """What runs our server (and the floor of the same aiohttp), and what runs the peers in Python."""

    hello: Python
    peers: Python


@contextmanager
def image(context: Path, name: str, directory: Path, otherwise: Path) -> Iterator[Python]:
    """Enter the file system of an image of ours; without Docker, or unless root, take a Python of this machine.

    Only the file system: a container's start and its system call filter would be measured otherwise, and the peers that
    are no images have none.
    """
    if (
        os.geteuid() != 0
        or not which("docker")
        or subprocess.call(["docker", "version"], stdout=DEVNULL, stderr=DEVNULL)
    ):
        yield Python(f"this machine's Python, in {otherwise}", (), otherwise)
        return
    _docker("build", "--quiet", "--tag", name, str(context))
    mounts = f"--volume={BUILD}:{BUILD}", f"--volume={HERE}:{HERE}"
    container = _docker("run", "--detach", "--rm", "--pid=host", *mounts, "--entrypoint=sleep", name, "infinity")
    try:
        pid = _docker("inspect", "--format={{.State.Pid}}", container)
        yield Python(f"the image {name}", ("nsenter", f"--target={pid}", "--mount", "--wdns=/"), directory)
    finally:
        _docker("rm", "--force", container)


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"bench: docker {arguments[0]} failed:\n{done.stderr}")
    return done.stdout.strip()


class Redis(Process):
    """A redis-server of our own; it fsyncs before it answers unless told otherwise."""

    def __init__(self) -> None:
        [self.port] = free_ports(1)
        rmtree(BUILD / "redis", ignore_errors=True)
        (BUILD / "redis").mkdir(parents=True)
        # Nothing is rewritten in the middle of a measurement.
        keep = "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--auto-aof-rewrite-percentage", "0"
        place = "--dir", str(BUILD / "redis"), "--bind", "127.0.0.1", "--port", str(self.port)
        super().__init__(REDIS_SERVER, *place, *keep, log=BUILD / "redis.log")
        self.until_listens(self.port)
        self.client = redis.Redis(port=self.port, decode_responses=True)

    def durability(self, name: str) -> None:
        """Choose one of DURABILITY."""
        only, fsync = DURABILITY[name]
        self.client.config_set("appendonly", only)
        self.client.config_set("appendfsync", fsync)

    def commands(self) -> int:
        """Commands that servers have sent so far; a script is one, whatever it runs."""
        statistics = self.client.info("commandstats")
        names = "cmdstat_evalsha", "cmdstat_incr", "cmdstat_incrby"
        return sum(statistics[name]["calls"] for name in names if name in statistics)


class Server:
    """One server, as one process or several of them on a port each, as pods are."""

    def __init__(
        self, name: str, redis: Redis, pythons: Pythons, processes: int = 1, port: int | None = None, store: str = ""
    ) -> None:
        """Start it; `port` leads to Redis where that is not Redis' own, `store` is where it counts instead."""
        self.name = name
        self.path = "/INCR/hits" if name == "webdis" else "/"
        self.ports = free_ports(processes)
        self._redis = redis
        self._processes: list[Process] = []
        self.start = 0.0
        """Seconds from the start of the last process to its first answer."""
        for own in self.ports:
            command, environment = _command(name, own, store or f"redis://127.0.0.1:{port or redis.port}", pythons)
            self._processes.append(Process(*command, log=BUILD / f"{name}.log", environment=environment))
            self.start = self._processes[-1].until_answers(own, self.path)

    def cpu(self) -> float:
        """Seconds on a core since the start."""
        return sum(process.cpu() for process in self._processes)

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
        return int(self._redis.client.get("hits") or 0)

    def stop(self) -> None:
        """End its processes."""
        for process in self._processes:
            process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextmanager
def pythons(peers: bool = True) -> Iterator[Pythons]:
    """Make the images ready; those of the peers only if asked to."""
    with ExitStack() as stack:
        root = HERE.parent
        ours = stack.enter_context(image(root, "hello-counter:bench", Path("/opt/hello/bin"), root / ".venv" / "bin"))
        theirs = ours
        if peers:
            otherwise = BUILD / "peers" / "bin"
            theirs = stack.enter_context(
                image(HERE / "peers" / "python", "hello-bench-peers", Path("/opt/peers/bin"), otherwise)
            )
        yield Pythons(ours, theirs)


def _command(name: str, port: int, redis_url: str, pythons: Pythons) -> tuple[tuple[str, ...], dict[str, str]]:
    """A server's command line and environment."""
    peer = {"PORT": str(port), "REDIS_URL": redis_url}
    apps = str(HERE / "peers" / "python")
    match name.split():
        case ["hello", *store]:
            url = {"memory": "memory:", "sqlite": f"sqlite:{BUILD / 'hello.db'}"}[store[0]] if store else redis_url
            settings = {"HELLO_HOST": "127.0.0.1", "HELLO_PORT": str(port), "HELLO_STORE": url}
            return pythons.hello.command("hello", "serve"), settings
        case ["constant"]:
            return pythons.hello.command("python", f"{apps}/constant.py"), peer
        case ["go"]:
            return (str(BUILD / "go"),), peer
        case ["node"]:
            return ("node", str(BUILD / "node" / "server.js")), peer
        case ["fastapi"]:
            place = "--app-dir", apps, "--port", str(port)
            return pythons.peers.command("uvicorn", "fastapi_peer:app", *place, "--no-access-log"), peer
        case ["flask"]:
            place = "--chdir", apps, "--bind", f"127.0.0.1:{port}"
            workers = "--workers", "2", "--threads", "32"
            return pythons.peers.command("gunicorn", "flask_peer:app", *place, *workers), peer
        case ["webdis"]:
            return ("webdis", str(_webdis(port, redis_url))), {}
    raise ValueError(name)


def _webdis(port: int, redis_url: str) -> Path:
    file = BUILD / "webdis.json"
    redis_port = int(redis_url.rpartition(":")[2])
    addresses = {"redis_host": "127.0.0.1", "redis_port": redis_port, "http_host": "127.0.0.1", "http_port": port}
    file.write_text(json.dumps({**addresses, "threads": 2, "daemonize": False, "verbosity": 0, "logfile": "/dev/null"}))
    return file
