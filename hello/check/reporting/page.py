"""`--report`: the verdict as one HTML page that asks for nothing from outside."""

from collections.abc import Iterator
from datetime import datetime
from html import escape
from importlib.resources import files

from hello.check.judging.verdict import Verdict
from hello.check.reporting.chart import Chart
from hello.check.reporting.text import answers, details, summary
from hello.check.reporting.timeline import Timeline

LINES = 50  # of what there may be a hundred of


def page(timeline: Timeline, verdict: Verdict, began: datetime | None) -> str:
    """began: when the run began, if known."""
    style = files("hello.check.reporting").joinpath("page.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>hello check: {escape(summary(verdict))}</title><style>{style}</style></head>"
        f"<body><main>{''.join(_sections(timeline, verdict, began))}</main></body></html>\n"
    )


def _sections(timeline: Timeline, verdict: Verdict, began: datetime | None) -> Iterator[str]:
    tone = {0: "good", 1: "bad"}.get(verdict.exit_status, "unknown")
    yield f'<h1 class="{tone}">{escape(summary(verdict))}</h1>'
    if began:
        yield f'<p class="soft">{began:%Y-%m-%d %H:%M:%S %Z}, {verdict.seconds:,.1f} s</p>'
    yield f'<div class="answers">{"".join(_answers(verdict))}</div>'
    if verdict.answered:
        key = f'<figcaption><ul class="key">{"".join(_key(timeline, verdict))}</ul></figcaption>'
        yield f"<figure><h2>Answers a second, by pod</h2>{Chart(timeline, verdict)}{key}</figure>"
    yield f"<h2>All that was seen</h2><pre>{escape(chr(10).join(details(verdict, LINES)))}</pre>"


def _answers(verdict: Verdict) -> Iterator[str]:
    for question, answer, good in answers(verdict):
        tone = "unknown" if good is None else "good" if good else "bad"
        yield f'<section class="{tone}"><h2>{question}</h2><p>{escape(answer)}</p></section>'


def _key(timeline: Timeline, verdict: Verdict) -> Iterator[str]:
    for index, pod in enumerate(timeline.answers()):
        yield _entry("pod", "M0 0h10v10h-10z", pod, index)
    for name, path, text, shown in (
        ("lost", "M5 0v10", "lost visit", verdict.lost),
        ("outage", "M0 0h10v10h-10z", "nobody was answered", verdict.outages),
        ("epoch", "M5 0v10", "a new epoch", verdict.epochs.count > 1),
        ("broken", "M5 0v10", "a promise broken", verdict.findings),
    ):
        if shown:
            yield _entry(name, path, text)


def _entry(name: str, path: str, text: str, pod: int = 0) -> str:
    """An entry of the chart's key."""
    shape = f'<path class="{name}" style="--pod: var(--pod{pod})" d="{path}"/>'
    return f'<li><svg viewBox="0 0 10 10" aria-hidden="true">{shape}</svg>{escape(text)}</li>'
