"""The command `hello check`."""

import asyncio
import json
import math
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TextIO

import click

from hello.check.client import Site
from hello.check.history import HistoryError, Record, read_records
from hello.check.judge import judge
from hello.check.load import CheckError, Load, Plan
from hello.check.log import Log
from hello.check.progress import progress
from hello.check.report import as_json, as_text
from hello.check.verdict import Verdict
from hello.limits import raise_file_limit

REQUESTS = 1000


class NotRunError(click.ClickException):
    """The check could not be run."""

    exit_code = 2


class SiteType(click.ParamType[Site]):
    """The URL of a site."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Site:
        """Take it apart, or fail."""
        try:
            return Site.parse(value)
        except ValueError as error:
            self.fail(f"{value}: {error}.", param, ctx)


class Positive(click.FloatRange):
    """A number above 0, of those that one can count with."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Take it, or fail."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


POSITIVE = Positive(0, min_open=True)


@click.command(short_help="Prove that a deployment counts every visitor once.")
@click.argument("site", metavar="URL", type=SiteType(), required=False)
@click.option("--requests", type=click.IntRange(1), metavar="N", help=f"Make N visits.  [default: {REQUESTS}]")
@click.option("--duration", type=POSITIVE, metavar="SECONDS", help="Instead, visit for so long.")
@click.option(
    "--clients", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="How many visit at once."
)
@click.option(
    "--rate",
    type=POSITIVE,
    metavar="R",
    help="Make R visits a second, however long answers take, while a client is free. Without it, each client visits "
    "again once it was answered.",
)
@click.option(
    "--keep-alive",
    is_flag=True,
    help="Keep connections, each to one pod. Without it, each visit opens its own, and so meets all pods.",
)
@click.option(
    "--timeout", type=POSITIVE, default=15.0, show_default=True, metavar="SECONDS", help="Wait so long for an answer."
)
@click.option("--retry", is_flag=True, help="After a 503, visit again as soon as it allows (Retry-After).")
@click.option(
    "--alone",
    is_flag=True,
    help="Nobody else visits meanwhile: then a number that nobody got breaks the promise, unless a visit failed.",
)
@click.option("--allow-reset", is_flag=True, help="The count is reset meanwhile: then a new epoch breaks no promise.")
@click.option("--json", "for_machines", is_flag=True, help="Report as JSON.")
@click.option(
    "--log",
    "log_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write all that is seen to FILE.",
)
@click.option("--judge", "seen", type=click.File("r", "utf-8"), metavar="FILE", help="Judge such a FILE, visit nobody.")
def check(
    site: Site | None,
    requests: int | None,
    duration: float | None,
    clients: int,
    rate: float | None,
    keep_alive: bool,
    timeout: float,
    retry: bool,
    alone: bool,
    allow_reset: bool,
    for_machines: bool,
    log_path: Path | None,
    seen: TextIO | None,
) -> None:
    """Visit the counter at URL many times and judge its answers.

    It finds numbers given twice, forgotten, skipped or out of order, a count that goes back, answers out of a cache,
    and pods that count each for itself; the last line says what was proved, or what was wrong. Ctrl-C ends the visits
    early, and what was seen is judged.

    \b
    Exit status:
      0  every promise was kept
      1  a promise was broken
      2  nothing could be judged: no answer, or not from a hello
    """  # noqa: D301 -- click wants the character itself
    if requests and duration:
        raise click.UsageError("Give either --requests or --duration.")
    if seen and log_path:
        raise click.UsageError("Give either --log or --judge: what is judged again is not written again.")
    plan = Plan(requests if requests or duration else REQUESTS, duration, clients, rate, keep_alive, timeout, retry)
    log_error: OSError | None = None
    try:
        match site, seen:
            case Site(), None:
                records, late, log_error = _visit(site, plan, log_path)
            case None, seen if seen:
                records, late = _read(seen), 0
            case _:
                raise click.UsageError("Give either the URL of a counter or --judge FILE.")
        verdict = judge(records, alone=alone, allow_reset=allow_reset)
        _print(verdict, late, for_machines=for_machines)
    except KeyboardInterrupt as error:
        raise NotRunError("interrupted before all was judged and told") from error
    if log_error:
        raise NotRunError(f"{log_path} does not hold all that was seen: {log_error}")
    raise SystemExit(verdict.exit_status)


def _print(verdict: Verdict, late: int, *, for_machines: bool) -> None:
    """Print the report; where nobody got it, the exit status must not look like a verdict."""
    report = json.dumps(as_json(verdict, late), indent=2) if for_machines else "\n".join(as_text(verdict, late))
    try:
        click.echo(report)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes what is left as it ends
        if isinstance(error, BrokenPipeError):
            raise SystemExit(NotRunError.exit_code) from error
        raise NotRunError(f"the report could not be written: {error}") from error


def _visit(site: Site, plan: Plan, log_path: Path | None) -> tuple[list[Record], int, OSError | None]:
    """Run the load; what was seen, how many visits of an open loop were left out, and why the log is not whole."""
    raise_file_limit()
    records: list[Record] = []
    log = _open(log_path) if log_path else None

    def keep(record: Record) -> None:
        records.append(record)
        if log:
            log.keep(record)

    load = Load(site, plan, keep)
    with log or nullcontext():
        try:
            asyncio.run(_run(load, plan))
        except CheckError as error:
            raise NotRunError(str(error)) from error
        except KeyboardInterrupt:
            click.echo("Interrupted: judging what was seen so far.", err=True)
    return records, load.late, log.error if log else None


def _open(path: Path) -> Log:
    try:
        return Log(path)
    except OSError as error:
        raise NotRunError(f"{path}: {error.strerror}") from error


async def _run(load: Load, plan: Plan) -> None:
    async with progress(load, plan):
        await load.run()


def _read(seen: TextIO) -> list[Record]:
    try:
        return read_records(seen)
    except (HistoryError, OSError, UnicodeDecodeError) as error:
        raise NotRunError(f"{seen.name}: {error}") from error
