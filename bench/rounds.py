"""One round: every server in turn, in each of the situations that are compared."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.judging import judging
from bench.load import idle, watching, wrk
from bench.samples import Footprint, Sample, measure
from bench.servers import PEERS, Python, Redis, Server

CONNECTIONS = (1, 8, 64, 256, 1024)
PROCESSES = (1, 2)
FLOORS = ("hello memory", "constant")
"""What a visitor costs without Redis, and without counting."""

IDLE = 10_000
WATCHERS = 1000
WARM_UP = 1
"""Seconds of load before the first run of a server."""


@dataclass(frozen=True, slots=True)
class Round:
    """What stays the same for a round; each run takes so many seconds."""

    number: int
    seconds: int
    redis: Redis
    python: Python

    def everything(self) -> Iterator[Sample | Footprint]:
        """All that is measured in this round."""
        yield self._footprint()
        compared = [(name, processes) for name in ("hello", *PEERS) for processes in PROCESSES]
        with self._servers([*compared, *((name, 1) for name in FLOORS)]) as servers:
            for connections in CONNECTIONS:
                for server in servers:
                    if connections >= len(server.ports) and (connections == 64 or server.name not in FLOORS):
                        yield self._measure(server, connections)
        yield from self._watched()

    def short(self) -> Iterator[Sample]:
        """What noise cannot hide."""
        with self._servers([(name, 1) for name in ("hello", "rueidis", *FLOORS)]) as servers:
            for server in servers:
                yield self._measure(server, 64)
                if server.name not in FLOORS:
                    yield self._measure(server, 256)

    @contextmanager
    def _servers(self, names: Sequence[tuple[str, int]]) -> Iterator[list[Server]]:
        """Start servers and warm them up, each round another one first."""
        first = self.number % len(names)
        with ExitStack() as stack:
            started = [
                stack.enter_context(Server(name, self.redis, self.python, processes))
                for name, processes in [*names[first:], *names[:first]]
            ]
            for server in started:
                wrk(server.ports, 64, WARM_UP)
            yield started

    def _measure(self, server: Server, connections: int, watchers: int | None = None) -> Sample:
        return measure(self.number, server, self.redis, connections, self.seconds, watchers)

    def _watched(self) -> Iterator[Sample]:
        """One process of ours while nobody watches its live stream, and while many do."""
        with self._servers([("hello", 1)]) as [server]:
            yield self._measure(server, 64, 0)
            with watching(server.ports[0], WATCHERS, 10 * self.seconds):
                while server.open_files() < WATCHERS:
                    time.sleep(0.05)
                yield self._measure(server, 64, WATCHERS)

    def _footprint(self) -> Footprint:
        with Server("hello", self.redis, self.python) as server:
            memory = server.memory()
            with idle(server.ports[0], IDLE):
                idle_memory = server.memory()
        ratio = judging(self.redis, self.python)
        return Footprint(round=self.number, memory=memory, idle_memory=idle_memory, judging=ratio)
