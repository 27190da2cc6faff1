"""The judgement: from the records of a run alone, which promises were broken, and what cannot be known.

Nothing here accuses without proof. Request a is before request b only if a's answer had arrived strictly before b was
sent; all else is concurrent, where any order is legal.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter

from hello.check.history import Flaw, Outcome, Record
from hello.check.losses import losses
from hello.check.verdict import PROMISES, Allowance, Epoch, Findings, Gap, Kind, Verdict

PERCENTILES = (50, 90, 99, 100)

_KINDS = {
    Flaw.CACHED: Kind.CACHED,
    Flaw.STORABLE: Kind.STORABLE,
    Flaw.NO_NUMBER: Kind.NO_NUMBER,
    Flaw.CONTRADICTION: Kind.CONTRADICTION,
    Flaw.NO_RETRY_AFTER: Kind.NO_RETRY_AFTER,
}


def judge(
    records: Sequence[Record],
    *,
    alone: bool = False,
    allow_reset: bool = False,
    allowed: Allowance | None = None,
    at_least: int = 1,
) -> Verdict:
    """Judge a run, in n log n of its records.

    alone: nobody else visited, so that a missing number which no request of unknown outcome explains breaks a promise.
    allow_reset: a new epoch was announced, so that it breaks none.
    allowed: how many visits may be lost; none unless told. at_least: how many must be answered.
    """
    findings = Findings()
    for record in records:
        if record.labels.flaw:
            findings.add(_KINDS[record.labels.flaw], record)
    answers = [record for record in records if record.labels.outcome is Outcome.ANSWERED]
    seen = [record for record in answers if record.labels.epoch]
    if len(seen) < len(answers) and not allow_reset:
        _judge_empty_reads(answers, findings)
    del answers
    _judge_order(seen, findings)
    epochs = _epochs(seen)
    _judge_epochs(epochs, findings, allow_reset=allow_reset)
    gaps = [gap for epoch in epochs for gap in _judge_numbers(epoch, findings)]
    unknown = sorted(record.sent for record in records if record.labels.unknown)
    _explain(gaps, unknown)
    if alone:
        _judge_gaps(gaps, findings)
    visits = [record for record in seen if not record.labels.read]
    return Verdict(
        visits=Counter(record.labels.outcome for record in records if not record.labels.read),
        reads=Counter(record.labels.outcome for record in records if record.labels.read),
        began=min((record.sent for record in records), default=0),
        ended=max((record.answered for record in records), default=0),
        epochs=epochs,
        latency=_percentiles(sorted(record.answered - record.sent for record in visits)),
        gaps=gaps,
        unknown=len(unknown),
        retried=sum(record.labels.attempt == 2 for record in records),
        served_by_retry=sum(record.labels.attempt > 1 for record in visits),
        last_reads=_last_reads(seen),
        overlapped=_overlapped(visits),
        losses=losses(records),
        findings=sorted(findings.values(), key=lambda finding: PROMISES[finding.kind]),
        alone=alone,
        allowed=allowed or Allowance(),
        at_least=at_least,
    )


def _judge_empty_reads(answers: list[Record], findings: Findings) -> None:
    """A store that holds nothing has no epoch yet: right, unless an answer had come out of it before."""
    first = min((record for record in answers if record.labels.epoch), key=attrgetter("answered"), default=None)
    for record in answers:
        if first and not record.labels.epoch and first.answered < record.sent:
            findings.add(Kind.FORGOTTEN, first, record)


@dataclass(slots=True)
class _Arrived:
    """The highest that an epoch has shown so far, in a number given and in a read."""

    given: Record | None = None
    read: Record | None = None

    def add(self, record: Record) -> None:
        if record.labels.read:
            self.read = _higher(self.read, record)
        else:
            self.given = _higher(self.given, record)


def _higher(old: Record | None, new: Record) -> Record:
    return new if old is None or _number(new) > _number(old) else old


def _number(record: Record) -> int:
    return record.number or 0


def _judge_order(seen: list[Record], findings: Findings) -> None:
    """In the order of sending, compare each answer to the highest that had arrived strictly before it was sent for."""
    arrivals = sorted(seen, key=attrgetter("answered"))
    arrived: defaultdict[str | None, _Arrived] = defaultdict(_Arrived)
    following = 0
    for record in sorted(seen, key=attrgetter("sent")):
        while arrivals[following].answered < record.sent:
            arrived[arrivals[following].labels.epoch].add(arrivals[following])
            following += 1
        _compare(record, arrived[record.labels.epoch], findings)


def _compare(record: Record, before: _Arrived, findings: Findings) -> None:
    number = _number(record)
    given, read = before.given, before.read
    if record.labels.read:
        if given and number < _number(given):
            findings.add(Kind.FORGOTTEN, given, record)
        if read and number < _number(read):
            findings.add(Kind.READ_WENT_BACK, read, record)
    elif given and number < _number(given):  # the same number is not out of order but given twice
        findings.add(Kind.OUT_OF_ORDER, given, record)
    elif read and number <= _number(read):
        findings.add(Kind.OUT_OF_ORDER, read, record)


def _epochs(seen: list[Record]) -> list[Epoch]:
    """The epochs, by when the first answer of each arrived."""
    epochs: dict[str, Epoch] = {}
    for record in seen:
        name = record.labels.epoch or ""
        epoch = epochs.get(name)
        if epoch is None:
            epoch = epochs[name] = Epoch(name, record, record)
        if record.answered < epoch.first.answered:
            epoch.first = record
        if record.sent > epoch.last.sent:
            epoch.last = record
        (epoch.reads if record.labels.read else epoch.answers).append(record)
        if record.labels.pod:
            epoch.pods.add(record.labels.pod)
    return sorted(epochs.values(), key=lambda epoch: epoch.first.answered)


def _judge_epochs(epochs: list[Epoch], findings: Findings, *, allow_reset: bool) -> None:
    """Find epochs that answer in turn, or else, unless announced, each new one.

    Which of two epochs is newer cannot be seen in an answer. But if x had answered before a request was sent that y
    answered, y is the newer one; if the reverse is true as well, one of them answered after it had been replaced.
    """
    latest: list[Epoch] = []  # latest[i]: of epochs[:i + 1], the one whose last request was sent last
    for epoch in epochs:
        latest.append(max(epoch, latest[-1], key=_last_sent) if latest else epoch)
    involved: set[str] = set()
    for index, epoch in enumerate(epochs):
        older = min(index, bisect_left(epochs, epoch.last.sent, key=_first_answered))
        if older and latest[older - 1].last.sent > epoch.first.answered:
            other = latest[older - 1]
            new = {epoch.name, other.name} - involved
            involved |= new
            proof = sorted((other.first, epoch.first, other.last, epoch.last), key=attrgetter("sent"))
            findings.add(Kind.EPOCHS_IN_TURN, *proof, count=len(new))
    if Kind.EPOCHS_IN_TURN not in findings and not allow_reset:
        for old, young in pairwise(epochs):
            findings.add(Kind.NEW_EPOCH, old.last, young.first)


def _last_sent(epoch: Epoch) -> int:
    return epoch.last.sent


def _first_answered(epoch: Epoch) -> int:
    return epoch.first.answered


def _judge_numbers(epoch: Epoch, findings: Findings) -> Iterable[Gap]:
    """From the highest number down, find those given twice, and yield the gaps.

    A number given shows that all below it are taken; a read, that its own is, too. Below the lowest, nothing is known.
    """
    open_ = 0  # the highest number below all that was seen so far
    higher: Record | None = None  # of the records so far, the first to arrive
    previous: Record | None = None
    for record in sorted(epoch.answers + epoch.reads, key=attrgetter("number"), reverse=True):
        number = _number(record)
        if higher and number < open_:
            yield Gap(number + 1, open_, higher)
        if not record.labels.read:
            if previous and previous.number == number:
                findings.add(Kind.GIVEN_TWICE, *sorted((previous, record), key=attrgetter("answered")))
            previous = record
        below = number if record.labels.read else number - 1
        open_ = min(open_, below) if higher else below
        if higher is None or record.answered < higher.answered:
            higher = record


def _explain(gaps: list[Gap], unknown: list[int]) -> None:
    """Match missing numbers to requests of unknown outcome, greedily.

    unknown: when each was sent, ascending. A number can be that of any request sent no later than a higher number
    arrived; those with the fewest to choose from go first, so that no other matching explains more.
    """
    used = available = 0
    for gap in sorted(gaps, key=lambda gap: gap.higher.answered):
        while available < len(unknown) and unknown[available] <= gap.higher.answered:
            available += 1
        gap.explained = min(gap.size, available - used)
        used += gap.explained


def _judge_gaps(gaps: list[Gap], findings: Findings) -> None:
    for gap in gaps:
        if gap.unexplained:
            findings.add(Kind.MISSING, gap.higher, numbers=(gap.first, gap.last), count=gap.unexplained)


def _percentiles(latencies: list[int]) -> dict[int, int]:
    """Nearest rank."""
    return {p: latencies[-(-p * len(latencies) // 100) - 1] for p in PERCENTILES} if latencies else {}


def _last_reads(seen: list[Record]) -> list[Record]:
    """Those sent after every answer had arrived, by when they were sent."""
    arrived = max((record.answered for record in seen if not record.labels.read), default=0)
    return sorted((r for r in seen if r.labels.read and r.sent > arrived), key=attrgetter("sent"))


def _overlapped(visits: list[Record]) -> bool:
    """Whether two visits were under way at once; then two that follow each other in sending were."""
    return any(first.answered >= second.sent for first, second in pairwise(sorted(visits, key=attrgetter("sent"))))
