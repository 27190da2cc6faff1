"""Charts of a run as inline SVG: they fill their box, and what is written on them is HTML, to be read on any screen."""

import math
from collections.abc import Iterator, Sequence
from html import escape

from hello.check.judging.losses import SECOND
from hello.check.judging.verdict import Verdict
from hello.check.reporting.timeline import Timeline

WIDTH, HEIGHT, STRIP = 1000, 240, 16


class Charts:
    """The charts of one run, on one axis of time."""

    def __init__(self, timeline: Timeline, verdict: Verdict) -> None:
        self._timeline = timeline
        self._verdict = verdict
        self._length = max(verdict.ended - verdict.began, 1)
        self._width = timeline.piece / self._length * WIDTH
        """Of a piece of time."""

    def answers(self) -> str:
        """Answers a second, stacked by pod; under them, a mark for each piece of time with a lost visit."""
        seconds = self._timeline.piece / SECOND
        step = _step(self._timeline.highest / seconds, 4)
        top = max(math.ceil(self._timeline.highest / seconds / step), 1) * step
        base = [0] * len(self._timeline.pieces)
        drawn = []
        for index, counts in enumerate(self._timeline.answers().values()):
            bars = self._bars(base, counts, HEIGHT / (top * seconds))
            drawn.append(f'<path class="pod" style="--pod: var(--pod{index})" d="{bars}"/>')
            base = [low + count for low, count in zip(base, counts, strict=True)]
        heights = [(number * step / top, f"{number * step:,g}") for number in range(round(top / step) + 1)]
        return self._plot("Answers a second, by pod", drawn, heights) + self._lost_strip()

    def latency(self) -> str:
        """The median and the 99th percentile of how long answers took, on a logarithmic scale."""
        lines = {f"p{percentile}": self._timeline.latency(percentile) for percentile in (99, 50)}
        known = [nanoseconds for line in lines.values() for nanoseconds in line if nanoseconds]
        low = math.floor(math.log10(min(known, default=10**6)))
        high = max(math.ceil(math.log10(max(known, default=10**7))), low + 1)
        drawn = [f'<path class="{name}" d="{self._line(line, low, high)}"/>' for name, line in lines.items()]
        heights = [((power - low) / (high - low), _duration(power)) for power in range(low, high + 1)]
        return self._plot("Latency, median and 99th percentile", drawn, heights)

    def _plot(self, title: str, drawn: Sequence[str], heights: list[tuple[float, str]]) -> str:
        grid = "".join(f'<path class="grid" d="M0 {HEIGHT * (1 - height):.1f}h{WIDTH}"/>' for height, _ in heights)
        labels = "".join(
            f'<span class="y" style="bottom:{100 * height:.2f}%">{name}</span>' for height, name in heights
        )
        shapes = "".join([*self._outages(), grid, *drawn, *self._moments()])
        return f'<div class="plot">{_svg(title, HEIGHT, shapes)}{labels}{self._seconds()}</div>'

    def _lost_strip(self) -> str:
        lost = [index for index, piece in enumerate(self._timeline.pieces) if piece.lost]
        if not lost:
            return ""
        marks = "".join(f"M{min((index + 0.5) * self._width, WIDTH):.1f} 0v{STRIP}" for index in lost)
        drawn = _svg("Lost visits", STRIP, f'<path class="lost" d="{marks}"/>')
        return f'<div class="strip">{drawn}<span class="y">lost</span></div>'

    def _outages(self) -> Iterator[str]:
        for silence in self._verdict.outages:
            began, ended = self._x(silence.began), self._x(silence.ended)
            yield f'<rect class="outage" x="{began:.1f}" width="{max(ended - began, 1):.1f}" height="{HEIGHT}"/>'

    def _moments(self) -> Iterator[str]:
        """A line for each new epoch, and for each proof of a broken promise."""
        begun = [epoch.first.answered for epoch in self._verdict.epochs][1:]
        examples = [example for finding in self._verdict.findings for example in finding.examples]
        proved = [max(record.answered for record in example.records) for example in examples]
        for name, moments in ("epoch", begun), ("broken", proved):
            for moment in moments:
                yield f'<path class="{name}" d="M{self._x(moment):.1f} 0v{HEIGHT}"/>'

    def _bars(self, base: list[int], counts: list[int], scale: float) -> str:
        width = self._width * 0.85
        return "".join(
            f"M{index * self._width:.2f} {HEIGHT - low * scale:.1f}h{width:.2f}v{-count * scale:.1f}h{-width:.2f}z"
            for index, (low, count) in enumerate(zip(base, counts, strict=True))
            if count
        )

    def _line(self, values: Sequence[int | None], low: int, high: int) -> str:
        """Points joined, but for pieces of time without an answer."""
        path, pen = [], "M"
        for index, value in enumerate(values):
            if value is None:
                pen = "M"
                continue
            height = (math.log10(max(value, 1)) - low) / (high - low)
            path.append(f"{pen}{(index + 0.5) * self._width:.1f} {HEIGHT * (1 - height):.1f}h0.01")
            pen = "L"
        return "".join(path)

    def _seconds(self) -> str:
        """The labels of the time axis."""
        length = self._length / SECOND
        step = _step(length, 6)
        ticks = [number * step for number in range(int(length / step) + 1)]
        return "".join(f'<span class="x" style="left:{100 * tick / length:.2f}%">{tick:,g} s</span>' for tick in ticks)

    def _x(self, moment: int) -> float:
        return min(max(moment - self._verdict.began, 0) / self._length, 1) * WIDTH


def _svg(title: str, height: int, shapes: str) -> str:
    box = f'viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none"'
    return f'<svg role="img" aria-label="{escape(title)}" {box}>{shapes}</svg>'


def _step(whole: float, most: int) -> float:
    """The least of 1, 2, 5, 10, 20 … that fits into `whole` no more than `most` times."""
    least = max(whole, 1e-9) / most
    power = 10 ** math.floor(math.log10(least))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999999))


def _duration(power: int) -> str:
    """So many nanoseconds as a power of ten."""
    unit = min(max(power // 3, 0), 3)
    return f"{10 ** (power - 3 * unit):,} {('ns', 'µs', 'ms', 's')[unit]}"
