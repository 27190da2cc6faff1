"""The goals, and what came of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.results import Figure, Results, ratio

Entry = tuple[str, float, Figure | None]
"""What is compared, the bound, and the result if it was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A goal beside its result. `intolerable` is where even a short run on a busy machine must not end up."""

    what: str
    at_least: bool
    bound: float
    result: Figure
    intolerable: float | None = None

    @property
    def met(self) -> bool:
        """Tell whether the median is on the right side."""
        return self._within(self.bound)

    @property
    def tolerable(self) -> bool:
        """Tell whether what is missing may be noise."""
        return self.intolerable is None or self._within(self.intolerable)

    def _within(self, bound: float) -> bool:
        return self.result.median >= bound if self.at_least else self.result.median <= bound


def goals(results: Results, fsync: float) -> Iterator[Goal]:
    """All goals for which there are results; `fsync` is what the disk takes, in ms."""
    at_least = [
        *(_throughput(results, "go", connections, bound) for connections, bound in ((64, 1.1), (256, 1.4))),
        *(_throughput(results, peer, 64, bound) for peer, bound in (("fastapi", 8), ("flask", 10), ("node", 1.5))),
        _stores(results, "hello", "hello memory", 0.95),
        _stores(results, "hello memory", "constant", 0.95),
        _delayed(results),
        _stores(results, "hello sqlite", "hello memory", 0.5) if fsync < 1 else None,
    ]
    for what, bound, result in filter(None, at_least):
        if result:
            yield Goal(what=what, at_least=True, bound=bound, result=result, intolerable=bound / 2)
    for connections, bound in (64, 1 / 20), (256, 1 / 60):
        commands = results.figure("commands", "hello", connections=connections)
        if commands:
            what = f"commands to Redis per request, {connections} connections"
            yield Goal(what=what, at_least=False, bound=bound, result=commands, intolerable=bound)
    for what, bound, result in _at_most(results):
        if result:
            yield Goal(what=what, at_least=False, bound=bound, result=result)


def _throughput(results: Results, peer: str, connections: int, bound: float) -> Entry:
    ours, theirs = (results.at_best("throughput", name, connections) for name in ("hello", peer))
    return f"throughput, hello / {peer}, {connections} connections", bound, ratio(ours, theirs)


def _stores(results: Results, one: str, other: str, bound: float) -> Entry:
    ours, theirs = (results.values("throughput", name) for name in (one, other))
    return f"throughput, {one} / {other}, one process, 64 connections", bound, ratio(ours, theirs)


def _delayed(results: Results) -> Entry:
    ours, theirs = (results.values("throughput", name, connections=256, delay=5) for name in ("hello", "go"))
    return "throughput, hello / go, Redis 5 ms away, 256 connections", 2, ratio(ours, theirs)


def _at_most(results: Results) -> Iterator[Entry]:
    for connections in 64, 256:
        ours, theirs = (results.at_best("p99", name, connections) for name in ("hello", "go"))
        yield f"p99 under full load, hello / go, {connections} connections", 0.75, ratio(ours, theirs)
    ours, theirs = (results.values("p99", name, share=0.5) for name in ("hello", "go"))
    yield "p99 at half of Go's maximum rate, hello / go", 1.2, ratio(ours, theirs)
    ours, theirs = (_cpu(results, name) for name in ("hello", "go"))
    yield "CPU per request with Redis', hello / go, 64 connections", 1.0, ratio(ours, theirs)
    ours, theirs = (results.at_best("redis_cpu", name) for name in ("hello", "go"))
    yield "Redis' CPU per request, hello / go, 64 connections", 0.15, ratio(ours, theirs)
    ours, theirs = (results.values("p50", name, connections=1) for name in ("hello", "go"))
    yield "p50 with one connection, hello / go", 1.5, ratio(ours, theirs)
    yield "memory at rest, MB", 55, results.resting("memory", "hello")
    yield "start to first answer, s", 0.6, results.resting("start", "hello")


def _cpu(results: Results, server: str) -> Mapping[int, float]:
    alone, redis = (results.at_best(what, server) for what in ("cpu", "redis_cpu"))
    return {number: alone[number] + redis[number] for number in alone}
