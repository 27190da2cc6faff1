"""Charts of a run as inline SVG: they fill their box, and what is written on them is HTML, to be read on any screen."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape

from hello.check.judging.losses import SECOND
from hello.check.judging.verdict import Verdict
from hello.check.reporting.timeline import Drawing

WIDTH, HEIGHT = 1000, 240
STRIP = 16
LONGEST_LINE = 20
"""Of the vertical lines of a kind; more would be a wall."""


def answers_chart(timeline: Drawing, verdict: Verdict) -> str:
    """Answers a second, stacked by pod; under them, a mark for each lost visit."""
    seconds = timeline.piece / SECOND
    step = _step(timeline.highest / seconds, 4)
    top = max(math.ceil(timeline.highest / seconds / step), 1) * step
    base = [0] * len(timeline.p50)
    drawn = []
    for index, counts in enumerate(timeline.answers.values()):
        bars = _bars(timeline, base, counts, HEIGHT / (top * seconds))
        drawn.append(f'<path class="pod{index}" d="{bars}"/>')
        base = [low + count for low, count in zip(base, counts, strict=True)]
    heights = [(number * step / top, f"{number * step:,g}") for number in range(round(top / step) + 1)]
    return _plot("Answers a second, by pod", drawn, heights, timeline, verdict) + _lost_strip(timeline)


def latency_chart(timeline: Drawing, verdict: Verdict) -> str:
    """The median and the 99th percentile of how long answers took, on a logarithmic scale."""
    known = [nanoseconds for nanoseconds in (*timeline.p50, *timeline.p99) if nanoseconds]
    low = math.floor(math.log10(min(known, default=10**6)))
    high = max(math.ceil(math.log10(max(known, default=10**7))), low + 1)

    def height(nanoseconds: int) -> float:
        return (math.log10(max(nanoseconds, 1)) - low) / (high - low)

    drawn = [
        f'<path class="{name}" d="{_line(timeline, values, height)}"/>'
        for name, values in (("p99", timeline.p99), ("p50", timeline.p50))
    ]
    heights = [((power - low) / (high - low), _duration(10**power)) for power in range(low, high + 1)]
    return _plot("Latency, median and 99th percentile", drawn, heights, timeline, verdict)


def _plot(
    title: str, drawn: Sequence[str], heights: list[tuple[float, str]], timeline: Drawing, verdict: Verdict
) -> str:
    grid = "".join(f'<path class="grid" d="M0 {HEIGHT * (1 - height):.1f}h{WIDTH}"/>' for height, _ in heights)
    labels = "".join(f'<span class="y" style="bottom:{100 * height:.2f}%">{text}</span>' for height, text in heights)
    parts = [*_outages(timeline, verdict), grid, *drawn, *_new_epochs(timeline, verdict), *_broken(timeline, verdict)]
    return (
        f'<div class="plot"><svg role="img" aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'preserveAspectRatio="none">{"".join(parts)}</svg>{labels}{_seconds(timeline)}</div>'
    )


def _lost_strip(timeline: Drawing) -> str:
    """A line for each piece of time in which a visit was known to be lost."""
    width = timeline.piece / timeline.length * WIDTH
    places = [f"{min((index + 0.5) * width, WIDTH):.1f}" for index, lost in enumerate(timeline.lost) if lost]
    if not places:
        return ""
    marks = "".join(f"M{place} 0v{STRIP}" for place in places)
    return (
        f'<div class="strip"><svg role="img" aria-label="Lost visits" viewBox="0 0 {WIDTH} {STRIP}" '
        f'preserveAspectRatio="none"><path class="lost" d="{marks}"/></svg><span class="y">lost</span></div>'
    )


def _outages(timeline: Drawing, verdict: Verdict) -> Iterator[str]:
    for silence in verdict.outages:
        began, ended = (_x(at - verdict.began, timeline) for at in (silence.began, silence.ended))
        yield f'<rect class="outage" x="{began:.1f}" width="{max(ended - began, 1):.1f}" height="{HEIGHT}"/>'


def _new_epochs(timeline: Drawing, verdict: Verdict) -> Iterator[str]:
    begun = [epoch.first.answered for epoch in verdict.epochs[1 : LONGEST_LINE + 1]]
    yield from _lines("epoch", begun, timeline, verdict)


def _broken(timeline: Drawing, verdict: Verdict) -> Iterator[str]:
    examples = [example for finding in verdict.findings for example in finding.examples]
    proved = [max(record.answered for record in example.records) for example in examples]
    yield from _lines("broken", proved, timeline, verdict)


def _lines(name: str, moments: Iterable[int], timeline: Drawing, verdict: Verdict) -> Iterator[str]:
    for moment in moments:
        yield f'<path class="{name}" d="M{_x(moment - verdict.began, timeline):.1f} 0v{HEIGHT}"/>'


def _bars(timeline: Drawing, base: list[int], counts: list[int], scale: float) -> str:
    width = timeline.piece / timeline.length * WIDTH
    return "".join(
        f"M{index * width:.2f} {HEIGHT - low * scale:.1f}h{width * 0.85:.2f}v{-count * scale:.1f}h{-width * 0.85:.2f}z"
        for index, (low, count) in enumerate(zip(base, counts, strict=True))
        if count
    )


def _line(timeline: Drawing, values: Sequence[int | None], height: Callable[[int], float]) -> str:
    """Points joined, but for pieces of time without an answer."""
    path, pen = [], "M"
    width = timeline.piece / timeline.length * WIDTH
    for index, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        path.append(f"{pen}{(index + 0.5) * width:.1f} {HEIGHT * (1 - height(value)):.1f}h0.01")
        pen = "L"
    return "".join(path)


def _seconds(timeline: Drawing) -> str:
    """The labels of the time axis."""
    length = timeline.length / 1e9
    step = _step(length, 6)
    ticks = [number * step for number in range(int(length / step) + 1)]
    return "".join(f'<span class="x" style="left:{100 * tick / length:.2f}%">{tick:,g} s</span>' for tick in ticks)


def _x(nanoseconds: int, timeline: Drawing) -> float:
    return min(max(nanoseconds, 0) / timeline.length, 1) * WIDTH


def _step(whole: float, most: int) -> float:
    """The least of 1, 2, 5, 10, 20 … that fits into `whole` no more than `most` times."""
    least = max(whole, 1e-9) / most
    power = 10 ** math.floor(math.log10(least))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999999))


def _duration(nanoseconds: int) -> str:
    for unit, size in ("s", 10**9), ("ms", 10**6), ("µs", 10**3):
        if nanoseconds >= size:
            return f"{nanoseconds // size:,} {unit}"
    return f"{nanoseconds} ns"
