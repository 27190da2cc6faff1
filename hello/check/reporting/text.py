"""A verdict in words, and as JSON."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from hello.check.history import Kind, Labels, Outcome, Record
from hello.check.judging.epochs import Epoch
from hello.check.judging.gaps import Gap
from hello.check.judging.losses import Part, Silence
from hello.check.judging.verdict import Example, Finding, Repeat, Verdict

LINES = 5  # of what there may be a hundred of

NAMES = {
    Outcome.UNAVAILABLE: "unavailable (503)",
    Outcome.REFUSED: "refused a connection",
    Outcome.TIMEOUT: "timed out",
    Outcome.CLOSED: "closed without an answer",
    Outcome.STATUS: "of another status",
}

UNKNOWN_SHARES = "the server tells no shares: a proxy that repeats a GET when a server dies skips numbers as well"


def as_text(verdict: Verdict) -> Iterator[str]:
    """Lines for a person: what was seen, what was wrong, the five answers, and what they come to."""
    losses = verdict.losses
    sent = verdict.visits.total()
    rate = sent / verdict.seconds
    yield f"visits   {sent:,} in {verdict.seconds:,.1f} s ({rate:,.0f}/s): {outcomes(verdict.visits)}"
    yield f"reads    {losses.reads.total():,}: {outcomes(losses.reads)}"
    if losses.stood_still:
        yield f"stalled  {still(verdict)}; {losses.excused:,} visits that failed meanwhile are not counted as lost"
    for epoch in verdict.epochs[:LINES]:
        yield f"epoch    {epoch_line(epoch)}"
    if verdict.epoch_count > LINES:
        yield f"         and {verdict.epoch_count - LINES:,} more epochs"
    yield f"final    {_final(verdict)}"
    yield from _gaps(verdict)
    for name, parts in ("url", losses.urls), ("address", losses.addresses), ("kind", losses.connections):
        if len(parts) > 1:
            yield from _parts(name, parts, verdict)
    yield from _parts("pod", losses.pods, verdict)
    yield from _said(verdict)
    if verdict.latency:
        yield f"latency  {latency(verdict)}"
    for finding in verdict.findings:
        yield from _finding(finding, verdict)
    for question, answer, _ in answers(verdict):
        yield f"{question:<10} {answer}"
    yield summary(verdict)


def answers(verdict: Verdict) -> Iterator[tuple[str, str, bool | None]]:
    """The five questions, their answers, and whether each is good; None: it is not known."""
    judged = bool(verdict.answered)
    yield "Exact?", exact(verdict), not verdict.findings if judged else None
    yield "Lost?", lost(verdict), not verdict.lost_too_many if judged else None
    yield "In time?", in_time(verdict), not verdict.too_late if judged else None
    yield "Repeated?", repeated(verdict), None if verdict.repeated is None else not verdict.repeated_too_many
    yield "Enough?", enough(verdict), verdict.enough or None


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The same for machines; times in nanoseconds. Of losses, gaps and proofs, the first and last hundred are told."""
    losses, gaps = verdict.losses, verdict.gaps
    return {
        "exit_status": verdict.exit_status,
        "summary": summary(verdict),
        "answers": {question.rstrip("?"): {"good": good, "text": text} for question, text, good in answers(verdict)},
        "kept": not verdict.findings,
        "due": verdict.due,
        "lost": verdict.lost,
        "lost_by_kind": losses.kinds,
        "allowed": verdict.rules.lost.of(verdict.due),
        "said": [{"status": status, "said": said, "count": count} for (status, said), count in losses.said.items()],
        "waited_longest": verdict.waited_longest,
        "silences": [_silence_json(silence, verdict) for silence in verdict.outages],
        "longest_silence": verdict.longest and _silence_json(verdict.longest, verdict),
        "disrupted": verdict.disrupted,
        "stood_still": losses.stood_still,
        "excused": losses.excused,
        "repeated": verdict.repeated,
        "repeats": [_repeat_json(repeat, verdict) for repeat in verdict.repeats],
        "excluded": verdict.excluded,
        "not_seen": list(not_seen(verdict)),
        "nanoseconds": verdict.ended - verdict.began,
        "visits": verdict.visits,
        "reads": losses.reads,
        "epochs": [_epoch_json(epoch) for epoch in verdict.epochs],
        "final": verdict.final and verdict.final.number,
        "pods_read_last": sorted(verdict.pods_read_last),
        "missing": gaps.missing,
        "unexplained": verdict.unexplained,
        "unknown": gaps.unknown,
        "gaps": [{"first": gap.first, "last": gap.last, "explained": gap.explained} for gap in gaps],
        "urls": {name: asdict(part) for name, part in losses.urls.items()},
        "addresses": {name: asdict(part) for name, part in losses.addresses.items()},
        "connections": {name: asdict(part) for name, part in losses.connections.items()},
        "pods": {name: asdict(part) for name, part in losses.pods.items()},
        "latency": {f"p{percentile}": nanoseconds for percentile, nanoseconds in verdict.latency.items()},
        "each_pod_for_itself": verdict.each_pod_for_itself,
        "findings": [_finding_json(finding) for finding in verdict.findings],
    }


def exact(verdict: Verdict) -> str:
    """The answer to the first question."""
    if verdict.findings:
        advice = " Each pod counts for itself; give them one store."
        return f"No: {_wrong(verdict)}.{advice if verdict.each_pod_for_itself else ''}"
    if not verdict.answered:
        return "Not known: no visit got a number."
    return f"Yes: {', '.join(_claims(verdict))}."


def _claims(verdict: Verdict) -> Iterator[str]:
    """What can be said of numbers that are right; what was not seen is not claimed."""
    yield "each visitor got a number of its own"
    if verdict.answered > 1:
        yield "in order under load" if verdict.losses.overlapped else "in order"
    if verdict.final:
        yield "none forgotten"
    missing = verdict.gaps.missing
    if not missing:
        yield "none skipped"
    elif not verdict.unexplained:
        yield f"{missing:,} missing, each explained by a request that failed"
    elif verdict.rules.alone:
        yield f"{verdict.unexplained:,} missing, which pods counted and nobody got"
    else:
        yield f"{verdict.unexplained:,} not accounted for: others visited, or they were skipped (tell with --alone)"


def lost(verdict: Verdict) -> str:
    """The answer to the second question."""
    if not verdict.due:
        return "Not known: no visit was made."
    if not verdict.lost:
        each = "the one visit" if verdict.due == 1 else f"each of {verdict.due:,} visits"
        return f"Nothing: {each} got a number."
    allowed = f"{'more than' if verdict.lost_too_many else 'within'} the {verdict.rules.lost} allowed"
    return f"{_lost_some(verdict)}, {allowed}: {outcomes(verdict.losses.kinds)}.{_disrupted(verdict)}"


def _lost_some(verdict: Verdict) -> str:
    return f"{verdict.lost:,} of {many(verdict.due, 'visit')} ({share(verdict.lost, verdict.due)})"


def _disrupted(verdict: Verdict) -> str:
    if not verdict.losses.disrupted:
        return ""
    return f" A visit was lost or waited for more than a second in {100 * verdict.disrupted:.1f} % of the seconds."


def in_time(verdict: Verdict) -> str:
    """The answer to the third question."""
    if not verdict.answered:
        return "Not known: no visit got a number."
    told = f"the longest wait was {_seconds(verdict.losses.waited)}"
    if verdict.longest:
        told += f", the longest time without an answer {silence_line(verdict.longest, verdict)}"
    allowed = f"{verdict.rules.gap:g} s are allowed"
    if verdict.too_late:
        return f"No: {told}; {allowed}.{_disrupted(verdict) if not verdict.lost else ''}"
    return f"Yes: {told}.{_disrupted(verdict) if not verdict.lost else ''}"


def repeated(verdict: Verdict) -> str:
    """The answer to the fourth question."""
    if verdict.repeated is None:
        why = UNKNOWN_SHARES if verdict.rules.alone else "others may have visited (tell with --alone)"
        return f"Not known: {why}."
    if not verdict.repeated:
        return "Nothing: no pod counted more than it answered."
    allowed = f"{'more than' if verdict.repeated_too_many else 'within'} the {verdict.rules.repeated:,} allowed"
    examples = "; ".join(repeat_line(repeat, verdict) for repeat in verdict.repeats.first[:LINES])
    return (
        f"{many(verdict.repeated, 'number')} counted and answered to nobody, {allowed}: {examples}. "
        "A proxy sends a request again when a server dies; another visitor would look the same."
    )


def repeat_line(repeat: Repeat, verdict: Verdict) -> str:
    """How many, on which pods, between which reads."""
    excess = repeat.excess
    pods = ", ".join(f"{pod} ({count:,})" for pod, count in sorted(excess.pods.items()))[:200]
    where = f" on {pods}" if pods else ""
    if excess.after is None:
        return f"{repeat.number:,}{where} before {_at(excess.before.answered, verdict)}"
    return f"{repeat.number:,}{where} from {_at(excess.after.sent, verdict)} to {_at(excess.before.answered, verdict)}"


def enough(verdict: Verdict) -> str:
    """The answer to the fifth question."""
    unseen = ", ".join(not_seen(verdict))
    return f"{_excluded(verdict)}{f' Not seen: {unseen}.' if unseen else ''}"


def _excluded(verdict: Verdict) -> str:
    answers = many(verdict.answered, "answer")
    if not verdict.enough:
        return f"No: {answers}, and {verdict.rules.at_least:,} were asked for."
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
    if not verdict.losses.overlapped:
        yield "two visits at once"
    if not verdict.final:
        yield "the count at the end"
    if len(verdict.pods) == 1:
        yield "more than one pod"


def summary(verdict: Verdict) -> str:
    """One line: what the five answers come to."""
    if not verdict.answered:
        return f"Nothing could be judged: no visit got a number ({outcomes(verdict.visits)})."
    if verdict.findings:
        advice = " Each pod counts for itself." if verdict.each_pod_for_itself else ""
        wrong = [_wrong(verdict), *([f"lost: {_lost_some(verdict)}"] if verdict.lost else ())]
        return f"Promise broken: {'; '.join(wrong)}.{advice}"
    if verdict.own_fault:
        return f"Not judged: {_own_fault(verdict)}; the numbers that came were right."
    if wrong := list(_too_much(verdict)):
        return f"{'; '.join(wrong)}; the numbers that came were right."
    if not verdict.enough:
        return f"Too little seen: {many(verdict.answered, 'answer')}, and {verdict.rules.at_least:,} were asked for."
    return f"Promise kept: {', '.join(_kept(verdict))}."


def _too_much(verdict: Verdict) -> Iterator[str]:
    if verdict.lost_too_many:
        yield f"Visits lost: {_lost_some(verdict)}"
    if verdict.too_late:
        yield f"Too late: a visitor waited, or nobody was answered, for {verdict.waited_longest / 1e9:,.1f} s"
    if verdict.repeated_too_many:
        yield f"Requests repeated: {verdict.repeated or 0:,}"


def _kept(verdict: Verdict) -> Iterator[str]:
    yield f"{many(verdict.answered, 'visitor')} counted by {many(len(verdict.pods), 'pod')}"
    yield f"lost: {_lost_some(verdict)}, as allowed" if verdict.lost else "none lost"
    if verdict.repeated:
        yield f"repeated: {verdict.repeated:,}, as allowed"
    if verdict.outages and verdict.longest:
        yield f"though nobody was answered for {verdict.longest.length / 1e9:,.1f} s"


def _own_fault(verdict: Verdict) -> str:
    not_sent = verdict.visits[Outcome.NOT_SENT]
    if not_sent * 10 > verdict.due + not_sent:
        return f"the checker could not send {many(not_sent, 'visit')}: too few files may be open (ulimit -n)"
    return still(verdict)


def still(verdict: Verdict) -> str:
    """For how long the checker did not run."""
    return f"the checker itself stood still for {verdict.losses.stood_still / 1e9:,.1f} of {verdict.seconds:,.1f} s"


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
    return f"{_seconds(silence.length)} at {_at(silence.began, verdict)}, {around(silence)}"


def _at(moment: int, verdict: Verdict) -> str:
    return _seconds(moment - verdict.began)


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:,.3f} s"


def around(silence: Silence) -> str:
    """Who answered before and after."""
    before = f"after {silence.before.pod}" if silence.before else "from the start on"
    after = f"until {silence.after.pod} did" if silence.after else "to the end"
    return f"{before}, {after}"


def epoch_line(epoch: Epoch) -> str:
    """Its numbers, and how many pods gave them."""
    span = "no number" if epoch.lowest is None else f"numbers {epoch.lowest:,} to {epoch.highest:,}"
    return f"{epoch.name}: {span} in {many(epoch.answers, 'answer')} by {many(len(epoch.pods), 'pod')}"


def _final(verdict: Verdict) -> str:
    if not verdict.final:
        return "not read"
    told = len(verdict.pods_read_last)
    pods = f" from {told:,} of {many(len(verdict.pods), 'pod')}" if told else ""
    return f"{verdict.final.number:,}, read at the end{pods}"


def _wrong(verdict: Verdict) -> str:
    return "; ".join(counted(finding) for finding in verdict.findings)


def _said(verdict: Verdict) -> Iterator[str]:
    for (status, said), count in verdict.losses.said.most_common(LINES):
        yield f"said     {count:,} x {status}: {said or '(nothing)'}"


def _parts(kind: str, parts: dict[str, Part], verdict: Verdict) -> Iterator[str]:
    for name, part in sorted(parts.items()):
        lost_some = f", {part.lost:,} lost" if part.lost else ""
        yield f"{kind:<8} {name}: {part.answered:,} ({share(part.answered, verdict.answered)}){lost_some}"


def _silence_json(silence: Silence, verdict: Verdict) -> dict[str, Any]:
    return {
        "began": silence.began - verdict.began,
        "nanoseconds": silence.length,
        "before": silence.before and silence.before.pod,
        "after": silence.after and silence.after.pod,
    }


def _repeat_json(repeat: Repeat, verdict: Verdict) -> dict[str, Any]:
    after, before = repeat.excess.after, repeat.excess.before
    return {
        "count": repeat.number,
        "pods": repeat.excess.pods,
        "after": after and after.sent - verdict.began,
        "before": before.answered - verdict.began,
    }


def _epoch_json(epoch: Epoch) -> dict[str, Any]:
    return {
        "epoch": epoch.name,
        "answers": epoch.answers,
        "lowest": epoch.lowest,
        "highest": epoch.highest,
        "pods": sorted(epoch.pods),
    }


def _gaps(verdict: Verdict) -> Iterator[str]:
    gaps = verdict.gaps
    if gaps.missing:
        yield f"missing  {gaps.missing:,}, of which {verdict.unexplained:,} not accounted for by failed requests"
    for gap in list(gaps)[:LINES]:
        yield f"         {_span(gap.first, gap.last)}: {_explained(gap)}"
    if gaps.shown.count > LINES:
        yield f"         and {gaps.shown.count - LINES:,} more gaps"
    if gaps.unknown:
        yield f"unknown  {gaps.unknown:,} failed visits may have counted: up to as many skips could hide behind them"


def _explained(gap: Gap) -> str:
    if gap.unexplained:
        return f"{gap.explained:,} explained, {gap.unexplained:,} not accounted for"
    return "explained by requests that failed"


def _span(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


def _finding(finding: Finding, verdict: Verdict) -> Iterator[str]:
    yield f"BROKEN   {title(finding)}"
    for example in finding.examples.first[:LINES]:
        for index, line in enumerate(proof(example, verdict)):
            yield f"       {' ' if index else '-'} {line}"
    if finding.kind is Kind.SKIPPED and not verdict.shares_known:
        yield f"         {UNKNOWN_SHARES}"


def title(finding: Finding) -> str:
    """The promise that was broken, how, and how often."""
    return f"{promise(finding.kind)}: {counted(finding)}"


def promise(kind: Kind) -> str:
    """The number and the name of the promise that it breaks."""
    return f"{kind.promise}. {kind.promise.name.replace('_', ' ').capitalize()}"


def counted(finding: Finding) -> str:
    """What was wrong, and how often."""
    return f"{finding.kind.phrase} ({finding.count:,})"


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
    epoch = f" in {labels.epoch or 'an empty store'}" if verdict.epoch_count > 1 or labels.epoch == "" else ""
    sent, answered = ((at - verdict.began) / 1e9 for at in (record.sent, record.answered))
    return f"{sent:.6f} to {answered:.6f} s: {'a read of ' if labels.read else ''}{what}{by}{epoch}"


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "promise": finding.kind.promise,
        "kind": finding.kind,
        "count": finding.count,
        "examples": [_example_json(example) for example in finding.examples],
    }


def _example_json(example: Example) -> dict[str, Any]:
    times = ({"sent": each.sent, "answered": each.answered, "number": each.number} for each in example.records)
    records = [time | asdict(each.labels) for time, each in zip(times, example.records, strict=True)]
    return {"records": records, "numbers": example.numbers}
