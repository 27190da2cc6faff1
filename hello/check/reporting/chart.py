"""A chart of a run as inline SVG that fills its box; its labels are HTML, so they stay readable on any screen."""

import math
from collections.abc import Iterator
from itertools import chain

from hello.check.judging.losses import SECOND
from hello.check.judging.verdict import Verdict
from hello.check.reporting.timeline import Timeline

WIDTH, HEIGHT, MARK = 1000, 240, 12


class Chart:
    """Answers a second, stacked by pod, over time."""

    def __init__(self, timeline: Timeline, verdict: Verdict) -> None:
        self._timeline = timeline
        self._verdict = verdict
        self._length = max(verdict.ended - verdict.began, 1)
        self._width = timeline.piece / self._length * WIDTH
        """Of a piece of time."""

    def __str__(self) -> str:
        answers = list(self._timeline.answers().values())
        seconds = self._timeline.piece / SECOND
        highest = max(map(sum, zip(*answers, strict=True)), default=0) / seconds
        step = _step(highest, 4)
        rows = max(math.ceil(highest / step), 1)
        grid = "".join(f'<path class="grid" d="M0 {HEIGHT * row / rows:.1f}h{WIDTH}"/>' for row in range(rows + 1))
        labels = "".join(
            f'<span class="y" style="bottom:{100 * row / rows:.2f}%">{row * step:,g}</span>' for row in range(rows + 1)
        )
        stacks = self._stacks(answers, HEIGHT / (rows * step * seconds))
        shapes = "".join([*self._outages(), grid, *stacks, *self._moments()])
        box = f'viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none"'
        chart = f'<svg role="img" aria-label="Answers a second, by pod" {box}>{shapes}</svg>'
        return f'<div class="plot">{chart}{labels}{self._seconds()}</div>'

    def _stacks(self, answers: list[list[int]], scale: float) -> Iterator[str]:
        base = [0] * len(self._timeline.pieces)
        width = self._width * 0.85
        for pod, counts in enumerate(answers):
            bars = "".join(
                f"M{index * self._width:.2f} {HEIGHT - low * scale:.1f}h{width:.2f}v{-count * scale:.1f}h{-width:.2f}z"
                for index, (low, count) in enumerate(zip(base, counts, strict=True))
                if count
            )
            yield f'<path class="pod" style="--pod: var(--pod{pod})" d="{bars}"/>'
            base = [low + count for low, count in zip(base, counts, strict=True)]

    def _outages(self) -> Iterator[str]:
        for silence in self._verdict.outages:
            began, ended = self._x(silence.began), self._x(silence.ended)
            yield f'<rect class="outage" x="{began:.1f}" width="{max(ended - began, 1):.1f}" height="{HEIGHT}"/>'

    def _moments(self) -> Iterator[str]:
        """A line for each new epoch and each broken promise, and a mark for each piece of time with a lost visit."""
        begun = [epoch.first.answered for epoch in self._verdict.epochs][1:]
        examples = chain.from_iterable(self._verdict.findings.values())
        proved = [max(record.answered for record in example.records) for example in examples]
        for name, moments in ("epoch", begun), ("broken", proved):
            for moment in moments:
                yield f'<path class="{name}" d="M{self._x(moment):.1f} 0v{HEIGHT}"/>'
        for index in sorted(self._timeline.lost):
            yield f'<path class="lost" d="M{min((index + 0.5) * self._width, WIDTH):.1f} 0v{MARK}"/>'

    def _seconds(self) -> str:
        """The time axis."""
        length = self._length / SECOND
        step = _step(length, 6)
        ticks = [number * step for number in range(int(length / step) + 1)]
        return "".join(f'<span class="x" style="left:{100 * tick / length:.2f}%">{tick:,g} s</span>' for tick in ticks)

    def _x(self, moment: int) -> float:
        return min(max(moment - self._verdict.began, 0) / self._length, 1) * WIDTH


def _step(whole: float, most: int) -> float:
    """The smallest of 1, 2, 5, 10, 20 … that divides `whole` into at most `most` steps."""
    least = max(whole, 1e-9) / most
    power = 10 ** math.floor(math.log10(least))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999999))
