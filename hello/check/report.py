"""A verdict in words, and as JSON."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from hello.check.history import Outcome, Record
from hello.check.verdict import EXAMPLES, PROMISES, Epoch, Example, Finding, Gap, Kind, Verdict

PHRASES = {
    Kind.GIVEN_TWICE: "numbers given twice",
    Kind.CACHED: "answers out of a cache (Age)",
    Kind.STORABLE: "answers that a cache may keep (no Cache-Control: no-store)",
    Kind.FORGOTTEN: "reads that knew nothing of a number given before",
    Kind.NEW_EPOCH: "times the count began anew",
    Kind.MISSING: "numbers skipped that no failed request explains",
    Kind.OUT_OF_ORDER: "numbers out of order",
    Kind.READ_WENT_BACK: "reads that went back",
    Kind.EPOCHS_IN_TURN: "counters that answer in turn",
    Kind.NO_NUMBER: "answers of 200 without a number",
    Kind.CONTRADICTION: "answers whose body and headers differ",
    Kind.NO_RETRY_AFTER: "answers of 503 without Retry-After",
}


def as_text(verdict: Verdict, late: int = 0) -> Iterator[str]:
    """Lines for a person; the last one says what was proved, or what was wrong.

    late: visits of an open loop that were not made.
    """
    seconds = max(verdict.ended - verdict.began, 1) / 1e9
    sent = verdict.visits.total()
    yield f"visits   {sent:,} in {seconds:,.1f} s ({sent / seconds:,.0f}/s): {_outcomes(verdict.visits)}"
    yield f"reads    {verdict.reads.total():,}: {_outcomes(verdict.reads)}"
    if late:
        yield f"late     {late:,} visits were not made: all clients were waiting (raise --clients)"
    if verdict.retried:
        yield f"retried  {verdict.retried:,} after a 503; {verdict.served_by_retry:,} got a number that way"
    for epoch in verdict.epochs[:EXAMPLES]:
        yield f"epoch    {_epoch(epoch)}"
    if len(verdict.epochs) > EXAMPLES:
        yield f"         and {len(verdict.epochs) - EXAMPLES:,} more epochs"
    yield f"final    {verdict.final.number:,}, read at the end" if verdict.final else "final    not read"
    yield from _gaps(verdict)
    for pod, answers in sorted(verdict.pods.items()):
        yield f"pod      {pod}: {answers:,} ({answers / verdict.answered:.1%})"
    if verdict.latency:
        latencies = (
            f"{f'p{percentile}' if percentile < 100 else 'max'} {nanoseconds / 1e6:,.1f}"
            for percentile, nanoseconds in verdict.latency.items()
        )
        yield f"latency  {', '.join(latencies)} ms"
    for finding in verdict.findings:
        yield from _finding(finding, verdict)
    yield summary(verdict)


def as_json(verdict: Verdict, late: int = 0) -> dict[str, Any]:
    """The same for machines; times in nanoseconds."""
    return {
        "kept": not verdict.findings,
        "summary": summary(verdict),
        "nanoseconds": verdict.ended - verdict.began,
        "visits": verdict.visits,
        "reads": verdict.reads,
        "late": late,
        "retried": verdict.retried,
        "served_by_retry": verdict.served_by_retry,
        "epochs": [_epoch_json(epoch) for epoch in verdict.epochs],
        "final": verdict.final and verdict.final.number,
        "missing": verdict.missing,
        "unexplained": verdict.unexplained,
        "unknown": verdict.unknown,
        "gaps": [{"first": gap.first, "last": gap.last, "explained": gap.explained} for gap in verdict.gaps],
        "pods": verdict.pods,
        "latency": {f"p{percentile}": nanoseconds for percentile, nanoseconds in verdict.latency.items()},
        "each_pod_for_itself": verdict.each_pod_for_itself,
        "findings": [_finding_json(finding) for finding in verdict.findings],
    }


def summary(verdict: Verdict) -> str:
    """One line: what was proved, or what was wrong."""
    if not verdict.answered:
        return f"Nothing could be judged: no visit got a number ({_outcomes(verdict.visits)})."
    if verdict.findings:
        wrong = "; ".join(_counted(finding) for finding in verdict.findings)
        advice = (
            " The pods count each for itself; one store for all of them would mend that."
            if verdict.each_pod_for_itself
            else ""
        )
        return f"Promise broken: {wrong}.{advice}"
    counted = f"{verdict.answered:,} visitors counted by {_many(len(verdict.pods), 'pod')}"
    return f"Promise kept: {counted}, {_skipped(verdict)}."


def _skipped(verdict: Verdict) -> str:
    kept = "each with a number of its own, in order, none forgotten"
    if not verdict.missing:
        return f"{kept}, none skipped"
    if not verdict.unexplained:
        return f"{kept}; {verdict.missing:,} missing, each explained by a request that failed"
    return (
        f"{kept}; {verdict.unexplained:,} not accounted for: others visited, or they were skipped (tell with --alone)"
    )


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _outcomes(outcomes: Counter[Outcome]) -> str:
    names = {Outcome.UNAVAILABLE: "unavailable (503)", Outcome.STATUS: "of another status"}
    return ", ".join(f"{count:,} {names.get(outcome, outcome)}" for outcome, count in outcomes.most_common()) or "none"


def _epoch(epoch: Epoch) -> str:
    numbers = [record.number or 0 for record in epoch.answers]
    span = f"numbers {min(numbers):,} to {max(numbers):,}" if numbers else "no number"
    return f"{epoch.name}: {span} in {_many(len(numbers), 'answer')} by {_many(len(epoch.pods), 'pod')}"


def _epoch_json(epoch: Epoch) -> dict[str, Any]:
    numbers = [record.number or 0 for record in epoch.answers]
    return {
        "epoch": epoch.name,
        "answers": len(numbers),
        "lowest": min(numbers, default=None),
        "highest": max(numbers, default=None),
        "pods": sorted(epoch.pods),
    }


def _gaps(verdict: Verdict) -> Iterator[str]:
    if verdict.missing:
        yield f"missing  {verdict.missing:,}, of which {verdict.unexplained:,} not accounted for"
    for gap in verdict.gaps[:EXAMPLES]:
        yield f"         {_span(gap.first, gap.last)}: {_explained(gap)}"
    if len(verdict.gaps) > EXAMPLES:
        yield f"         and {len(verdict.gaps) - EXAMPLES:,} more gaps"
    if verdict.unknown:
        yield f"unknown  {verdict.unknown:,} failed visits may have counted: up to as many skips could hide behind them"


def _explained(gap: Gap) -> str:
    if gap.unexplained:
        return f"{gap.explained:,} explained, {gap.unexplained:,} not accounted for"
    return "explained by requests that failed"


def _span(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


def _finding(finding: Finding, verdict: Verdict) -> Iterator[str]:
    promise = PROMISES[finding.kind]
    name = promise.name.replace("_", " ").capitalize()
    yield f"BROKEN   {promise}. {name}: {_counted(finding)}"
    for example in finding.examples:
        yield from _example(example, verdict)


def _counted(finding: Finding) -> str:
    return f"{PHRASES[finding.kind]} ({finding.count:,})"


def _example(example: Example, verdict: Verdict) -> Iterator[str]:
    if example.numbers:
        yield f"       - {_span(*example.numbers)} never came, but"
    for index, record in enumerate(example.records):
        yield f"       {' ' if index or example.numbers else '-'} {_told(record, verdict)}"


def _told(record: Record, verdict: Verdict) -> str:
    what = f"{record.number:,}" if record.number is not None else f"{record.status}"
    by = f" by {record.pod}" if record.pod else ""
    epoch = f" in {record.epoch or 'an empty store'}" if len(verdict.epochs) > 1 or record.epoch == "" else ""
    sent, answered = ((at - verdict.began) / 1e9 for at in (record.sent, record.answered))
    return f"{sent:.6f} to {answered:.6f} s: {'a read of ' if record.read else ''}{what}{by}{epoch}"


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "promise": PROMISES[finding.kind],
        "kind": finding.kind,
        "count": finding.count,
        "examples": [asdict(example) for example in finding.examples],
    }
