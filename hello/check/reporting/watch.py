"""`--watch`: a line whenever something is lost or broken, and one now and then, while the run goes on."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from time import monotonic_ns, time_ns

from hello.check.history import Outcome, Record
from hello.check.judging.judge import Judge, News
from hello.check.judging.verdict import Verdict
from hello.check.reporting.text import around, latency, many, outcome_name, promise, record_line, repeat_line, summary

TICK = 0.5  # seconds between two looks
RATE = 50.0  # visits a second, unless told
EVERY = 10.0  # seconds between two lines that only say how it goes
HOUR = 3600.0


class Watch:
    """Looks at what the judge finds. say: is given each line; every: seconds between two that say how it goes."""

    def __init__(self, judge: Judge, say: Callable[[str], None], every: float = EVERY) -> None:
        self._judge = judge
        self._say = say
        self._every = every
        self._before: Counter[Outcome] = Counter()

    async def run(self) -> None:
        """Look, until cancelled."""
        following = monotonic_ns() + self._every * 1e9
        while True:
            await asyncio.sleep(TICK)
            self.look()
            if monotonic_ns() >= following:
                following += self._every * 1e9
                self.sum_up()

    def look(self) -> None:
        """Tell what was found since the last look."""
        news, self._judge.news = self._judge.news, News()
        if lines := [*_lost(news), *_found(news, self._judge.verdict(over=False))]:
            for when, line in sorted(lines):
                self._tell(when, line)

    def sum_up(self) -> None:
        """Tell how it goes."""
        verdict = self._judge.verdict(over=False)
        new = Counter(verdict.visits)
        new.subtract(self._before)
        self._before = Counter(verdict.visits)
        if self._every >= HOUR:
            self._tell(monotonic_ns(), f"so far   {summary(verdict)}")
            return
        lost = new.total() - new[Outcome.ANSWERED] - new[Outcome.INTERRUPTED]
        times = f"; {latency(verdict)} so far" if verdict.latency else ""
        self._tell(monotonic_ns(), f"visits   {many(new.total(), 'visit')}, {lost:,} without a number{times}")

    def _tell(self, when: int, line: str) -> None:
        clock = datetime.fromtimestamp((when - monotonic_ns() + time_ns()) / 1e9).astimezone()
        self._say(f"{clock:%H:%M:%S}.{clock.microsecond // 1000:03}  {line}")


def _lost(news: News) -> Iterator[tuple[int, str]]:
    """What was lost: one line for each kind and place."""
    counted = Counter(id(record.labels) for record in news.lost)
    for record in news.lost:
        if count := counted.pop(id(record.labels), 0):
            yield record.answered, f"lost     {count:,} {outcome_name(record.labels)}{_place(record)}"


def _found(news: News, verdict: Verdict) -> Iterator[tuple[int, str]]:
    """What was broken or repeated, and long silences."""
    for kind, count, example in news.found:
        proof = "; ".join(record_line(record, verdict).partition(": ")[2] for record in example.records)
        what = f"{promise(kind)}: {kind.phrase} ({count:,}): {proof}"
        yield max(record.answered for record in example.records), f"BROKEN   {what}"
    for repeat in news.repeats:
        yield repeat.excess.before.answered, f"repeated {repeat_line(repeat, verdict)}"
    for silence in news.silences:
        yield silence.ended, f"silence  {silence.length / 1e9:,.3f} s, {around(silence)}"


def _place(record: Record) -> str:
    """Where it was, as far as that is known, and what was said there."""
    labels = record.labels
    pod = f", on {labels.pod}" if labels.pod else ""
    connection = "a kept connection" if labels.kept else "a fresh connection"
    said = f": {labels.said}" if labels.said else ""
    return f" over {connection} to {labels.address or labels.url}{pod}{said}"
