"""One round: every server in turn, in each of the situations that are compared."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from bench.delay import Delay
from bench.load import idle, oha, wrk
from bench.samples import Sample, measure
from bench.servers import Pythons, Redis, Server

SERVERS = [
    *((name, processes) for name in ("hello", "go", "node", "fastapi") for processes in (1, 2)),
    *(("flask", 1), ("webdis", 1), ("hello sqlite", 1), ("hello memory", 1), ("constant", 1)),
]
"""Names, and how many processes; Go and webdis use both cores even in one, Flask's gunicorn has two workers."""

CONNECTIONS = (1, 8, 64, 256, 1024)
SHARES = (0.25, 0.5, 0.8)
"""Fixed rates, of what the Go peer answered at most in the same round."""

GROWTH = [("hello", 4), ("hello", 8), ("go", 4), ("go", 8)]
"""More processes over one Redis than SERVERS has."""

DELAYS = (0, 1, 5, 20)
"""Milliseconds between server and Redis, on top of what the proxy itself takes."""

DURABILITY = ("off", "everysec", "always")
THOROUGH = 3
"""One round of so many measures everything, the others what a goal needs."""

COMPARED = {1: ("hello", "go"), 64: tuple(name for name in dict(SERVERS) if name != "webdis"), 256: ("hello", "go")}
"""Which servers a goal compares with how many connections."""

IDLE = 10_000
WARM_UP = 1
"""Seconds of load before the first run of a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """One process: seconds to its first answer, megabytes at rest and (where measured) with IDLE connections."""

    round: int
    server: str
    start: float
    memory: float
    idle_memory: float | None


@dataclass(frozen=True, slots=True)
class Round:
    """What stays the same for a round."""

    number: int
    seconds: int
    redis: Redis
    pythons: Pythons

    @property
    def thorough(self) -> bool:
        """Tell whether everything is measured, and not only what a goal needs."""
        return self.number % THOROUGH == 0

    def everything(self) -> Iterator[Sample | Footprint]:
        """All that is measured in this round."""
        yield from self.footprints()
        with self.servers([server for server in SERVERS if self._wants(server[0], 64)]) as servers:
            maximum = 0.0
            for sample in self.throughput(servers, CONNECTIONS):
                if (sample.server, sample.processes, sample.connections) == ("go", 1, 64):
                    maximum = sample.throughput
                yield sample
            single = {server.name: server for server in servers if len(server.ports) == 1}
            yield from self.rates(single, maximum)
            if self.thorough:
                yield from self.durabilities([single[name] for name in ("hello", "go", "node", "fastapi", "flask")])
        if self.thorough:
            yield from self.growth()
        yield from self.delays()

    def _wants(self, name: str, connections: int) -> bool:
        return self.thorough or name in COMPARED.get(connections, ())

    def short(self) -> Iterator[Sample]:
        """What noise cannot hide."""
        with self.servers([("hello", 1), ("go", 1), ("hello memory", 1), ("constant", 1)]) as servers:
            yield from self.throughput(servers, (64, 256))

    @contextmanager
    def servers(self, names: list[tuple[str, int]], port: int | None = None) -> Iterator[list[Server]]:
        """Start servers and warm them up, each round another one first; `port` leads to Redis if not its own."""
        first = self.number % len(names)
        with ExitStack() as stack:
            started = [
                stack.enter_context(Server(name, self.redis, self.pythons, processes, port))
                for name, processes in names[first:] + names[:first]
            ]
            for server in started:
                wrk(server.ports, server.path, 64, WARM_UP)
            yield started

    def full(self, server: Server, connections: int, durability: str = "always", delay: int | None = None) -> Sample:
        """Send as much as the server takes."""
        load = partial(wrk, server.ports, server.path, connections, self.seconds)
        return measure(server, self.redis, load, connections, self.number, durability=durability, delay=delay)

    def throughput(self, servers: list[Server], connections: tuple[int, ...]) -> Iterator[Sample]:
        """Every server with every number of connections."""
        for number in connections:
            for server in servers:
                if number >= len(server.ports) and self._wants(server.name, number):
                    yield self.full(server, number)

    def rates(self, servers: Mapping[str, Server], maximum: float) -> Iterator[Sample]:
        """Fixed rates, below the Go peer's maximum."""
        for share in SHARES if self.thorough else (0.5,):
            for name in ("hello", "go", "node") if self.thorough else ("hello", "go"):
                server = servers[name]
                load = partial(oha, server.ports[0], server.path, 64, share * maximum, self.seconds)
                yield measure(server, self.redis, load, 64, self.number, share=share)

    def durabilities(self, servers: list[Server]) -> Iterator[Sample]:
        """What a Redis gains that may lose numbers."""
        for durability in "off", "everysec":
            self.redis.durability(durability)
            for server in servers:
                yield self.full(server, 64, durability)
        self.redis.durability("always")

    def growth(self) -> Iterator[Sample]:
        """More and more processes over one Redis."""
        for name in GROWTH:
            with self.servers([name]) as [server]:
                yield self.full(server, 256)

    def delays(self) -> Iterator[Sample]:
        """Redis further and further away."""
        with Delay(self.redis.port) as delay, self.servers([("hello", 1), ("go", 1)], delay.port) as servers:
            for milliseconds in DELAYS if self.thorough else (5,):
                delay.set(milliseconds)
                for server in servers:
                    yield self.full(server, 256, delay=milliseconds)

    def footprints(self) -> Iterator[Footprint]:
        """Each server while nobody asks it anything."""
        for name in dict(SERVERS) if self.thorough else ("hello",):
            yield self._footprint(name)

    def _footprint(self, name: str) -> Footprint:
        with Server(name, self.redis, self.pythons) as server:
            memory = server.memory()
            measured = self.thorough and name in ("hello", "go", "node")
            idle_memory = self._idle_memory(server) if measured else None
        return Footprint(round=self.number, server=name, start=server.start, memory=memory, idle_memory=idle_memory)

    def _idle_memory(self, server: Server) -> float:
        with idle(server.ports[0], IDLE):
            return server.memory()
