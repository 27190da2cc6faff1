"""The chart that the README shows."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bench.report import NAMES, SERVERS
from bench.results import Results
from bench.rounds import CONNECTIONS

COLOURS = dict(zip(SERVERS, ("#326ce5", "#80cbc4", "#00897b", "#7cb342"), strict=True))
PARTS = {"user": "#326ce5", "system": "#9db8f2", "redis": "#d84315"}
# Text stays text, and the same results make the same file.
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "hello", "axes.spines.top": False, "axes.spines.right": False}


def draw(results: Results, file: Path, note: str) -> None:
    """Write the chart as SVG; `note` says what was measured on what."""
    with mpl.rc_context(STYLE):
        drawing = Drawing(figsize=(10, 4), layout="constrained")
        throughput, time = drawing.subplots(1, 2)
        _draw_throughput(throughput, results)
        _draw_time(time, results)
        drawing.supxlabel(note, fontsize=8, color="#555555")
        drawing.savefig(file, format="svg", metadata={"Date": None})


def _draw_throughput(axes: Axes, results: Results) -> None:
    """A line a server, with a shade from the lowest to the highest round."""
    for name, colour in COLOURS.items():
        best = [(n, results.figure("throughput", results.best([name], n), n)) for n in CONNECTIONS]
        points = [(n, figure) for n, figure in best if figure]
        numbers = [n for n, _ in points]
        axes.plot(numbers, [figure.median for _, figure in points], "o-", color=colour, label=NAMES[name], markersize=4)
        lows, highs = [figure.low for _, figure in points], [figure.high for _, figure in points]
        axes.fill_between(numbers, lows, highs, color=colour, alpha=0.15)
    axes.set_title("Requests a second, by connections", loc="left", fontsize=11)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _draw_time(axes: Axes, results: Results) -> None:
    """A bar a server, of what a request costs its process and Redis."""
    left = [0.0] * len(SERVERS)
    for part, colour in PARTS.items():
        figures = [results.figure(part, results.best([name])) for name in SERVERS]
        widths = [figure.median if figure else 0 for figure in figures]
        label = "Redis" if part == "redis" else f"server, {part}"
        axes.barh([NAMES[name] for name in SERVERS], widths, left=left, color=colour, label=label)
        left = [sum(pair) for pair in zip(left, widths, strict=True)]
    axes.set_title("Processor time per request, µs, 64 connections", loc="left", fontsize=11)
    axes.invert_yaxis()
    axes.legend(frameon=False)
