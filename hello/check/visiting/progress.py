"""The line on a terminal that tells how a run is getting on."""

import asyncio
import os
import sys
from contextlib import suppress
from time import monotonic

import click

from hello.check.history import Outcome
from hello.check.visiting.load import Load, Plan

TICK = 0.2  # seconds between two looks


def can_be_shown() -> bool:
    """Whether standard error is a terminal that can write over a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


async def progress(load: Load, plan: Plan) -> None:
    """Show a bar, the rate and the failures so far on standard error, until cancelled or nobody reads it."""
    with suppress(OSError):
        await _show(load, plan)


async def _show(load: Load, plan: Plan) -> None:
    began = monotonic()
    length = plan.requests or int((plan.duration or 0) * 1000)
    with click.progressbar(length=length, file=sys.stderr, item_show_func=lambda text: text) as bar:

        def look() -> None:
            outcomes, seconds = load.under_way.outcomes, monotonic() - began
            ended = outcomes.total() - outcomes[Outcome.INTERRUPTED]
            failed = ended - outcomes[Outcome.ANSWERED]
            position = ended if plan.requests else min(int(seconds * 1000), length)
            bar.update(position - bar.pos, f"{ended / max(seconds, TICK):,.0f}/s, {failed:,} failed")

        try:
            while True:
                look()
                await asyncio.sleep(TICK)
        finally:
            look()
