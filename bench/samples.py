"""What one run measured, and what a round of them says."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.load import Load
from bench.servers import Redis, Server


class WrongCountError(Exception):
    """A server counted fewer than it answered, or more than it was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run, at a share of the Go peer's maximum or (0) as fast as the server answers.

    Latencies in ms, CPU (user and system) in µs per request, `commands` sent to Redis per request.
    """

    round: int
    server: str
    processes: int
    connections: int
    durability: str
    delay: int | None
    share: float
    throughput: float
    failed: int
    broken: int
    p50: float
    p99: float
    p999: float
    cpu: float
    redis_cpu: float
    commands: float


def measure(
    server: Server,
    redis: Redis,
    load: Callable[[], Load],
    connections: int,
    number: int,
    durability: str = "always",
    delay: int | None = None,
    share: float = 0,
) -> Sample:
    """Put a load on a server; raises WrongCountError."""
    counts = server.name != "constant"
    count = _settled(server) if counts else 0
    before = server.cpu(), redis.cpu(), redis.commands()
    seen = load()
    after = server.cpu(), redis.cpu(), redis.commands()
    if counts:
        _verify(server, _settled(server) - count, seen, connections)
    cpu, redis_cpu, commands = (now - then for now, then in zip(after, before, strict=True))
    requests = max(seen.requests, 1)
    return Sample(
        round=number,
        server=server.name,
        processes=len(server.ports),
        connections=connections,
        durability=durability,
        delay=delay,
        share=share,
        throughput=seen.requests / seen.seconds,
        failed=seen.failed,
        broken=seen.broken,
        p50=seen.p50,
        p99=seen.p99,
        p999=seen.p999,
        cpu=1e6 * cpu / requests,
        redis_cpu=1e6 * redis_cpu / requests,
        commands=commands / requests,
    )


def _settled(server: Server) -> int:
    """The count, once the requests that a generator left behind have run out."""
    before, count = -1, server.count()
    while count != before:
        time.sleep(0.02)
        before, count = count, server.count()
    return count


def _verify(server: Server, counted: int, seen: Load, connections: int) -> None:
    """Each answer was counted; ours counts what was asked, the last of each connection included, and no more."""
    most = seen.requests + seen.failed + seen.broken + connections
    if counted < seen.requests or (server.name.startswith("hello") and counted > most):
        raise WrongCountError(
            f"{server.name} answered {seen.requests}, was asked {most} at the most, counted {counted}"
        )
