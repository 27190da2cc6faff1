"""Redis beside etcd: visitors a second of one process, and commits a second with more and more client sessions."""

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from shutil import rmtree
from statistics import median

from bench.load import wrk
from bench.processes import BUILD, Process, free_ports
from bench.servers import Python, Redis, Server
from hello.counting.session import Session
from hello.stores import Store
from hello.stores.opening import open_store

CONNECTIONS = (64, 256)
SESSIONS = (1, 50, 500)
WARM_UP = 1
"""Seconds of load before the first run of a server."""


@contextmanager
def etcd(members: int) -> Iterator[str]:
    """Start an etcd that fsyncs before it answers; its URL."""
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


def compare(rounds: int, seconds: int, redis: Redis, python: Python) -> Iterator[tuple[str, list[str]]]:
    """Measure each store in turn, round by round; a row of medians for each."""
    figures: defaultdict[str, list[list[float]]] = defaultdict(list)
    with ExitStack() as stack:
        stores = {"Redis": redis.url}
        for members, name in (1, "etcd, one member"), (3, "etcd, three members"):
            stores[name] = stack.enter_context(etcd(members))
        for _ in range(rounds):
            for name, url in stores.items():
                visitors = _visitors(url, seconds, redis, python)
                commits = [asyncio.run(_commits(_place(url, redis), sessions, seconds)) for sessions in SESSIONS]
                figures[name].append([*visitors, *commits])
    for name, measured in figures.items():
        yield name, [f"{median(column):,.0f}" for column in zip(*measured, strict=True)]


def _visitors(url: str, seconds: int, redis: Redis, python: Python) -> list[float]:
    """Visitors a second of one process, by connections."""
    with Server("hello", redis, python, store=_place(url, redis)) as server:
        wrk(server.ports, CONNECTIONS[0], WARM_UP)
        runs = [wrk(server.ports, connections, seconds) for connections in CONNECTIONS]
    return [run.requests / run.seconds for run in runs]


def _place(url: str, redis: Redis) -> str:
    """A store that is empty: in etcd a prefix that nobody used, in Redis all of it."""
    if url == redis.url:
        redis.client.flushall()
        return url
    return f"{url}/{secrets.token_hex(4)}"


async def _commits(url: str, sessions: int, seconds: float) -> float:
    """Commits a second of one process, one after the other, beside the sessions of others."""
    own, others = open_store(url), open_store(url)
    for number in range(1, sessions):
        await _commit(others, Session(f"pod-{number}"))
    session = Session("pod-0")
    await _commit(own, session)
    began, made = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        await _commit(own, session)
        made += 1
    took = time.perf_counter() - began
    await own.close()
    await others.close()
    return made / took


async def _commit(store: Store, session: Session) -> None:
    batch = session.batch(1)
    session.accept(batch, await store.commit(batch))
