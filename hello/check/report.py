"""A verdict in words, and as JSON."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from hello.check.history import Labels, Outcome, Record
from hello.check.verdict import EXAMPLES, PROMISES, Epoch, Example, Finding, Gap, Kind, Share, Silence, Verdict

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

NAMES = {
    Outcome.UNAVAILABLE: "unavailable (503)",
    Outcome.REFUSED: "refused a connection",
    Outcome.TIMEOUT: "timed out",
    Outcome.CLOSED: "closed without an answer",
    Outcome.STATUS: "of another status",
}

REPEATED = (
    "A proxy that repeats a GET when a server dies, as nginx and Envoy do, skips numbers as well: --alone cannot tell."
)


def as_text(verdict: Verdict, late: int = 0) -> Iterator[str]:
    """Lines for a person: what was seen, what was wrong, the three answers, and what they come to.

    late: visits of an open loop that were not made.
    """
    seconds = max(verdict.ended - verdict.began, 1) / 1e9
    sent = verdict.visits.total()
    yield f"visits   {sent:,} in {seconds:,.1f} s ({sent / seconds:,.0f}/s): {outcomes(verdict.visits)}"
    yield f"reads    {verdict.reads.total():,}: {outcomes(verdict.reads)}"
    if late:
        yield f"late     {late:,} visits were not made: all clients were waiting (raise --clients)"
    if verdict.retried:
        yield f"retried  {verdict.retried:,} after a 503; {verdict.served_by_retry:,} got a number that way"
    for epoch in verdict.epochs[:EXAMPLES]:
        yield f"epoch    {epoch_line(epoch)}"
    if len(verdict.epochs) > EXAMPLES:
        yield f"         and {len(verdict.epochs) - EXAMPLES:,} more epochs"
    yield f"final    {_final(verdict)}"
    yield from _gaps(verdict)
    losses = verdict.losses
    for name, shares in ("url", losses.urls), ("address", losses.addresses), ("kind", losses.connections):
        if len(shares) > 1:
            yield from _shares(name, shares, verdict)
    yield from _shares("pod", losses.pods, verdict)
    if verdict.latency:
        yield f"latency  {latency(verdict)}"
    for finding in verdict.findings:
        yield from _finding(finding, verdict)
    yield f"Exact?   {exact(verdict)}"
    yield f"Lost?    {lost(verdict)}"
    yield f"Enough?  {enough(verdict)}"
    yield summary(verdict)


def as_json(verdict: Verdict, late: int = 0) -> dict[str, Any]:
    """The same for machines; times in nanoseconds."""
    losses = verdict.losses
    return {
        "exit_status": verdict.exit_status,
        "summary": summary(verdict),
        "kept": not verdict.findings,
        "lost": verdict.lost,
        "lost_by_kind": losses.kinds,
        "allowed": verdict.allowed.of(verdict.answered + verdict.lost),
        "silences": [_silence_json(silence, verdict) for silence in losses.silences],
        "excluded": verdict.excluded,
        "not_seen": list(not_seen(verdict)),
        "nanoseconds": verdict.ended - verdict.began,
        "visits": verdict.visits,
        "reads": verdict.reads,
        "late": late,
        "retried": verdict.retried,
        "served_by_retry": verdict.served_by_retry,
        "epochs": [_epoch_json(epoch) for epoch in verdict.epochs],
        "final": verdict.final and verdict.final.number,
        "pods_read_last": sorted(verdict.pods_read_last),
        "missing": verdict.missing,
        "unexplained": verdict.unexplained,
        "unknown": verdict.unknown,
        "gaps": [{"first": gap.first, "last": gap.last, "explained": gap.explained} for gap in verdict.gaps],
        "urls": {name: asdict(share) for name, share in losses.urls.items()},
        "addresses": {name: asdict(share) for name, share in losses.addresses.items()},
        "connections": {name: asdict(share) for name, share in losses.connections.items()},
        "pods": {name: asdict(share) for name, share in losses.pods.items()},
        "latency": {f"p{percentile}": nanoseconds for percentile, nanoseconds in verdict.latency.items()},
        "each_pod_for_itself": verdict.each_pod_for_itself,
        "findings": [_finding_json(finding) for finding in verdict.findings],
    }


def exact(verdict: Verdict) -> str:
    """The answer to the first question."""
    if verdict.findings:
        advice = " The pods count each for itself; one store for all of them would mend that."
        return f"No: {_wrong(verdict)}.{advice if verdict.each_pod_for_itself else ''}"
    if not verdict.answered:
        return "Not known: no visit got a number."
    return f"Yes: {', '.join(_claims(verdict))}."


def _claims(verdict: Verdict) -> Iterator[str]:
    """What can be said of numbers that are right; what was not seen is not claimed."""
    yield "each visitor got a number of its own"
    if verdict.answered > 1:
        yield "in order under load" if verdict.overlapped else "in order"
    if verdict.final:
        yield "none forgotten"
    if not verdict.missing:
        yield "none skipped"
    elif not verdict.unexplained:
        yield f"{verdict.missing:,} missing, each explained by a request that failed"
    else:
        yield f"{verdict.unexplained:,} not accounted for: others visited, or they were skipped (tell with --alone)"


def lost(verdict: Verdict) -> str:
    """The answer to the second question."""
    made = verdict.answered + verdict.lost
    silence = verdict.losses.longest
    pause = f" The longest time without an answer: {silence_line(silence, verdict)}." if silence else ""
    if not made:
        return "Not known: no visit was made."
    if not verdict.lost:
        return f"Nothing: {'the one visit' if made == 1 else f'each of {made:,} visits'} got a number.{pause}"
    allowed = f"{'more than' if verdict.lost_too_many else 'within'} the {verdict.allowed} allowed"
    kinds = outcomes(verdict.losses.kinds)
    return f"{verdict.lost:,} of {many(made, 'visit')} ({share(verdict.lost, made)}), {allowed}: {kinds}.{pause}"


def enough(verdict: Verdict) -> str:
    """The answer to the third question."""
    unseen = ", ".join(not_seen(verdict))
    return f"{_excluded(verdict)}{f' Not seen: {unseen}.' if unseen else ''}"


def _excluded(verdict: Verdict) -> str:
    answers = many(verdict.answered, "answer")
    if not verdict.enough:
        return f"No: {answers}, and {verdict.at_least:,} were asked for."
    if verdict.findings:
        return f"Yes: {answers}."
    if not verdict.excluded:
        return f"Yes: {answers}, too few to exclude any fault."
    if verdict.lost:
        return f"Yes: {answers}, all right, exclude, at 95 %, wrong ones more frequent than 1 in {verdict.excluded:,}."
    return f"Yes: {answers} without a fault exclude, at 95 %, faults more frequent than 1 in {verdict.excluded:,}."


def not_seen(verdict: Verdict) -> Iterator[str]:
    """What the run says nothing of."""
    if not verdict.answered:
        return
    if not verdict.overlapped:
        yield "two visits at once"
    if not verdict.final:
        yield "the count at the end"
    if len(verdict.pods) == 1:
        yield "more than one pod"


def summary(verdict: Verdict) -> str:
    """One line: what the three answers come to."""
    if not verdict.answered:
        return f"Nothing could be judged: no visit got a number ({outcomes(verdict.visits)})."
    made = verdict.answered + verdict.lost
    some = f"{verdict.lost:,} of {many(made, 'visit')} ({share(verdict.lost, made)})"
    if verdict.findings:
        advice = " The pods count each for itself." if verdict.each_pod_for_itself else ""
        return f"Promise broken: {_wrong(verdict)}{f'; lost: {some}' if verdict.lost else ''}.{advice}"
    if verdict.lost_too_many:
        return f"Visits lost: {some}; the numbers that came were right."
    if not verdict.enough:
        return f"Too little seen: {many(verdict.answered, 'answer')}, and {verdict.at_least:,} were asked for."
    told = f"{many(verdict.answered, 'visitor')} counted by {many(len(verdict.pods), 'pod')}"
    told += f", lost: {some}, as allowed" if verdict.lost else ", none lost"
    if verdict.outages and verdict.losses.longest:
        told += f", though nobody was answered for {verdict.losses.longest.length / 1e9:,.1f} s"
    return f"Promise kept: {told}."


def many(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def share(part: int, whole: int) -> str:
    """A share in percent, which is 0 or 100 only if it is none or all."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "under 0.1 %"
    return f"{percent:.1f} %" if part == whole or percent < 99.95 else "over 99.9 %"


def outcomes(counted: Counter[Outcome]) -> str:
    """How many of each, the most frequent first."""
    return ", ".join(f"{count:,} {NAMES.get(outcome, outcome)}" for outcome, count in counted.most_common()) or "none"


def outcome_name(labels: Labels) -> str:
    """What became of it."""
    if labels.outcome is Outcome.STATUS:
        return f"answered {labels.status}"
    return NAMES.get(labels.outcome, labels.outcome)


def latency(verdict: Verdict) -> str:
    """The percentiles."""
    latencies = (
        f"{f'p{percentile}' if percentile < 100 else 'max'} {nanoseconds / 1e6:,.1f}"
        for percentile, nanoseconds in verdict.latency.items()
    )
    return f"{', '.join(latencies)} ms"


def silence_line(silence: Silence, verdict: Verdict) -> str:
    """How long nobody was answered, when, and who answered before and after."""
    return f"{silence.length / 1e9:,.3f} s at {(silence.began - verdict.began) / 1e9:,.3f} s, {around(silence)}"


def around(silence: Silence) -> str:
    """Who answered before and after."""
    before = f"after {silence.before.pod}" if silence.before else "from the start on"
    after = f"until {silence.after.pod} did" if silence.after else "to the end"
    return f"{before}, {after}"


def epoch_line(epoch: Epoch) -> str:
    """Its numbers, and how many pods gave them."""
    numbers = [record.number or 0 for record in epoch.answers]
    span = f"numbers {min(numbers):,} to {max(numbers):,}" if numbers else "no number"
    return f"{epoch.name}: {span} in {many(len(numbers), 'answer')} by {many(len(epoch.pods), 'pod')}"


def _final(verdict: Verdict) -> str:
    if not verdict.final:
        return "not read"
    told = len(verdict.pods_read_last)
    pods = f" from {told:,} of {many(len(verdict.pods), 'pod')}" if told else ""
    return f"{verdict.final.number:,}, read at the end{pods}"


def _wrong(verdict: Verdict) -> str:
    return "; ".join(counted(finding) for finding in verdict.findings)


def _shares(kind: str, shares: dict[str, Share], verdict: Verdict) -> Iterator[str]:
    for name, part in sorted(shares.items()):
        lost_some = f", {part.lost:,} lost" if part.lost else ""
        yield f"{kind:<8} {name}: {part.answered:,} ({share(part.answered, verdict.answered)}){lost_some}"


def _silence_json(silence: Silence, verdict: Verdict) -> dict[str, Any]:
    return {
        "began": silence.began - verdict.began,
        "nanoseconds": silence.length,
        "before": silence.before and silence.before.pod,
        "after": silence.after and silence.after.pod,
    }


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
    yield f"BROKEN   {title(finding)}"
    for example in finding.examples:
        for index, line in enumerate(proof(example, verdict)):
            yield f"       {' ' if index else '-'} {line}"
    if finding.kind is Kind.MISSING:
        yield f"         {REPEATED}"


def title(finding: Finding) -> str:
    """The promise that was broken, how, and how often."""
    promise = PROMISES[finding.kind]
    return f"{promise}. {promise.name.replace('_', ' ').capitalize()}: {counted(finding)}"


def counted(finding: Finding) -> str:
    """What was wrong, and how often."""
    return f"{PHRASES[finding.kind]} ({finding.count:,})"


def proof(example: Example, verdict: Verdict) -> Iterator[str]:
    """What proves it, a line for each record."""
    if example.numbers:
        yield f"{_span(*example.numbers)} never came, but"
    for record in example.records:
        yield record_line(record, verdict)


def record_line(record: Record, verdict: Verdict) -> str:
    """A record: when it was sent and answered, what, by whom."""
    labels = record.labels
    what = f"{record.number:,}" if record.number is not None else f"{labels.status}"
    by = f" by {labels.pod}" if labels.pod else ""
    epoch = f" in {labels.epoch or 'an empty store'}" if len(verdict.epochs) > 1 or labels.epoch == "" else ""
    sent, answered = ((at - verdict.began) / 1e9 for at in (record.sent, record.answered))
    return f"{sent:.6f} to {answered:.6f} s: {'a read of ' if labels.read else ''}{what}{by}{epoch}"


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "promise": PROMISES[finding.kind],
        "kind": finding.kind,
        "count": finding.count,
        "examples": [asdict(example) for example in finding.examples],
    }
