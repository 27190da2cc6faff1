"""The command `hello check`."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any, TextIO

import click

from hello.check.client import Site
from hello.check.history import HistoryError, Record, read_records, write_record
from hello.check.judge import judge
from hello.check.load import CheckError, Load, Plan
from hello.check.progress import progress
from hello.check.report import as_json, as_text

REQUESTS = 1000
POSITIVE = click.FloatRange(0, min_open=True)


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
    "--log", type=click.File("w", "utf-8", lazy=False), metavar="FILE", help="Write all that was seen to FILE."
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
    log: TextIO | None,
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
    plan = Plan(requests if requests or duration else REQUESTS, duration, clients, rate, keep_alive, timeout, retry)
    match site, seen:
        case Site(), None:
            records, late = _visit(site, plan)
        case None, seen if seen:
            records, late = _read(seen), 0
        case _:
            raise click.UsageError("Give either the URL of a counter or --judge FILE.")
    if log:
        _write(log, records)
    verdict = judge(records, alone=alone, allow_reset=allow_reset)
    if for_machines:
        click.echo(json.dumps(as_json(verdict, late), indent=2))
    else:
        click.echo("\n".join(as_text(verdict, late)))
    raise SystemExit(verdict.exit_status)


def _visit(site: Site, plan: Plan) -> tuple[list[Record], int]:
    """Run the load, and return what was seen, and how many visits of an open loop were left out."""
    records: list[Record] = []
    load = Load(site, plan, records.append)
    try:
        asyncio.run(_run(load, plan))
    except CheckError as error:
        raise NotRunError(str(error)) from error
    except KeyboardInterrupt:
        click.echo("Interrupted: judging what was seen so far.", err=True)
    return records, load.late


async def _run(load: Load, plan: Plan) -> None:
    async with progress(load, plan):
        await load.run()


def _read(seen: TextIO) -> list[Record]:
    try:
        return read_records(seen)
    except (HistoryError, OSError, UnicodeDecodeError) as error:
        raise NotRunError(f"{seen.name}: {error}") from error


def _write(log: TextIO, records: Iterable[Record]) -> None:
    try:
        for record in records:
            write_record(log, record)
        log.close()
    except OSError as error:
        raise NotRunError(f"{log.name}: {error}") from error
