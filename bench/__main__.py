"""Compare our server with its peers over the same Redis: `python -m bench --help`."""

import os
import platform
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import click

from bench.goals import goals
from bench.processes import BUILD, CORES
from bench.report import goal_row, write
from bench.results import Results
from bench.rounds import Round
from bench.samples import WrongCountError
from bench.servers import Python, Redis, image
from bench.stores import compare

ROUNDS, STORE_ROUNDS, SHORT_ROUNDS = 5, 3, 3
SECONDS = 2
"""How long each run takes."""


@click.group()
def bench() -> None:
    """Compare our server with its peers, over the same Redis with the same durability."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@bench.command()
def full() -> None:
    """Measure everything, print it, and write it into bench/README.md and its chart."""
    from bench.chart import draw

    results = Results()
    with setting() as (redis, python):
        for number in range(ROUNDS):
            for result in Round(number, SECONDS, redis, python).everything():
                results.add(result)
                click.echo(f"\rround {number + 1} of {ROUNDS}: {len(results.samples)} samples", err=True, nl=False)
        click.echo("\nthe stores", err=True)
        stores = list(compare(STORE_ROUNDS, SECONDS, redis, python))
    for line in write(results, list(goals(results)), stores):
        click.echo(line)
    draw(results, Path(__file__).with_name("bench.svg"), note())


@bench.command()
def short() -> None:
    """Measure in a minute what noise cannot hide; fail where a result is intolerable."""
    results = Results()
    with setting() as (redis, python):
        for number in range(SHORT_ROUNDS):
            for sample in Round(number, SECONDS, redis, python).short():
                results.add(sample)
    reached = list(goals(results))
    for goal in reached:
        what, cells = goal_row(goal)
        click.echo(f"{what}: {', '.join(cells)}")
    if intolerable := [goal.what for goal in reached if not goal.tolerable]:
        raise click.ClickException(f"this cannot be noise: {'; '.join(intolerable)}")


@contextmanager
def setting() -> Iterator[tuple[Redis, Python]]:
    """Start Redis, and find the Python; a wrong count ends it all in one line."""
    with Redis() as redis, image() as python:
        click.echo(f"hello runs in {python.description}; all processes share the cores {CORES}")
        try:
            yield redis, python
        except WrongCountError as error:
            raise click.ClickException(str(error)) from None


def note() -> str:
    """What was measured on what."""
    kernel, _, _ = platform.release().partition("-")
    machine = f"{os.cpu_count()} cores, Linux {kernel}, fdatasync {_fdatasync():.2f} ms, AOF always"
    return f"Medians of {ROUNDS} rounds; server, Redis and load share the cores {CORES} ({machine})."


def _fdatasync() -> float:
    """What the disk under Redis takes for a write that it must keep, in ms."""
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
