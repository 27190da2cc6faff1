"""The command `hello check`."""

import asyncio
import gc
import json
import math
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import click

from hello.check.ending import Judgement, NotJudgedError, say
from hello.check.history import History, HistoryError, Log, Record
from hello.check.judging.judge import Judge
from hello.check.judging.verdict import Allowance, Rules
from hello.check.reporting.metrics import Metrics, serving
from hello.check.reporting.page import page
from hello.check.reporting.text import as_json, as_text
from hello.check.reporting.timeline import Timeline
from hello.check.reporting.watch import EVERY, HOUR, NEWS, RATE, Watch, progress
from hello.check.visiting.load import BOTH, FRESH, KEPT, CheckError, Load, Plan
from hello.check.visiting.site import Site
from hello.limits import raise_file_limit
from hello.options import Seconds
from hello.output import tell

REQUESTS = 1000
CLIENTS = 20
CONNECTIONS = {"fresh": FRESH, "kept": KEPT, "both": BOTH}
FILE = click.Path(dir_okay=False, path_type=Path)
POSITIVE = Seconds(0, math.inf, min_open=True, max_open=True)


def site(url: str) -> Site:
    try:
        return Site.parse(url)
    except ValueError as error:
        raise click.BadParameter(f"{url}: {error}.") from None


def allowance(text: str) -> Allowance:
    """Take `3` or `0.5%`."""
    match = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)%", text, re.ASCII)
    if match and match[1]:
        return Allowance(int(match[1]))
    if match and float(match[2]) <= 100:
        return Allowance(percent=float(match[2]))
    raise click.BadParameter(f"{text}: neither a number of visits nor a share such as 0.5%.")


@dataclass(slots=True)
class Run:
    """What takes each record of a run. began: when the run began, if known."""

    judge: Judge
    timeline: Timeline | None = None
    log: Log | None = None
    began: datetime | None = None

    def keep(self, record: Record, oldest: int, waiting: int) -> None:
        lost = self.judge.add(record, oldest, waiting)
        if self.timeline:
            self.timeline.add(record, lost=lost)
        if self.log:
            self.log.keep(record)


@click.command(
    cls=Judgement,
    context_settings={"show_default": True},
    short_help="Prove that a deployment counts every visitor once, and loses none.",
)
@click.argument("sites", metavar="URL...", type=site, nargs=-1)
@click.option("--requests", type=click.IntRange(1), metavar="N", help=f"Make N visits.  [default: {REQUESTS}]")
@click.option("--duration", type=POSITIVE, metavar="SECONDS", help="Make visits for this long instead.")
@click.option(
    "--clients", type=click.IntRange(1), metavar="N", help=f"Keep N visits under way at once.  [default: {CLIENTS}]"
)
@click.option(
    "--rate",
    type=POSITIVE,
    metavar="R",
    help="Make R visits a second instead, however long answers take. This measures better: a server that stands still "
    "delays all visits that are due meanwhile.",
)
@click.option(
    "--connections",
    type=click.Choice(list(CONNECTIONS)),
    default="both",
    help="fresh: each visit opens its own, and so reaches all pods; kept: visits share connections that stay open, "
    "each to one pod; both: half and half.",
)
@click.option("--timeout", type=POSITIVE, default=15.0, metavar="SECONDS", help="Wait this long for an answer.")
@click.option(
    "--allow-lost",
    "lost",
    type=allowance,
    default="0",
    metavar="N|P%",
    help="Tolerate up to N, or P %, lost visits.",
)
@click.option(
    "--allow-gap",
    "gap",
    type=POSITIVE,
    default=10.0,
    metavar="SECONDS",
    help="Tolerate a wait, or a time in which nobody is answered, of this length. The server promises 10 s.",
)
@click.option(
    "--allow-repeated",
    "repeated",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="With --alone: tolerate up to N requests that a proxy sent twice.",
)
@click.option(
    "--at-least",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    help="Judge only if at least N visits are answered.",
)
@click.option(
    "--alone",
    is_flag=True,
    help="Nobody else visits meanwhile. Then a number that nobody got was skipped, which breaks a promise, or was "
    "counted by a pod and answered to nobody: repeated.",
)
@click.option(
    "--allow-reset", "reset", is_flag=True, help="Expect the count to be reset: a later epoch breaks no promise."
)
@click.option(
    "--watch",
    "watched",
    is_flag=True,
    help="Print a line whenever something is lost or broken, and every ten seconds. Goes on until Ctrl-C or SIGTERM, "
    f"unless --requests or --duration is given. Makes {RATE:g} visits a second, unless --rate or --clients is given.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="With --watch: serve /metrics for Prometheus and /healthz, and sum up every hour instead.",
)
@click.option("--json", "for_machines", is_flag=True, help="Report as JSON.")
@click.option("--log", "log_path", type=FILE, metavar="FILE", help="Save a log of all that is seen.")
@click.option(
    "--report",
    "report_path",
    type=FILE,
    metavar="FILE",
    help="Save an HTML report: who answered when, and what was lost or broken.",
)
@click.option(
    "--judge", "seen", type=click.File("r", "utf-8"), metavar="FILE", help="Judge a saved log; make no visits."
)
def check(
    sites: tuple[Site, ...], seen: TextIO | None, for_machines: bool, report_path: Path | None, **options: Any
) -> None:
    """Visit the counter at URL many times and judge its answers.

    Several URLs (each node's port, the Service, each pod) are judged as one counter. The report answers five questions:
    are the numbers exact, was a visit lost, were all answered in time, was a request repeated, and was enough seen to
    tell? The last line sums them up. Ctrl-C and SIGTERM end the visits early; what was seen is judged.

    \b
    Exit status:
      0  the answers are good
      1  a promise was broken, or more was lost, late or repeated than allowed
      2  it could not be judged
    """  # noqa: D301 -- click wants the character itself
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _check_usage(sites, seen, for_machines, options)
    if report_path:
        with _writing(report_path):  # fail now rather than after the run, and keep the old report until then
            report_path.open("a").close()
    rules = Rules(**{field.name: options[field.name] for field in fields(Rules)})
    run = Run(Judge(rules, NEWS if options["watched"] else 0), Timeline() if report_path else None)
    if seen:
        _judge(seen, run)
    else:
        _visit(sites, run, options)
    verdict = run.judge.verdict()
    say(json.dumps(as_json(verdict), indent=2, default=asdict) if for_machines else "\n".join(as_text(verdict)))
    if report_path and run.timeline:
        with _writing(report_path):
            report_path.write_text(page(run.timeline, verdict, run.began), "utf-8")
    if run.log and run.log.error:
        raise NotJudgedError(f"{options['log_path']} does not hold all that was seen: {run.log.error}")
    raise click.exceptions.Exit(verdict.exit_status)


def _check_usage(sites: Sequence[Site], seen: TextIO | None, for_machines: bool, options: dict[str, Any]) -> None:
    watched = options["watched"]
    for wrong, message in (
        (options["requests"] and options["duration"], "Give either --requests or --duration."),
        (options["rate"] and options["clients"], "Give either --rate or --clients."),
        (watched and (seen or for_machines), "Give --watch without --judge and --json."),
        (options["metrics_port"] and not watched, "Give --metrics-port together with --watch."),
        (options["repeated"] and not options["alone"], "Give --allow-repeated together with --alone."),
        (seen and options["log_path"], "Give either --log or --judge."),
        (bool(sites) == bool(seen), "Give either the URL of a counter or --judge FILE."),
    ):
        if wrong:
            raise click.UsageError(message)


def _plan(options: dict[str, Any]) -> Plan:
    requests, duration, rate, clients = (options[name] for name in ("requests", "duration", "rate", "clients"))
    if not (requests or duration or options["watched"]):
        requests = REQUESTS
    if options["watched"] and not clients:
        rate = rate or RATE
    room = None if rate else clients or CLIENTS
    return Plan(requests, duration, rate, room, CONNECTIONS[options["connections"]], options["timeout"])


def _visit(sites: Sequence[Site], run: Run, options: dict[str, Any]) -> None:
    raise_file_limit()
    if options["log_path"]:
        with _writing(options["log_path"]):
            run.log = Log(options["log_path"])
    load = Load(sites, _plan(options), run.keep)
    run.began = datetime.now().astimezone()
    with closing(run.log) if run.log else nullcontext():
        try:
            asyncio.run(_run(load, run.judge, options["watched"], options["metrics_port"]))
        except (CheckError, OSError) as error:
            raise NotJudgedError(str(error)) from error
    if load.gave_up:
        tell("No visit is answered any more: ended early, judging what was seen so far.")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotJudgedError(f"cannot write {path}: {error.strerror}") from error


async def _run(load: Load, judge: Judge, watched: bool, port: int | None) -> None:
    """Run the load and report on it meanwhile; if nobody can read the reports of a watch, the run ends."""
    visits = asyncio.create_task(load.run())
    _stop_at_signals(load, visits)
    watch = Watch(judge, say, HOUR if port else EVERY)
    tasks = [visits]
    async with serving(Metrics(judge, load.under_way), port) if port else nullcontext():
        if watched:
            tasks.append(asyncio.create_task(watch.run()))
        elif sys.stderr.isatty():
            tasks.append(asyncio.create_task(progress(judge)))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    watch.look()
    for task in done:
        with suppress(asyncio.CancelledError):
            task.result()


def _stop_at_signals(load: Load, visits: "asyncio.Task[None]") -> None:
    """The first Ctrl-C or SIGTERM ends the visits, the second one the last reads, too."""

    def stop() -> None:
        if load.stopped:
            visits.cancel()
        else:
            tell("Interrupted: judging what was seen so far.")
            load.stop()

    for number in signal.SIGINT, signal.SIGTERM:
        with suppress(NotImplementedError, RuntimeError, ValueError):  # Windows
            asyncio.get_running_loop().add_signal_handler(number, stop)


def _judge(seen: TextIO, run: Run) -> None:
    gc.disable()  # scanning a million records for garbage again and again takes seconds
    try:
        history = History(seen)
    except (HistoryError, OSError, UnicodeDecodeError) as error:
        raise NotJudgedError(f"{seen.name}: {error}") from error
    for record, oldest, waiting in history:
        run.keep(record, oldest, waiting)
