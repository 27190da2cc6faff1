"""The goals, and what came of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.results import Figure, Results, ratio
from bench.rounds import IDLE, WATCHERS
from bench.servers import GO

SLACK = 2.5
"""A short run on a busy machine may miss a goal by this factor."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal beside its result. `slack` is the factor by which a short run may miss it; None if by any."""

    what: str
    at_least: bool
    bound: float
    result: Figure
    slack: float | None

    @property
    def met(self) -> bool:
        """Whether the median is on the right side."""
        return self._is_within(1)

    @property
    def tolerable(self) -> bool:
        """Whether what is missing may be noise."""
        return self.slack is None or self._is_within(self.slack)

    def _is_within(self, slack: float) -> bool:
        if self.at_least:
            return self.result.median >= self.bound / slack
        return self.result.median <= self.bound * slack


def goals(results: Results) -> Iterator[Goal]:
    """All goals for which there are results."""
    entries = [*_throughput(results), *_processor_time(results), *_latency(results), *_others(results)]
    for what, at_least, bound, result, slack in entries:
        if result:
            yield Goal(what, at_least, bound, result, slack)


Entry = tuple[str, bool, float, Figure | None, float | None]


def _over(results: Results, what: str, others: Sequence[str], connections: int = 64) -> Figure | None:
    """Ours over the best of others, each with the processes that are best for it."""
    ours, theirs = (results.best(names, connections) for names in (["hello"], others))
    return ratio(results.values(what, ours, connections), results.values(what, theirs, connections))


def _throughput(results: Results) -> Iterator[Entry]:
    for others, name, connections, bound in (
        (GO, "the best Go", 64, 1.3),
        (GO, "the best Go", 256, 1.5),
        (["node"], "Node", 64, 1.5),
    ):
        figure = _over(results, "throughput", others, connections)
        yield f"requests/s over {name}, {connections} connections", True, bound, figure, SLACK
    alone, watched = (results.values("throughput", ("hello", 1), watchers=watchers) for watchers in (0, WATCHERS))
    figure = ratio(watched, alone)
    yield f"requests/s with {WATCHERS:,} watchers over without, 64 connections", True, 0.9, figure, None


def _processor_time(results: Results) -> Iterator[Entry]:
    figure = _over(results, "cpu", GO)
    yield "CPU per request over the best Go, Redis' included, 64 connections", False, 0.75, figure, SLACK
    memory, floor = (results.values("own", (name, 1)) for name in ("hello memory", "constant"))
    figure = ratio(memory, floor)
    yield (
        "CPU per request, memory store / a `Response` of aiohttp's low-level server",
        False,
        0.6,
        figure,
        SLACK,
    )


def _latency(results: Results) -> Iterator[Entry]:
    for connections in 64, 256:
        figure = _over(results, "p99", GO, connections)
        yield f"p99 over the best Go, {connections} connections", False, 0.7, figure, None


def _others(results: Results) -> Iterator[Entry]:
    for what, name, bound in (
        ("memory", "MB at rest", 50),
        ("idle_memory", f"MB with {IDLE:,} idle connections", 100),
        ("judging", "CPU of `hello check --judge` / parsing its log as JSON", 6),
    ):
        yield name, False, bound, Figure.of(getattr(each, what) for each in results.footprints), None
