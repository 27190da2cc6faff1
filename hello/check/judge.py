"""The judgement: from the records of a run alone, which promises were broken, and what cannot be known.

Nothing here accuses without proof. Request a is before request b only if a's answer had arrived strictly before b was
sent; all else is concurrent, where any order is legal.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from operator import attrgetter

from hello.check.history import Flaw, Outcome, Record

EXAMPLES = 5  # of each finding; its count is of all
PERCENTILES = (50, 90, 99, 100)


class Promise(IntEnum):
    """The six promises."""

    DISTINCT = 1
    DURABLE = 2
    EXACT = 3
    IN_ORDER = 4
    ONE_COUNTER = 5
    HONEST = 6


class Kind(StrEnum):
    """The ways to break one."""

    GIVEN_TWICE = "given twice"
    CACHED = "cached"
    STORABLE = "storable"
    FORGOTTEN = "forgotten"
    NEW_EPOCH = "new epoch"
    MISSING = "missing"
    OUT_OF_ORDER = "out of order"
    READ_WENT_BACK = "read went back"
    EPOCHS_IN_TURN = "epochs in turn"
    NO_NUMBER = "no number"
    CONTRADICTION = "contradiction"
    NO_RETRY_AFTER = "no Retry-After"


PROMISES = {
    Kind.GIVEN_TWICE: Promise.DISTINCT,
    Kind.CACHED: Promise.DISTINCT,
    Kind.STORABLE: Promise.DISTINCT,
    Kind.FORGOTTEN: Promise.DURABLE,
    Kind.NEW_EPOCH: Promise.DURABLE,
    Kind.MISSING: Promise.EXACT,
    Kind.OUT_OF_ORDER: Promise.IN_ORDER,
    Kind.READ_WENT_BACK: Promise.IN_ORDER,
    Kind.EPOCHS_IN_TURN: Promise.ONE_COUNTER,
    Kind.NO_NUMBER: Promise.HONEST,
    Kind.CONTRADICTION: Promise.HONEST,
    Kind.NO_RETRY_AFTER: Promise.HONEST,
}

_KINDS = {
    Flaw.CACHED: Kind.CACHED,
    Flaw.STORABLE: Kind.STORABLE,
    Flaw.NO_NUMBER: Kind.NO_NUMBER,
    Flaw.CONTRADICTION: Kind.CONTRADICTION,
    Flaw.NO_RETRY_AFTER: Kind.NO_RETRY_AFTER,
}


@dataclass(frozen=True, slots=True)
class Example:
    """What proves a finding: the records, earliest cause first, and for missing numbers the first and last of a run."""

    records: tuple[Record, ...]
    numbers: tuple[int, int] | None = None


@dataclass(slots=True)
class Finding:
    """One way in which a promise was broken, how often, and the first few proofs."""

    kind: Kind
    count: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, example: Example, count: int = 1) -> None:
        self.count += count
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


class Findings(dict[Kind, Finding]):
    """The findings so far, one a kind."""

    def add(self, kind: Kind, *records: Record) -> None:
        self.setdefault(kind, Finding(kind)).add(Example(records))


@dataclass(slots=True)
class Epoch:
    """One life of a store, as seen: `first` is the answer that arrived first, `last` the one whose request was sent last."""

    name: str
    first: Record
    last: Record
    answers: list[Record] = field(default_factory=list)
    reads: list[Record] = field(default_factory=list)
    pods: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers first..last that no answer carried, though `higher`, the first answer to show it, came from beyond them."""

    first: int
    last: int
    higher: Record


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run proved.

    missing, explained: numbers never seen, and how many of them a request of unknown outcome can account for. unknown:
    how many such requests there were; as many skipped numbers could hide behind them.
    latency: percentile → nanoseconds, of answered counted requests. final: the last read, if it was sent after every
    answer had arrived.
    """

    visits: Counter[Outcome]
    reads: Counter[Outcome]
    began: int
    ended: int
    epochs: list[Epoch]
    pods: Counter[str]
    latency: dict[int, int]
    missing: int
    explained: int
    unknown: int
    unaccounted: list[Gap]
    retried: int
    served_by_retry: int
    final: Record | None
    findings: list[Finding]

    @property
    def answered(self) -> int:
        return self.visits[Outcome.ANSWERED]

    @property
    def each_pod_for_itself(self) -> bool:
        """Whether it looks like the memory store: several pods, and no epoch shared by two."""
        pods = [epoch.pods for epoch in self.epochs]
        return all(len(names) == 1 for names in pods) and len(set().union(*pods)) > 1


def judge(records: Sequence[Record], *, alone: bool = False, allow_reset: bool = False) -> Verdict:
    """Judge a run, in n log n of its records.

    alone: nobody else visited, so that a missing number is a broken promise if no request of unknown outcome explains it.
    allow_reset: a new epoch was announced, so that it is none.
    """
    findings = Findings()
    for record in records:
        if record.flaw:
            findings.add(_KINDS[record.flaw], record)
    answers = [record for record in records if record.outcome is Outcome.ANSWERED]
    seen = [record for record in answers if record.epoch]
    if len(seen) < len(answers) and not allow_reset:
        _judge_empty_reads(answers, findings)
    _judge_order(seen, findings)
    epochs = _epochs(seen)
    _judge_epochs(epochs, findings, allow_reset=allow_reset)
    gaps = [gap for epoch in epochs for gap in _judge_numbers(epoch, findings)]
    unknown = sorted(record.sent for record in records if record.unknown)
    unaccounted = _unaccounted(gaps, unknown)
    if alone and unaccounted:
        findings[Kind.MISSING] = _missing(unaccounted)
    missing = _size(gaps)
    visits = [record for record in seen if not record.read]
    return Verdict(
        visits=Counter(record.outcome for record in records if not record.read),
        reads=Counter(record.outcome for record in records if record.read),
        began=min((record.sent for record in records), default=0),
        ended=max((record.answered for record in records), default=0),
        epochs=epochs,
        pods=Counter(record.pod or "" for record in visits),
        latency=_percentiles(sorted(record.answered - record.sent for record in visits)),
        missing=missing,
        explained=missing - _size(unaccounted),
        unknown=len(unknown),
        unaccounted=unaccounted,
        retried=sum(record.attempt == 2 for record in records),
        served_by_retry=sum(record.attempt > 1 for record in visits),
        final=_final(seen),
        findings=sorted(findings.values(), key=lambda finding: PROMISES[finding.kind]),
    )


def _judge_empty_reads(answers: list[Record], findings: Findings) -> None:
    """A store that holds nothing has no epoch yet: right, unless an answer had come out of it before."""
    first = min((record for record in answers if record.epoch), key=attrgetter("answered"), default=None)
    for record in answers:
        if first and not record.epoch and first.answered < record.sent:
            findings.add(Kind.FORGOTTEN, first, record)


@dataclass(slots=True)
class _Arrived:
    """The highest that an epoch has shown so far, in a number given and in a read."""

    given: Record | None = None
    read: Record | None = None

    def add(self, record: Record) -> None:
        if record.read:
            self.read = _higher(self.read, record)
        else:
            self.given = _higher(self.given, record)


def _higher(old: Record | None, new: Record) -> Record:
    return new if old is None or _number(new) > _number(old) else old


def _number(record: Record) -> int:
    return record.number or 0


def _judge_order(seen: list[Record], findings: Findings) -> None:
    """In the order of sending, hold each answer against the highest number that had arrived strictly before it was sent."""
    arrivals = sorted(seen, key=attrgetter("answered"))
    arrived: defaultdict[str | None, _Arrived] = defaultdict(_Arrived)
    following = 0
    for record in sorted(seen, key=attrgetter("sent")):
        while arrivals[following].answered < record.sent:
            arrived[arrivals[following].epoch].add(arrivals[following])
            following += 1
        _compare(record, arrived[record.epoch], findings)


def _compare(record: Record, before: _Arrived, findings: Findings) -> None:
    number = _number(record)
    given, read = before.given, before.read
    if record.read:
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
        name = record.epoch or ""
        epoch = epochs.get(name)
        if epoch is None:
            epoch = epochs[name] = Epoch(name, record, record)
        if record.answered < epoch.first.answered:
            epoch.first = record
        if record.sent > epoch.last.sent:
            epoch.last = record
        (epoch.reads if record.read else epoch.answers).append(record)
        if record.pod:
            epoch.pods.add(record.pod)
    return sorted(epochs.values(), key=lambda epoch: epoch.first.answered)


def _judge_epochs(epochs: list[Epoch], findings: Findings, *, allow_reset: bool) -> None:
    """Find epochs that answer in turn, or else, unless announced, each new one.

    Which of two epochs is newer cannot be seen in an answer. But if x had answered before a request was sent that y
    answered, y is the newer one; if the reverse is true as well, one of them answered after it had been replaced.
    """
    latest: list[Epoch] = []  # latest[i]: of epochs[:i + 1], the one whose last request was sent last
    for epoch in epochs:
        latest.append(max(epoch, latest[-1], key=_last_sent) if latest else epoch)
    for index, epoch in enumerate(epochs):
        older = min(index, bisect_left(epochs, epoch.last.sent, key=_first_answered))
        if older and latest[older - 1].last.sent > epoch.first.answered:
            findings.add(Kind.EPOCHS_IN_TURN, latest[older - 1].first, epoch.first, latest[older - 1].last, epoch.last)
    if Kind.EPOCHS_IN_TURN not in findings and not allow_reset:
        for old, new in zip(epochs, epochs[1:], strict=False):
            findings.add(Kind.NEW_EPOCH, old.last, new.first)


def _last_sent(epoch: Epoch) -> int:
    return epoch.last.sent


def _first_answered(epoch: Epoch) -> int:
    return epoch.first.answered


def _judge_numbers(epoch: Epoch, findings: Findings) -> Iterable[Gap]:
    """From the highest number down, find those given twice, and yield the gaps.

    A number given shows that all below it are taken; a read, that its own is, too. Below the first seen nothing is known.
    """
    open_ = 0  # the highest number below all that was seen so far
    higher: Record | None = None  # of the records so far, the first to arrive
    previous: Record | None = None
    for record in sorted(epoch.answers + epoch.reads, key=attrgetter("number"), reverse=True):
        number = _number(record)
        if higher and number < open_:
            yield Gap(number + 1, open_, higher)
        if not record.read:
            if previous and previous.number == number:
                findings.add(Kind.GIVEN_TWICE, *sorted((previous, record), key=attrgetter("answered")))
            previous = record
        below = number if record.read else number - 1
        open_ = min(open_, below) if higher else below
        if higher is None or record.answered < higher.answered:
            higher = record


def _unaccounted(gaps: list[Gap], unknown: list[int]) -> list[Gap]:
    """Match missing numbers to requests of unknown outcome, greedily, and return what is left.

    unknown: when each was sent, ascending. A number can be that of any request sent no later than a higher number arrived;
    the numbers with the fewest to choose from go first, and each takes the earliest request, so no other matching
    explains more.
    """
    left = []
    used = available = 0
    for gap in sorted(gaps, key=lambda gap: gap.higher.answered):
        while available < len(unknown) and unknown[available] <= gap.higher.answered:
            available += 1
        taken = min(gap.last - gap.first + 1, available - used)
        used += taken
        if gap.first + taken <= gap.last:
            left.append(Gap(gap.first + taken, gap.last, gap.higher))
    return left


def _missing(gaps: list[Gap]) -> Finding:
    finding = Finding(Kind.MISSING)
    for gap in gaps:
        finding.add(Example((gap.higher,), (gap.first, gap.last)), gap.last - gap.first + 1)
    return finding


def _size(gaps: list[Gap]) -> int:
    return sum(gap.last - gap.first + 1 for gap in gaps)


def _percentiles(latencies: list[int]) -> dict[int, int]:
    """Nearest rank."""
    return {p: latencies[-(-p * len(latencies) // 100) - 1] for p in PERCENTILES} if latencies else {}


def _final(seen: list[Record]) -> Record | None:
    reads = [record for record in seen if record.read]
    final = max(reads, key=attrgetter("sent"), default=None)
    arrived = max((record.answered for record in seen if not record.read), default=0)
    return final if final and final.sent > arrived else None
