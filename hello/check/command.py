"""The command `hello check`."""

import asyncio
import gc
import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO

import click

from hello.check.ending import Judgement, NotJudgedError, say
from hello.check.history import HistoryError, Record, read_records
from hello.check.judge import judge
from hello.check.load import BOTH, FRESH, KEPT, CheckError, Load, Plan
from hello.check.log import Log
from hello.check.options import AllowanceType, Positive, SiteType
from hello.check.page import page
from hello.check.progress import progress
from hello.check.report import as_json, as_text
from hello.check.site import Site
from hello.check.verdict import Allowance
from hello.check.watch import RATE, Watch
from hello.limits import raise_file_limit
from hello.output import tell

REQUESTS = 1000
CONNECTIONS = {"fresh": FRESH, "kept": KEPT, "both": BOTH}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run saw.

    began: when it did, if that is known. late: how many visits of an open loop were left out. log_error: why the log is
    not whole.
    """

    records: list[Record]
    began: datetime | None = None
    late: int = 0
    log_error: OSError | None = None


@click.command(cls=Judgement, short_help="Prove that a deployment counts every visitor once, and loses none.")
@click.argument("sites", metavar="URL...", type=SiteType(), nargs=-1)
@click.option("--requests", type=click.IntRange(1), metavar="N", help=f"Make N visits.  [default: {REQUESTS}]")
@click.option("--duration", type=Positive(), metavar="SECONDS", help="Instead, visit for so long.")
@click.option(
    "--clients", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="How many visit at once."
)
@click.option(
    "--rate",
    type=Positive(),
    metavar="R",
    help="Make R visits a second, however long answers take, while a client is free. Without it, each client visits "
    "again once it was answered.",
)
@click.option(
    "--connections",
    type=click.Choice(list(CONNECTIONS)),
    default="both",
    show_default=True,
    help="fresh: each visit opens one of its own, and so meets all pods; kept: each client keeps one, to one pod; "
    "both: every other client keeps its own.",
)
@click.option(
    "--timeout", type=Positive(), default=15.0, show_default=True, metavar="SECONDS", help="Wait so long for an answer."
)
@click.option("--retry", is_flag=True, help="After a 503, visit again as soon as it allows (Retry-After).")
@click.option(
    "--allow-lost",
    type=AllowanceType(),
    default="0",
    show_default=True,
    metavar="N|P%",
    help="So many visits may get no number, or such a share of them.",
)
@click.option(
    "--at-least",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="With fewer answers than N, nothing is judged.",
)
@click.option(
    "--alone",
    is_flag=True,
    help="Nobody else visits meanwhile: then a number that nobody got breaks the promise, unless a visit failed. Not "
    "behind a proxy that repeats a GET (nginx and Envoy do, when a pod dies): that skips numbers, too.",
)
@click.option("--allow-reset", is_flag=True, help="The count is reset meanwhile: then a new epoch breaks no promise.")
@click.option(
    "--watch",
    "watched",
    is_flag=True,
    help="Print a line whenever something is lost or broken. Goes on until Ctrl-C, "
    f"unless --requests or --duration is given, and makes {RATE:g} visits a second, unless --rate is.",
)
@click.option("--json", "for_machines", is_flag=True, help="Report as JSON.")
@click.option(
    "--log",
    "log_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write all that is seen to FILE.",
)
@click.option(
    "--report",
    "report_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw a report as a page of HTML, too: who answered when and how fast, and what was lost or broken.",
)
@click.option("--judge", "seen", type=click.File("r", "utf-8"), metavar="FILE", help="Judge such a FILE, visit nobody.")
def check(
    sites: tuple[Site, ...],
    requests: int | None,
    duration: float | None,
    clients: int,
    rate: float | None,
    connections: str,
    timeout: float,
    retry: bool,
    allow_lost: Allowance,
    at_least: int,
    alone: bool,
    allow_reset: bool,
    watched: bool,
    for_machines: bool,
    log_path: Path | None,
    report_path: Path | None,
    seen: TextIO | None,
) -> None:
    """Visit the counter at URL many times and judge its answers.

    Several URLs (of each node's port, of the Service, of each pod) are one counter. Three questions are answered: are
    the numbers exact, was a visit lost, and was enough seen to tell? The last line sums them up. Ctrl-C ends the visits
    early, and what was seen is judged.

    \b
    Exit status:
      0  every promise was kept, and no more visits were lost than may be
      1  a promise was broken, or more visits were lost
      2  it could not be judged
    """  # noqa: D301 -- click wants the character itself
    if requests and duration:
        raise click.UsageError("Give either --requests or --duration.")
    if watched and (seen or for_machines):
        raise click.UsageError("Give --watch without --judge and --json.")
    if seen and log_path:
        raise click.UsageError("Give either --log or --judge: what is judged again is not written again.")
    if bool(sites) == bool(seen):
        raise click.UsageError("Give either the URL of a counter or --judge FILE.")
    if len(sites) > clients:
        raise click.UsageError("Give at least as many --clients as URLs.")
    if report_path:
        _check_writable(report_path)
    if seen:
        run = _read(seen)
    else:
        visits = requests if requests or duration or watched else REQUESTS
        rate = rate or (RATE if watched else None)
        plan = Plan(visits, duration, clients, rate, CONNECTIONS[connections], timeout, retry)
        records: list[Record] = []
        watch = Watch(records, say, retry=retry, allow_reset=allow_reset) if watched else None
        run = _visit(sites, plan, records, watch, log_path)
    verdict = judge(run.records, alone=alone, allow_reset=allow_reset, allowed=allow_lost, at_least=at_least)
    say(json.dumps(as_json(verdict, run.late), indent=2) if for_machines else "\n".join(as_text(verdict, run.late)))
    if report_path:
        _write(report_path, page(run.records, verdict, run.began))
    if run.log_error:
        raise NotJudgedError(f"{log_path} does not hold all that was seen: {run.log_error}")
    raise click.exceptions.Exit(verdict.exit_status)


def _visit(
    sites: Sequence[Site], plan: Plan, records: list[Record], watch: Watch | None, log_path: Path | None
) -> Seen:
    raise_file_limit()
    log = _open(log_path) if log_path else None

    def keep(record: Record) -> None:
        records.append(record)
        if log:
            log.keep(record)

    load, began = Load(sites, plan, keep), datetime.now().astimezone()
    with log or nullcontext():
        try:
            asyncio.run(_run(load, plan, watch))
        except CheckError as error:
            raise NotJudgedError(str(error)) from error
        except KeyboardInterrupt:
            tell("Interrupted: judging what was seen so far.")
            with suppress(CheckError):
                asyncio.run(load.read_last())
    return Seen(records, began, load.late, log.error if log else None)


def _check_writable(path: Path) -> None:
    """Fail now, not after the run; what the file holds stays until then."""
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise NotJudgedError(f"{path}: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise NotJudgedError(f"the report could not be written to {path}: {error}") from error


def _open(path: Path) -> Log:
    try:
        return Log(path)
    except OSError as error:
        raise NotJudgedError(f"{path}: {error.strerror}") from error


async def _run(load: Load, plan: Plan, watch: Watch | None) -> None:
    """Run the load, with a watch or a progress bar beside it; where nobody hears the watch, the run ends."""
    visits = asyncio.create_task(load.run())
    tasks = [visits]
    if watch:
        tasks.append(asyncio.create_task(watch.run()))
    elif sys.stderr.isatty():
        bar = asyncio.create_task(progress(load, plan))
        visits.add_done_callback(lambda _: bar.cancel())
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _read(seen: TextIO) -> Seen:
    gc.disable()  # a million records are no garbage, and looking through them again and again takes seconds
    try:
        return Seen(read_records(seen))
    except (HistoryError, OSError, UnicodeDecodeError) as error:
        raise NotJudgedError(f"{seen.name}: {error}") from error
