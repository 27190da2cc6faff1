"""Compare our server with its peers over the same Redis: `python -m bench --help`."""

import json
import os
import platform
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import click

from bench.delay import added
from bench.etcd import compare
from bench.goals import Goal, goals
from bench.load import watching
from bench.processes import BUILD, CORES
from bench.results import Results, ratio
from bench.rounds import Round
from bench.samples import WrongCountError
from bench.servers import Pythons, Redis, pythons
from bench.tables import tables

HERE = Path(__file__).parent

WATCHERS, WATCHED = 1000, 0.9
"""How many watch, and what share of its throughput a process must keep then."""

Setting = tuple[Redis, Pythons]


@click.group()
def bench() -> None:
    """Compare our server with its peers, over the same Redis with the same durability."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@bench.command()
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 30), default=2, show_default=True, help="How long each run takes.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=HERE, help="Where bench.json and bench.svg go."
)
def full(rounds: int, seconds: int, out: Path) -> None:
    """Measure everything, print it, and write bench.json and bench.svg."""
    from bench.chart import draw

    results = Results()
    with setting(peers=True) as (redis, ours):
        results.proxy = added(redis.port)
        for number in range(rounds):
            for result in Round(number, seconds, redis, ours).everything():
                results.add(result)
                click.echo(f"\rround {number + 1} of {rounds}: {result.server:15}", err=True, nl=False)
    click.echo(err=True)
    fsync = fdatasync()
    reached = list(goals(results, fsync))
    show(results, reached)
    kernel, _, _ = platform.release().partition("-")
    machine = f"{os.cpu_count()} cores, Linux {kernel}, fdatasync {fsync:.2f} ms, AOF always"
    note = f"Medians of {rounds} rounds; server, Redis and load share the cores {CORES} ({machine})."
    draw(results, out / "bench.svg", note)
    summary = {"note": note, "goals": [asdict(goal) | {"met": goal.met} for goal in reached], **asdict(results)}
    (out / "bench.json").write_text(lines(summary))


@bench.command()
def short() -> None:
    """Measure in a minute what noise cannot hide; fail where a result is intolerable."""
    results = Results()
    with setting(peers=False) as (redis, ours):
        for number in range(3):
            for sample in Round(number, 2, redis, ours).short():
                results.add(sample)
    reached = list(goals(results, fdatasync()))
    show(results, reached)
    for goal in reached:
        if not goal.tolerable:
            raise click.ClickException(f"{goal.what}: {goal.result.median:.3g} cannot be noise")


@bench.command()
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True)
@click.argument("names", nargs=-1)
def cpu(rounds: int, names: tuple[str, ...]) -> None:
    """Compare processor time: of all servers that a goal compares, or of those whose NAMES are given.

    64 connections, one process each, many short runs in turn: this machine's speed may change twofold from one second
    to the next.
    """
    results = Results()
    chosen = [(name, 1) for name in names or ("hello memory", "constant", "hello", "go")]
    with setting(peers=False) as (redis, ours), Round(0, 1, redis, ours).servers(chosen) as servers:
        for number in range(rounds):
            servers.reverse()
            for sample in Round(number, 1, redis, ours).throughput(servers, (64,)):
                results.add(sample)
    show(results, list(goals(results, fdatasync())))


@bench.command()
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 30), default=3, show_default=True, help="How long each run takes.")
def watchers(rounds: int, seconds: int) -> None:
    """Compare the throughput of one process while 1,000 browsers watch its live stream with that while none does."""
    alone, watched = dict[int, float](), dict[int, float]()
    with setting(peers=False) as (redis, ours):
        for number in range(rounds):
            current = Round(number, seconds, redis, ours)
            with current.servers([("hello", 1)]) as [server]:
                alone[number] = current.full(server, 64).throughput
                with watching(server.ports[0], WATCHERS, 3 * seconds + 10) as stream:
                    while server.open_files() < WATCHERS:
                        time.sleep(0.05)
                    watched[number] = current.full(server, 64).throughput
                    stream.terminate()
            click.echo(f"alone {alone[number]:8.0f}/s, watched {watched[number]:8.0f}/s")
    share = ratio(watched, alone)
    assert share
    click.echo(f"watched over alone: {share.median:.3f} ({share.low:.3f} to {share.high:.3f}), goal ≥ {WATCHED}")
    raise SystemExit(share.median < WATCHED)


@bench.command()
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 30), default=2, show_default=True, help="How long each run takes.")
def etcd(rounds: int, seconds: int) -> None:
    """Compare etcd, of one member and of three, with Redis; all on this machine. It needs etcd, 3.4 or later."""
    with setting(peers=False) as (redis, ours):
        for line in compare(rounds, seconds, redis, ours):
            click.echo(line)


@contextmanager
def setting(peers: bool) -> Iterator[Setting]:
    """Start Redis, and find the Pythons; a wrong count ends it all in one line."""
    with ExitStack() as stack:
        redis, found = stack.enter_context(Redis()), stack.enter_context(pythons(peers))
        click.echo(f"hello runs in {found.hello.description}; all processes share the cores {CORES}")
        try:
            yield redis, found
        except WrongCountError as error:
            raise click.ClickException(str(error)) from None


def show(results: Results, reached: list[Goal]) -> None:
    """Print all tables."""
    for table in tables(results, reached):
        click.echo(table)


def lines(summary: Mapping[str, Any]) -> str:
    """JSON with a line for each goal and sample."""
    return json.dumps(summary, ensure_ascii=False).replace(", {", ",\n{").replace(": [", ": [\n") + "\n"


def fdatasync() -> float:
    """What the disk under Redis and SQLite takes for a write that it must keep, in ms."""
    file, times = BUILD / "fdatasync", []
    with file.open("wb", buffering=0) as out:
        for _ in range(100):
            out.write(bytes(256))
            began = time.perf_counter()
            os.fdatasync(out.fileno())
            times.append(time.perf_counter() - began)
    file.unlink()
    return 1e3 * median(times)


if __name__ == "__main__":
    bench()
