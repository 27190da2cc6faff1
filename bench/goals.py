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
    for what, bound, result in _at_least(results, fsync):
        if result:
            yield Goal(what=what, at_least=True, bound=bound, result=result, intolerable=bound / 2)
    for what, bound, result in _processor_time(results):
        if result:
            yield Goal(what=what, at_least=False, bound=bound, result=result, intolerable=bound * 2)
    for connections, bound in (64, 1 / 20), (256, 1 / 60):
        commands = results.figure("commands", "hello", connections=connections)
        if commands:
            what = f"commands to Redis per request, {connections} connections"
            yield Goal(what=what, at_least=False, bound=bound, result=commands, intolerable=bound)
    for what, bound, result in _at_most(results):
        if result:
            yield Goal(what=what, at_least=False, bound=bound, result=result)


def _at_least(results: Results, fsync: float) -> Iterator[Entry]:
    for peer, connections, bound in (
        *(("go", 64, 1.1), ("go", 256, 1.5)),
        *(("node", 64, 1.1), ("fastapi", 64, 3.3), ("flask", 64, 9)),
    ):
        ours, theirs = (results.at_best("throughput", name, connections) for name in ("hello", peer))
        yield f"throughput, hello / {peer}, {connections} connections", bound, ratio(ours, theirs)
    ours, theirs = (results.values("throughput", name, connections=256, delay=5) for name in ("hello", "go"))
    yield "throughput, hello / go, Redis 5 ms away, 256 connections", 3.5, ratio(ours, theirs)
    if fsync < 1:
        ours, theirs = (results.values("throughput", name) for name in ("hello sqlite", "hello memory"))
        yield "throughput, hello sqlite / hello memory, one process, 64 connections", 0.5, ratio(ours, theirs)


def _processor_time(results: Results) -> Iterator[Entry]:
    for one, other, bound in ("hello memory", "constant", 1.0), ("hello", "hello memory", 1.1):
        ours, theirs = (results.values("cpu", name) for name in (one, other))
        yield f"CPU per request, {one} / {other}, 64 connections", bound, ratio(ours, theirs)
    ours, theirs = (_cpu(results, name) for name in ("hello", "go"))
    yield "CPU per request with Redis', hello / go, 64 connections", 0.75, ratio(ours, theirs)
    ours, theirs = (results.at_best("redis_cpu", name) for name in ("hello", "go"))
    yield "Redis' CPU per request, hello / go, 64 connections", 0.25, ratio(ours, theirs)


def _at_most(results: Results) -> Iterator[Entry]:
    for connections, bound in (64, 0.5), (256, 0.6):
        ours, theirs = (results.at_best("p99", name, connections) for name in ("hello", "go"))
        yield f"p99 under full load, hello / go, {connections} connections", bound, ratio(ours, theirs)
    ours, theirs = (results.values("p99", name, share=0.5) for name in ("hello", "go"))
    yield "p99 at half of Go's maximum rate, hello / go", 1.2, ratio(ours, theirs)
    ours, theirs = (results.values("p50", name, connections=1) for name in ("hello", "go"))
    yield "p50 with one connection, hello / go", 1.4, ratio(ours, theirs)
    yield "memory at rest, MB", 52, results.resting("memory", "hello")
    yield "memory with 10,000 idle connections, MB", 110, results.resting("idle_memory", "hello")
    yield "start to first answer, s", 0.6, results.resting("start", "hello")


def _cpu(results: Results, server: str) -> Mapping[int, float]:
    alone, redis = (results.at_best(what, server) for what in ("cpu", "redis_cpu"))
    return {number: alone[number] + redis[number] for number in alone}
