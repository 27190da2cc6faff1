"""The tables of bench/README.md."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.goals import Goal
from bench.results import Results
from bench.rounds import CONNECTIONS, FLOORS
from bench.servers import PEERS
from tests.support.tables import update_table

README = Path(__file__).with_name("README.md")
SERVERS = ("hello", *PEERS)
COSTS = {"throughput": ",.0f", "user": ".0f", "system": ".0f", "redis": ".0f", "cpu": ".0f", "commands": ".2f"}
"""Fields, and how their numbers are shown."""

NAMES = {
    "hello": "this server",
    "hello memory": "this server, memory store",
    "constant": "aiohttp's low-level server, a constant `Response`",
    "redigo": "Go, redigo",
    "rueidis": "Go, rueidis",
    "node": "Node, ioredis",
}


def write(results: Results, reached: list[Goal], stores: Iterable[tuple[str, list[str]]]) -> Iterator[str]:
    """Bring all tables up to date; their lines."""
    yield from update_table(README, dict(map(goal_row, reached)), "## Goals")
    yield from update_table(README, dict(_costs(results)), "## Where the time goes")
    yield from update_table(README, dict(_connections(results)), "## More and fewer connections")
    yield from update_table(README, dict(stores), "## Redis beside etcd")


def goal_row(goal: Goal) -> tuple[str, list[str]]:
    """A goal and what came of it."""
    figures = [f"{value:.3g}" for value in (goal.result.median, goal.result.low, goal.result.high)]
    bound = f"{'≥' if goal.at_least else '≤'} {goal.bound:g}"
    return goal.what, [bound, figures[0], f"{figures[1]} to {figures[2]}", "met" if goal.met else "**missed**"]


def _costs(results: Results) -> Iterator[tuple[str, list[str]]]:
    for choice in [(name, 1) for name in reversed(FLOORS)] + [results.best([name]) for name in SERVERS]:
        figures = {what: results.figure(what, choice) for what in COSTS}
        cells = [format(figure.median, COSTS[what]) for what, figure in figures.items() if figure]
        yield NAMES[choice[0]], [str(choice[1]), *cells]


def _connections(results: Results) -> Iterator[tuple[str, list[str]]]:
    for name in SERVERS:
        cells = []
        for connections in CONNECTIONS:
            choice = results.best([name], connections)
            throughput, p99 = (results.figure(what, choice, connections) for what in ("throughput", "p99"))
            cells.append(f"{throughput.median:,.0f} ({p99.median:.1f})" if throughput and p99 else "-")
        yield NAMES[name], cells
