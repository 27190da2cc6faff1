"""What one run measured."""

import time
from dataclasses import dataclass

from bench.load import Load, wrk
from bench.servers import Redis, Server


class WrongCountError(Exception):
    """A server counted fewer than it answered, or more than it was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run. Latencies in ms; per request: processor time in µs, and `commands` sent to Redis."""

    round: int
    server: str
    processes: int
    connections: int
    watchers: int | None
    throughput: float
    p99: float
    user: float
    system: float
    redis: float
    commands: float

    @property
    def own(self) -> float:
        """Processor time of the server alone."""
        return self.user + self.system

    @property
    def cpu(self) -> float:
        """Processor time of the server and of Redis."""
        return self.own + self.redis


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Of ours: megabytes of one process, at rest and with idle connections; processor time of judging over parsing."""

    round: int
    memory: float
    idle_memory: float
    judging: float


def measure(
    number: int, server: Server, redis: Redis, connections: int, seconds: int, watchers: int | None = None
) -> Sample:
    """Put a load on a server; raises WrongCountError."""
    count = _settled(server)
    before = *server.cpu(), sum(redis.cpu()), redis.commands()
    seen = wrk(server.ports, connections, seconds)
    after = *server.cpu(), sum(redis.cpu()), redis.commands()
    _verify(server, _settled(server) - count, seen, connections)
    spent = ((now - then) / max(seen.requests, 1) for now, then in zip(after, before, strict=True))
    user, system, of_redis, commands = spent
    return Sample(
        round=number,
        server=server.name,
        processes=len(server.ports),
        connections=connections,
        watchers=watchers,
        throughput=seen.requests / seen.seconds,
        p99=seen.p99,
        user=1e6 * user,
        system=1e6 * system,
        redis=1e6 * of_redis,
        commands=commands,
    )


def _settled(server: Server) -> int:
    """The count, once the requests that wrk left behind have run out."""
    before, count = -1, server.count()
    while count != before:
        time.sleep(0.02)
        before, count = count, server.count()
    return count


def _verify(server: Server, counted: int, seen: Load, connections: int) -> None:
    """Each answer was counted; ours counts what was asked, the last of each connection included, and no more."""
    most = seen.requests + seen.failed + seen.broken + connections
    if server.counts and (counted < seen.requests or (server.name.startswith("hello") and counted > most)):
        raise WrongCountError(
            f"{server.name} answered {seen.requests}, was asked {most} at the most, counted {counted}"
        )
