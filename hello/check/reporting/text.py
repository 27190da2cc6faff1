"""A verdict as text and as JSON."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from hello.check.history import Kind, Outcome, Record
from hello.check.judging.epochs import Epoch
from hello.check.judging.gaps import Gap
from hello.check.judging.losses import Silence
from hello.check.judging.shares import Repeat
from hello.check.judging.shown import MOST
from hello.check.judging.verdict import Example, Verdict

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
    yield from details(verdict, LINES)
    for question, answer, _ in answers(verdict):
        yield f"{question:<10} {answer}"
    yield summary(verdict)


# ---- the five questions


def answers(verdict: Verdict) -> Iterator[tuple[str, str, bool | None]]:
    """The five questions, their answers, and whether each is good (None: unknown)."""
    if not verdict.answered:
        for question in "Exact?", "Lost?", "In time?", "Repeated?", "Enough?":
            yield question, "Not known: no visit got a number.", None
        return
    yield "Exact?", _exact(verdict), not verdict.findings
    yield "Lost?", _lost(verdict), not verdict.lost_too_many
    yield "In time?", _in_time(verdict), not verdict.too_late
    yield "Repeated?", _repeated(verdict), None if verdict.repeated is None else not verdict.repeated_too_many
    yield "Enough?", _enough(verdict), verdict.enough or None


def _exact(verdict: Verdict) -> str:
    if verdict.findings:
        return f"No: {_wrong(verdict)}."
    return f"Yes: {', '.join(_claims(verdict))}."


def _claims(verdict: Verdict) -> Iterator[str]:
    """What the run proves of the numbers."""
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


def _lost(verdict: Verdict) -> str:
    if not verdict.lost:
        each = "the one visit" if verdict.due == 1 else f"each of {verdict.due:,} visits"
        return f"Nothing: {each} got a number."
    allowed = _allowed(verdict.lost_too_many, f"{verdict.rules.lost}")
    return f"{_lost_some(verdict)}, {allowed}: {outcomes(verdict.losses.lost_by_outcome)}.{_disrupted(verdict)}"


def _in_time(verdict: Verdict) -> str:
    silence = f"the longest time without an answer {verdict.longest and _silence(verdict.longest, verdict)}"
    told = f"the longest wait was {_seconds(verdict.losses.waited)}, {silence}"
    disrupted = "" if verdict.lost else _disrupted(verdict)
    if verdict.too_late:
        return f"No: {told}; {verdict.rules.gap:g} s are allowed.{disrupted}"
    return f"Yes: {told}.{disrupted}"


def _disrupted(verdict: Verdict) -> str:
    if not verdict.losses.disrupted:
        return ""
    return f" A visit was lost or waited for more than a second in {100 * verdict.disrupted:.1f} % of the seconds."


def _repeated(verdict: Verdict) -> str:
    if verdict.repeated is None:
        why = UNKNOWN_SHARES if verdict.rules.alone else "others may have visited (tell with --alone)"
        return f"Not known: {why}."
    if not verdict.repeated:
        return "Nothing: no pod counted more than it answered."
    allowed = _allowed(verdict.repeated_too_many, f"{verdict.rules.repeated:,}")
    examples = "; ".join(repeat_line(repeat, verdict) for repeat in verdict.repeats.first[:LINES])
    return (
        f"{many(verdict.repeated, 'number')} counted and answered to nobody, {allowed}: {examples}. "
        "A proxy sends a request again when a server dies; another visitor would look the same."
    )


def _allowed(too_many: bool, allowance: str) -> str:
    return f"{'more than' if too_many else 'within'} the {allowance} allowed"


def _enough(verdict: Verdict) -> str:
    unseen = ", ".join(_not_seen(verdict))
    return f"{_excluded(verdict)}{f' Not seen: {unseen}.' if unseen else ''}"


def _excluded(verdict: Verdict) -> str:
    """Which faults would have been seen, by the rule of three."""
    answers = many(verdict.answered, "answer")
    if not verdict.enough:
        return f"No: {answers}, and {verdict.rules.at_least:,} were asked for."
    if verdict.findings:
        return f"Yes: {answers}."
    if verdict.answered < 6:
        return f"Yes: {answers}, too few to exclude any fault."
    right, faults = (", all right,", "wrong ones") if verdict.lost else (" without a fault", "faults")
    return f"Yes: {answers}{right} exclude, at 95 %, {faults} more frequent than 1 in {verdict.answered // 3:,}."


def _not_seen(verdict: Verdict) -> Iterator[str]:
    if not verdict.losses.overlapped:
        yield "two visits at once"
    if not verdict.final:
        yield "the count at the end"
    if len(verdict.pods) == 1:
        yield "more than one pod"


# ---- one line


def summary(verdict: Verdict) -> str:
    """The verdict in one line."""
    right = "the numbers that came were right"
    if not verdict.answered:
        return f"Nothing could be judged: no visit got a number ({outcomes(verdict.losses.visits)})."
    if verdict.findings:
        advice = " Each pod counts for itself." if verdict.each_pod_for_itself else ""
        lost = f"; lost: {_lost_some(verdict)}" if verdict.lost else ""
        return f"Promise broken: {_wrong(verdict)}{lost}.{advice}"
    if verdict.own_fault:
        return f"Not judged: {_own_fault(verdict)}; {right}."
    if wrong := list(_too_much(verdict)):
        return f"{'; '.join(wrong)}; {right}."
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
    not_sent = verdict.losses.visits[Outcome.NOT_SENT]
    if not_sent * 10 > verdict.due + not_sent:
        return f"the checker could not send {many(not_sent, 'visit')}: too few files may be open (ulimit -n)"
    return _stalled(verdict)


def _stalled(verdict: Verdict) -> str:
    return f"the checker itself stood still for {verdict.losses.stood_still / 1e9:,.1f} of {verdict.seconds:,.1f} s"


def _lost_some(verdict: Verdict) -> str:
    return f"{verdict.lost:,} of {many(verdict.due, 'visit')} ({_share(verdict.lost, verdict.due)})"


def _wrong(verdict: Verdict) -> str:
    return "; ".join(f"{kind.phrase} ({examples.count:,})" for kind, examples in verdict.findings.items())


# ---- what was seen


def details(verdict: Verdict, most: int) -> Iterator[str]:
    """All that was seen, in at most so many lines of a kind."""
    losses, gaps = verdict.losses, verdict.gaps
    visits = losses.visits.total()
    rate = visits / verdict.seconds
    yield f"visits   {visits:,} in {verdict.seconds:,.1f} s ({rate:,.0f}/s): {outcomes(losses.visits)}"
    yield f"reads    {losses.reads.total():,}: {outcomes(losses.reads)}"
    if losses.stood_still:
        yield f"stalled  {_stalled(verdict)}; {losses.excused:,} visits that failed meanwhile are not counted as lost"
    yield from _some("epoch", map(_epoch, verdict.epochs), verdict.epochs.count, most)
    yield f"final    {f'{verdict.final.number:,}, read at the end' if verdict.final else 'not read'}"
    if gaps.missing:
        yield f"missing  {gaps.missing:,}, of which {verdict.unexplained:,} not accounted for by failed requests"
    yield from _some("", map(_gap, gaps), gaps.shown.count, most)
    if gaps.unknown:
        yield f"unknown  {gaps.unknown:,} failed visits may have counted: up to as many skips could hide behind them"
    for place in "url", "connection", "pod":
        yield from _parts(place, verdict)
    yield from _some("silence", (_silence(each, verdict) for each in verdict.outages), len(verdict.outages), most)
    lost = (f"{lost_line(each)}, sent at {_at(each.sent, verdict)}" for each in losses.lost)
    yield from _some("lost", lost, verdict.lost, most)
    if verdict.latency:
        yield f"latency  {latency(verdict)}"
    for kind, examples in verdict.findings.items():
        yield f"BROKEN   {broken(kind, examples.count)}"
        for example in examples.first[:most]:
            yield from _proof(example, verdict)
        if kind is Kind.SKIPPED and not verdict.shares_known:
            yield f"         {UNKNOWN_SHARES}"


def _some(kind: str, lines: Iterable[str], count: int, most: int) -> Iterator[str]:
    for text in islice(lines, most):
        yield f"{kind:<8} {text}"
    if count > most:
        yield f"         and {count - most:,} more"


def _epoch(epoch: Epoch) -> str:
    span = "no number" if epoch.lowest is None else f"numbers {epoch.lowest:,} to {epoch.highest:,}"
    return f"{epoch.name}: {span} in {many(epoch.answers, 'answer')} by {many(len(epoch.pods), 'pod')}"


def _gap(gap: Gap) -> str:
    explained = "explained by requests that failed"
    if gap.unexplained:
        explained = f"{gap.explained:,} explained, {gap.unexplained:,} not accounted for"
    return f"{_span(gap.first, gap.last)}: {explained}"


def _parts(place: str, verdict: Verdict) -> Iterator[str]:
    """Answers and losses by URL, connection or pod, unless all have the same one."""
    parts = {name: part for name, part in verdict.losses.parts(place).items() if part.answered or part.lost}
    for name, part in sorted(parts.items()) if len(parts) > 1 or place == "pod" else ():
        lost = f", {part.lost:,} lost" if part.lost else ""
        yield f"{place:<8} {name}: {part.answered:,} ({_share(part.answered, verdict.answered)}){lost}"


def _silence(silence: Silence, verdict: Verdict) -> str:
    return f"{_seconds(silence.length)} at {_at(silence.began, verdict)}, {around(silence)}"


def around(silence: Silence) -> str:
    before = f"after {silence.before}" if silence.before else "from the start on"
    after = f"until {silence.after} did" if silence.after else "to the end"
    return f"{before}, {after}"


def lost_line(record: Record) -> str:
    labels = record.labels
    what = NAMES.get(labels.outcome, labels.outcome)
    if labels.outcome is Outcome.STATUS:
        what = f"answered {labels.status}"
    pod = f", on {labels.pod}" if labels.pod else ""
    said = f": {labels.said}" if labels.said else ""
    return f"{what} over a {labels.connection} connection to {labels.url}{pod}{said}"


def repeat_line(repeat: Repeat, verdict: Verdict) -> str:
    """How many were repeated, on which pods and between which reads."""
    pods = ", ".join(f"{pod} ({count:,})" for pod, count in sorted(repeat.pods.items()))[:200]
    where = f" on {pods}" if pods else ""
    before = _at(repeat.before.answered, verdict)
    if repeat.after is None:
        return f"{repeat.number:,}{where} before {before}"
    return f"{repeat.number:,}{where} from {_at(repeat.after.sent, verdict)} to {before}"


def broken(kind: Kind, count: int) -> str:
    return f"{kind.promise}. {kind.promise.name.replace('_', ' ').capitalize()}: {kind.phrase} ({count:,})"


def _proof(example: Example, verdict: Verdict) -> Iterator[str]:
    """One line for each record that proves the finding."""
    lines = [f"{_span(*example.numbers)} never came, but"] if example.numbers else []
    for record in example.records:
        sent, answered = ((at - verdict.began) / 1e9 for at in (record.sent, record.answered))
        lines.append(f"{sent:.6f} to {answered:.6f} s: {answer_line(record, verdict)}")
    yield f"       - {lines[0]}"
    for text in lines[1:]:
        yield f"         {text}"


def answer_line(record: Record, verdict: Verdict) -> str:
    labels = record.labels
    what = f"{record.number:,}" if record.number is not None else f"{labels.status}"
    by = f" by {labels.pod}" if labels.pod else ""
    epoch = f" in {labels.epoch or 'an empty store'}" if verdict.epochs.count > 1 or labels.epoch == "" else ""
    return f"{'a read of ' if labels.read else ''}{what}{by}{epoch}"


def many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def outcomes(counted: Counter[Outcome]) -> str:
    return ", ".join(f"{count:,} {NAMES.get(outcome, outcome)}" for outcome, count in counted.most_common()) or "none"


def latency(verdict: Verdict) -> str:
    times = [f"p{percentile} {nanoseconds / 1e6:,.1f}" for percentile, nanoseconds in verdict.latency.items()]
    return f"{', '.join(times).replace('p100', 'max')} ms"


def _share(part: int, whole: int) -> str:
    """A share in percent; only none is 0 %, and only all is 100 %."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "under 0.1 %"
    return f"{percent:.1f} %" if part == whole or percent < 99.95 else "over 99.9 %"


def _at(moment: int, verdict: Verdict) -> str:
    return _seconds(moment - verdict.began)


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:,.3f} s"


def _span(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


# ---- JSON


def as_json(verdict: Verdict) -> dict[str, Any]:
    """Times are in nanoseconds."""
    losses, gaps = verdict.losses, verdict.gaps
    return {
        "exit_status": verdict.exit_status,
        "summary": summary(verdict),
        "answers": {question.rstrip("?"): {"good": good, "text": text} for question, text, good in answers(verdict)},
        "kept": not verdict.findings,
        "nanoseconds": verdict.ended - verdict.began,
        "visits": verdict.losses.visits,
        "reads": losses.reads,
        "due": verdict.due,
        "lost": verdict.lost,
        "lost_by_kind": losses.lost_by_outcome,
        "urls": losses.parts("url"),
        "connections": losses.parts("connection"),
        "pods": losses.parts("pod"),
        "latency": {f"p{percentile}": nanoseconds for percentile, nanoseconds in verdict.latency.items()},
        "waited_longest": verdict.waited_longest,
        "silences": verdict.outages,
        "longest_silence": verdict.longest,
        "disrupted": verdict.disrupted,
        "stood_still": losses.stood_still,
        "excused": losses.excused,
        "repeated": verdict.repeated,
        "epochs": [
            {"epoch": each.name, "answers": each.answers, "lowest": each.lowest, "highest": each.highest}
            for each in verdict.epochs
        ],
        "final": verdict.final and verdict.final.number,
        "missing": gaps.missing,
        "unexplained": verdict.unexplained,
        "unknown": gaps.unknown,
        "findings": [
            {"promise": kind.promise, "kind": kind, "count": examples.count}
            for kind, examples in verdict.findings.items()
        ],
        "details": list(details(verdict, MOST)),
    }
