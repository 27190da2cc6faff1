"""etcd beside Redis: one process over each, commits of more and more processes, and beside more and more sessions."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from shutil import rmtree
from statistics import median

from bench.load import wrk
from bench.processes import BUILD, Process, free_ports, get
from bench.servers import Pythons, Redis, Server
from hello.stores.etcd.keys import SessionKey, delete, put
from hello.stores.etcd.store import EtcdStore
from hello.stores.rules import Record

CONNECTIONS = (64, 256)
PROCESSES = (1, 3, 8)
SESSIONS = (1, 50, 500)
FEW_CONNECTIONS = 8
"""How many visit a process beside other sessions: as few as leave the commits most of its time."""

AT_ONCE = 100
"""How many sessions are written in a transaction."""

WARM_UP = 1
"""Seconds of load before the first run of a server."""


@contextmanager
def etcd(members: int) -> Iterator[str]:
    """Start an etcd that fsyncs before it answers; the URL of its counter."""
    ports, peers = free_ports(members), free_ports(members)
    cluster = ",".join(f"{number}=http://127.0.0.1:{peer}" for number, peer in enumerate(peers))
    with ExitStack() as stack:
        started = []
        for number, (port, peer) in enumerate(zip(ports, peers, strict=True)):
            directory = BUILD / f"etcd-{members}-{number}"
            rmtree(directory, ignore_errors=True)
            client_url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
            clients = "--listen-client-urls", client_url, "--advertise-client-urls", client_url
            others = "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url
            place = "--name", str(number), "--data-dir", directory, "--initial-cluster", cluster
            process = Process("etcd", *place, *clients, *others, log=BUILD / f"etcd-{members}-{number}.log")
            started.append(stack.enter_context(process))
        for process, port in zip(started, ports, strict=True):
            process.until_answers(port, "/health")
        yield "etcd://" + ",".join(f"127.0.0.1:{port}" for port in ports)


def compare(rounds: int, seconds: int, redis: Redis, pythons: Pythons) -> Iterator[str]:
    """Measure each store in turn, round by round; the lines of a table of medians."""
    throughput: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    commits: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    beside: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    with ExitStack() as stack:
        stores = {
            "Redis": f"redis://127.0.0.1:{redis.port}",
            **{f"etcd, members: {number}": stack.enter_context(etcd(number)) for number in (1, 3)},
        }
        servers = [
            (name, stack.enter_context(Server("hello", redis, pythons, processes, store=store)))
            for name, store in stores.items()
            for processes in PROCESSES
        ]
        for _, server in servers:
            wrk(server.ports, server.path, CONNECTIONS[0], WARM_UP)
        for _ in range(rounds):
            for name, server in servers:
                processes = len(server.ports)
                for connections in CONNECTIONS if processes == 1 else CONNECTIONS[-1:]:
                    before = _commits(server)
                    seen = wrk(server.ports, server.path, connections, seconds)
                    if processes == 1:
                        throughput[name, connections].append(seen.requests / seen.seconds)
                    if connections == CONNECTIONS[-1]:
                        commits[name, processes].append((_commits(server) - before) / seen.seconds)
                if processes == 1 and stores[name].startswith("etcd:"):
                    for sessions in SESSIONS:
                        asyncio.run(_write_sessions(stores[name], sessions - 1))
                        before = _commits(server)
                        seen = wrk(server.ports, server.path, FEW_CONNECTIONS, seconds)
                        beside[name, sessions].append((_commits(server) - before) / seen.seconds)
    columns = {f"visitors/s, {number} connections": (throughput, number) for number in CONNECTIONS}
    columns |= {f"commits/s, processes: {number}": (commits, number) for number in PROCESSES}
    columns |= {f"commits/s, sessions: {number}": (beside, number) for number in SESSIONS}
    yield f"| store | {' | '.join(columns)} |"
    yield "| --- |" + " ---: |" * len(columns)
    for name in stores:
        figures = [samples[name, number] for samples, number in columns.values()]
        yield f"| {name} | " + " | ".join(f"{median(figure):,.0f}" if figure else "" for figure in figures) + " |"


async def _write_sessions(url: str, number: int) -> None:
    """Let so many other sessions be in etcd, and no others that were added before."""
    store = EtcdStore(url)
    epoch = (await store.read("", 0)).epoch
    text = SessionKey(Record(epoch=epoch, pod="other"), 0).text()
    keys = [store._keys.session(f"{session:032}") for session in range(max(SESSIONS))]  # noqa: SLF001
    writes = [*(put(key, text) for key in keys[:number]), *(delete(key) for key in keys[number:])]
    for first in range(0, len(writes), AT_ONCE):
        await store._readings.write([], *writes[first : first + AT_ONCE])  # noqa: SLF001
    await store.close()


def _commits(server: Server) -> int:
    """How many commits its processes have made."""
    pattern = re.compile(r"^hello_trip_duration_seconds_count (\S+)", re.MULTILINE)
    return sum(int(float(number)) for port in server.ports for number in pattern.findall(get(port, "/metrics")[1]))
