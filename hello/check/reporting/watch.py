"""Progress while a run goes on; with `--watch`, a line for each loss and each broken promise."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from time import monotonic_ns, time_ns

import click

from hello.check.history import Record
from hello.check.judging.judge import Judge
from hello.check.judging.losses import Silence
from hello.check.judging.shares import Repeat
from hello.check.reporting.text import answer_line, around, broken, latency, lost_line, repeat_line, summary

TICK = 0.5  # seconds between two looks
RATE = 50.0  # visits a second by default
EVERY = 10.0  # seconds between two summaries
HOUR = 3600.0
NEWS = 10_000  # reported at once


async def progress(judge: Judge) -> None:
    """Show the answers and losses so far on one line of the terminal, which another message may overwrite."""
    try:
        while True:
            await asyncio.sleep(TICK)
            _show(judge, "\r")
    finally:
        _show(judge, "\n")


def _show(judge: Judge, end: str) -> None:
    verdict = judge.verdict(over=False)
    if verdict.due:
        with suppress(OSError):
            click.echo(f"{verdict.answered:,} answered, {verdict.lost:,} lost{end}", err=True, nl=False)


class Watch:
    """Says what the judge finds, as it finds it. every: seconds between two summaries."""

    def __init__(self, judge: Judge, say: Callable[[str], None], every: float) -> None:
        self._judge = judge
        self._say = say
        self._every = every

    async def run(self) -> None:
        following = monotonic_ns() + self._every * 1e9
        while True:
            await asyncio.sleep(TICK)
            self.look()
            if monotonic_ns() >= following:
                following += self._every * 1e9
                self.sum_up()

    def look(self) -> None:
        for when, line in sorted(self._news()):
            self._tell(when, line)
        self._judge.news.clear()

    def sum_up(self) -> None:
        verdict = self._judge.verdict(over=False)
        times = f" Latency: {latency(verdict)}." if verdict.latency else ""
        self._tell(monotonic_ns(), f"so far   {summary(verdict)}{times}")

    def _tell(self, when: int, line: str) -> None:
        clock = datetime.fromtimestamp((when - monotonic_ns() + time_ns()) / 1e9).astimezone()
        self._say(f"{clock:%H:%M:%S}.{clock.microsecond // 1000:03}  {line}")

    def _news(self) -> Iterator[tuple[int, str]]:
        """What was found, and when; losses with the same labels are one line."""
        news, verdict = self._judge.news, self._judge.verdict(over=False)
        lost = Counter(id(each.labels) for each in news if isinstance(each, Record))
        for each in news:
            match each:
                case Record():
                    if count := lost.pop(id(each.labels), 0):
                        yield each.answered, f"lost     {count:,} {lost_line(each)}"
                case Silence():
                    yield each.ended, f"silence  {each.length / 1e9:,.3f} s, {around(each)}"
                case Repeat():
                    yield each.before.answered, f"repeated {repeat_line(each, verdict)}"
                case _:
                    proof = "; ".join(answer_line(record, verdict) for record in each.records)
                    when = max(record.answered for record in each.records)
                    yield when, f"BROKEN   {broken(each.kind, each.count)}: {proof}"
