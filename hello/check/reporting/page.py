"""`--report`: the verdict as one HTML page that asks for nothing from outside."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files

from hello.check.history import Record
from hello.check.judging.losses import Part
from hello.check.judging.verdict import Verdict
from hello.check.reporting.chart import answers_chart, latency_chart
from hello.check.reporting.text import (
    answers,
    epoch_line,
    latency,
    outcome_name,
    outcomes,
    proof,
    repeat_line,
    silence_line,
    summary,
    title,
)
from hello.check.reporting.timeline import Drawing, Timeline, drawing

MOST_ROWS = 50  # of a table


def page(timeline: Timeline, verdict: Verdict, began: datetime | None) -> str:
    """Make it. began: when the run did, if that is known."""
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
    yield f'<p class="soft">{_run(verdict, began)}</p>'
    yield f'<div class="answers">{"".join(_answers(verdict))}</div>'
    if verdict.answered:
        times = drawing(timeline, verdict.ended - verdict.began)
        yield _figure("Answers a second, by pod", answers_chart(times, verdict), _key(times, verdict))
        yield _figure("Latency, median and 99th percentile", latency_chart(times, verdict), _latency_key(verdict))
    yield from _findings(verdict)
    yield from _repeats(verdict)
    yield from _epochs(verdict)
    yield from _parts(verdict)
    yield from _losses(verdict)


def _run(verdict: Verdict, began: datetime | None) -> str:
    when = f"{began:%Y-%m-%d %H:%M:%S %Z}, " if began else ""
    visits, reads = verdict.visits.total(), verdict.losses.reads.total()
    return f"{when}{verdict.seconds:,.1f} s, {visits:,} visits and {reads:,} reads"


def _answers(verdict: Verdict) -> Iterator[str]:
    """The five questions; what could not be told is neither good nor bad."""
    for question, answer, good in answers(verdict):
        tone = "unknown" if good is None else "good" if good else "bad"
        yield f'<section class="{tone}"><h2>{question}</h2><p>{escape(answer)}</p></section>'


def _figure(caption: str, chart: str, key: str) -> str:
    return f"<figure><h2>{caption}</h2>{chart}<figcaption>{key}</figcaption></figure>"


def _key(times: Drawing, verdict: Verdict) -> str:
    entries = [(f"pod{index}", name) for index, name in enumerate(times.answers)]
    if verdict.lost:
        entries.append(("lost", "lost visit"))
    if verdict.outages:
        entries.append(("outage", "nobody was answered"))
    if verdict.epoch_count > 1:
        entries.append(("epoch", "a new epoch"))
    if verdict.findings:
        entries.append(("broken", "a promise broken"))
    return _entries(entries)


def _latency_key(verdict: Verdict) -> str:
    return _entries([("p50", "median"), ("p99", "99th percentile")]) + f"<p>{latency(verdict)}</p>"


def _entries(entries: Iterable[tuple[str, str]]) -> str:
    """The key of a chart: a swatch and a name for each."""
    items = (f"<li>{_swatch(name)}{escape(text)}</li>" for name, text in entries)
    return f'<ul class="key">{"".join(items)}</ul>'


def _swatch(name: str) -> str:
    shape = '<rect class="outage" width="10" height="10"/>'
    if name != "outage":
        path = "M0 0h10v10h-10z" if name.startswith("pod") else "M0 5h10" if name in ("p50", "p99") else "M5 0v10"
        shape = f'<path class="{name}" d="{path}"/>'
    return f'<svg viewBox="0 0 10 10" aria-hidden="true">{shape}</svg>'


def _findings(verdict: Verdict) -> Iterator[str]:
    for finding in verdict.findings:
        yield f"<h2>Broken: {escape(title(finding))}</h2>"
        for example in finding.examples.first[:MOST_ROWS]:
            yield f"<pre>{escape(chr(10).join(proof(example, verdict)))}</pre>"


def _repeats(verdict: Verdict) -> Iterator[str]:
    if verdict.repeated:
        yield "<h2>Counted and answered to nobody</h2><ul>"
        yield from (f"<li>{escape(repeat_line(repeat, verdict))}</li>" for repeat in verdict.repeats.first[:MOST_ROWS])
        yield "</ul>"


def _losses(verdict: Verdict) -> Iterator[str]:
    if verdict.outages:
        yield "<h2>Times in which nobody was answered</h2><ul>"
        yield from (f"<li>{escape(silence_line(silence, verdict))}</li>" for silence in verdict.outages[:MOST_ROWS])
        yield "</ul>"
    if verdict.lost:
        yield f"<h2>Lost visits</h2><p>{escape(outcomes(verdict.losses.kinds))}</p>"
        if verdict.losses.said:
            said = ((words, str(status), f"{n:,}") for (status, words), n in verdict.losses.said.most_common(MOST_ROWS))
            yield _table(("said", "status", "times"), said)
        rows = (_lost_row(record, verdict) for record in verdict.losses.lost.first[:MOST_ROWS])
        yield _table(("sent", "known after", "what", "connection", "pod", "to"), rows)
        if verdict.lost > MOST_ROWS:
            yield f"<p>and {verdict.lost - MOST_ROWS:,} more</p>"


def _lost_row(record: Record, verdict: Verdict) -> Sequence[str]:
    labels = record.labels
    return (
        f"{(record.sent - verdict.began) / 1e9:,.3f} s",
        f"{(record.answered - record.sent) / 1e9:,.3f} s",
        outcome_name(labels),
        "kept" if labels.kept else "fresh",
        labels.pod or "not known",
        labels.address or labels.url or "",
    )


def _parts(verdict: Verdict) -> Iterator[str]:
    losses = verdict.losses
    for name, parts in (
        ("pod", losses.pods),
        ("URL", losses.urls),
        ("address", losses.addresses),
        ("connection", losses.connections),
    ):
        if len(parts) > 1 or (parts and name == "pod"):
            yield f"<h2>By {name}</h2>"
            yield _table((name, "answered", "lost"), map(_part_row, sorted(parts.items())[:MOST_ROWS]))


def _part_row(named: tuple[str, Part]) -> Sequence[str]:
    name, part = named
    return name, f"{part.answered:,}", f"{part.lost:,}"


def _epochs(verdict: Verdict) -> Iterator[str]:
    yield "<h2>Epochs</h2><ul>"
    yield from (f"<li>{escape(epoch_line(epoch))}</li>" for epoch in verdict.epochs[:MOST_ROWS])
    yield "</ul>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; what begins with a figure stands to the right."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    region = f'role="region" aria-label="By {escape(heads[0])}" tabindex="0"'
    return f'<div class="scroll" {region}><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(text: str) -> str:
    return f"<td{' class=number' if text[:1].isdecimal() else ''}>{escape(text)}</td>"
