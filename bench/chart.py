"""The chart that the README shows."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bench.results import Figure, Results
from bench.rounds import CONNECTIONS, DELAYS, GROWTH, SERVERS

COLOURS = dict(
    zip(
        ("hello", "go", "node", "fastapi", "flask", "webdis"),
        ("#326ce5", "#00897b", "#7cb342", "#8e24aa", "#6d4c41", "#d84315"),
        strict=True,
    )
)
# Text stays text, and the same results make the same file.
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "hello", "axes.spines.top": False, "axes.spines.right": False}


def draw(results: Results, file: Path, note: str) -> None:
    """Write the chart as SVG; `note` says what was measured on what. Shades span the rounds."""
    with mpl.rc_context(STYLE):
        drawing = Drawing(figsize=(10, 7.5), layout="constrained")
        connections, waiting, growth, delays = drawing.subplots(2, 2).flat
        _draw_connections(connections, results, "throughput", COLOURS)
        _describe(connections, "Requests a second", "connections")
        connections.legend(frameon=False)
        _draw_connections(waiting, results, "p99", ("hello", "go"))
        _describe(waiting, "99th percentile of the latency, ms", "connections")
        _draw_growth(growth, results)
        _describe(growth, "Commands to Redis per request, 256 connections", "processes")
        _draw_delays(delays, results)
        _describe(
            delays,
            "Requests a second, 256 connections",
            f"ms before Redis' answers (and {results.proxy:.1f} of the proxy)",
        )
        for axes in connections, waiting, growth:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:.0f}")
        for axes in connections, delays:
            axes.set_ylim(bottom=0)
        for axes in waiting, growth:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
        drawing.supxlabel(note, fontsize=8, color="#555555")
        drawing.savefig(file, format="svg", metadata={"Date": None})


def _draw_connections(axes: Axes, results: Results, what: str, servers: Iterable[str]) -> None:
    for name in servers:
        _line(axes, name, CONNECTIONS, [Figure.of(results.at_best(what, name, n).values()) for n in CONNECTIONS])


def _draw_growth(axes: Axes, results: Results) -> None:
    for name in "hello", "go":
        numbers = sorted(number for server, number in (*SERVERS, *GROWTH) if server == name)
        _line(axes, name, numbers, [results.figure("commands", name, n, connections=256) for n in numbers])


def _draw_delays(axes: Axes, results: Results) -> None:
    for name in "hello", "go":
        figures = [results.figure("throughput", name, connections=256, delay=delay) for delay in DELAYS]
        _line(axes, name, DELAYS, figures)


def _line(axes: Axes, server: str, positions: Iterable[int], figures: Iterable[Figure | None]) -> None:
    points = [(x, figure) for x, figure in zip(positions, figures, strict=True) if figure]
    xs, colour = [x for x, _ in points], COLOURS[server]
    axes.plot(xs, [figure.median for _, figure in points], "o-", color=colour, label=server, markersize=4)
    lows, highs = [figure.low for _, figure in points], [figure.high for _, figure in points]
    axes.fill_between(xs, lows, highs, color=colour, alpha=0.15)


def _describe(axes: Axes, title: str, x: str) -> None:
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(x)
    axes.grid(axis="y", alpha=0.3)
