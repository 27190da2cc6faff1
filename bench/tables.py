"""The tables that are printed."""

from collections.abc import Iterable, Iterator, Mapping

from bench.goals import Goal
from bench.results import Figure, Results
from bench.rounds import CONNECTIONS, DELAYS, DURABILITY, GROWTH, IDLE, SERVERS, SHARES

Row = tuple[str, ...]

COSTS = {
    "throughput": ".0f",
    "cpu": ".1f",
    "redis_cpu": ".1f",
    "commands": ".4f",
    "p50": ".2f",
    "p99": ".2f",
    "p999": ".2f",
}
GROWING = {"throughput": ".0f", "cpu": ".1f", "redis_cpu": ".1f", "commands": ".4f"}
CHANGING = {"throughput": ".0f", "p50": ".2f", "p99": ".2f", "cpu": ".1f", "redis_cpu": ".1f", "commands": ".4f"}
FOOTPRINT = {"start": ".2f", "memory": ".0f", "idle_memory": ".0f"}
"""Fields, and how their numbers are shown."""


def tables(results: Results, reached: Iterable[Goal]) -> Iterator[str]:
    """All tables that have a row. Latencies are in ms, CPU in µs per request."""
    yield from _table("requests/s, by connections", CONNECTIONS, _matrix(results, "throughput", ".0f"))
    yield from _table("p99, by connections", CONNECTIONS, _matrix(results, "p99", ".2f"))
    yield from _table("answers other than 2xx, by connections", CONNECTIONS, _matrix(results, "failed", ".0f"))
    yield from _table("64 connections", (*COSTS, "failed", "broken"), _costs(results))
    yield from _table(
        "one process", ("start, s", "MB at rest", f"MB with {IDLE} idle connections"), _footprints(results)
    )
    shares = [f"{share:.0%} of Go's maximum" for share in SHARES]
    yield from _table("64 connections at fixed rates: p50 / p99 / p99.9", shares, _rates(results))
    yield from _table("64 connections, by Redis' durability", CHANGING, _durabilities(results))
    yield from _table("256 connections, by processes", GROWING, _growth(results))
    title = f"256 connections, by ms before Redis' answers (and {results.proxy:.1f} of the proxy itself): requests/s"
    yield from _table(title, DELAYS, _delays(results))
    yield from _table("goals", ("goal", "median", "lowest to highest", ""), _goals(reached))


def label(server: str, processes: int) -> str:
    """A server's name as it is shown."""
    return f"{server} x{processes}" if processes > 1 else server


def _table(title: str, head: Iterable[object], rows: Iterable[Row]) -> Iterator[str]:
    known = [row for row in rows if any(cell.strip("-/ ") for cell in row[1:])]
    if not known:
        return
    lines = [("", *map(str, head)), *known]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    yield f"\n{title}"
    for first, *others in lines:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()


def _cell(figure: Figure | None, form: str) -> str:
    return format(figure.median, form) if figure else "-"


def _cells(
    results: Results, forms: Mapping[str, str], server: str, processes: int = 1, **situation: object
) -> Iterator[str]:
    return (_cell(results.figure(what, server, processes, **situation), form) for what, form in forms.items())


def _matrix(results: Results, what: str, form: str) -> Iterator[Row]:
    for name, processes in SERVERS:
        figures = (results.figure(what, name, processes, connections=number) for number in CONNECTIONS)
        yield label(name, processes), *(_cell(figure, form) for figure in figures)


def _costs(results: Results) -> Iterator[Row]:
    for name, processes in SERVERS:
        lost = (sum(results.values(what, name, processes).values()) for what in ("failed", "broken"))
        if results.values("p50", name, processes):
            yield label(name, processes), *_cells(results, COSTS, name, processes), *map(str, lost)


def _footprints(results: Results) -> Iterator[Row]:
    for name in dict(SERVERS):
        yield name, *(_cell(results.resting(what, name), form) for what, form in FOOTPRINT.items())


def _rates(results: Results) -> Iterator[Row]:
    forms = {"p50": ".2f", "p99": ".2f", "p999": ".2f"}
    for name in "hello", "go", "node":
        yield name, *(" / ".join(_cells(results, forms, name, share=share)) for share in SHARES)


def _durabilities(results: Results) -> Iterator[Row]:
    for name in "hello", "go", "node", "fastapi", "flask":
        for level in DURABILITY if results.values("p50", name, durability="off") else ():
            yield f"{name}, {level}", *_cells(results, CHANGING, name, durability=level)


def _growth(results: Results) -> Iterator[Row]:
    for name, processes in sorted([*(server for server in SERVERS if server[0] in ("hello", "go")), *GROWTH]):
        yield f"{name} x{processes}", *_cells(results, GROWING, name, processes, connections=256)


def _delays(results: Results) -> Iterator[Row]:
    for name in "hello", "go":
        figures = (results.figure("throughput", name, connections=256, delay=delay) for delay in DELAYS)
        yield name, *(_cell(figure, ".0f") for figure in figures)


def _goals(reached: Iterable[Goal]) -> Iterator[Row]:
    for goal in reached:
        bound = f"{'≥' if goal.at_least else '≤'} {goal.bound:.3g}"
        spread = f"{goal.result.low:.3g} to {goal.result.high:.3g}"
        yield goal.what, bound, f"{goal.result.median:.3g}", spread, "met" if goal.met else "MISSED"
