"""The verdict on a run: what was seen, and which promises were broken, with proof."""

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from hello.check.history import Outcome, Record

EXAMPLES = 5  # of each finding; its count is of all
OUTAGE = 1_000_000_000  # nanoseconds without an answer that are one


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


class Findings(dict[Kind, Finding]):
    """The findings so far, one a kind."""

    def add(self, kind: Kind, *records: Record, numbers: tuple[int, int] | None = None, count: int = 1) -> None:
        """Add what `records` prove; of missing numbers, the first and the last, and how many."""
        finding = self.setdefault(kind, Finding(kind))
        finding.count += count
        if len(finding.examples) < EXAMPLES:
            finding.examples.append(Example(records, numbers))


@dataclass(slots=True)
class Epoch:
    """One life of a store, as seen. first: the answer that arrived first; last: the one that was sent for last."""

    name: str
    first: Record
    last: Record
    answers: list[Record] = field(default_factory=list)
    reads: list[Record] = field(default_factory=list)
    pods: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Gap:
    """Numbers first..last that no answer carried; `higher` is the first answer to arrive from beyond them.

    explained: how many of them a request of unknown outcome can account for.
    """

    first: int
    last: int
    higher: Record
    explained: int = 0

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return self.last - self.first + 1

    @property
    def unexplained(self) -> int:
        """How many of them no request of unknown outcome can account for."""
        return self.size - self.explained


@dataclass(frozen=True, slots=True)
class Silence:
    """A time in which visits were waiting and none was answered; who answered before it and after, if somebody did."""

    began: int
    ended: int
    before: Record | None
    after: Record | None

    @property
    def length(self) -> int:
        """Nanoseconds."""
        return self.ended - self.began


@dataclass(slots=True)
class Share:
    """What became of the visits to a place, or of a kind."""

    answered: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Losses:
    """Visits that got no number, in the order in which that was known, and where.

    silences: by time, those of a second or more, or else the longest.
    urls, addresses, pods, connections: the share of each.
    """

    visits: list[Record]
    silences: list[Silence]
    urls: dict[str, Share]
    addresses: dict[str, Share]
    pods: dict[str, Share]
    connections: dict[str, Share]

    @property
    def kinds(self) -> Counter[Outcome]:
        """How many of each kind."""
        return Counter(record.outcome for record in self.visits)

    @property
    def longest(self) -> Silence | None:
        """The longest time in which no visit was answered."""
        return max(self.silences, key=lambda silence: silence.length, default=None)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many visits may be lost: a number, or a share of them in percent."""

    number: int = 0
    percent: float | None = None

    def of(self, visits: int) -> int:
        """How many of so many."""
        return self.number if self.percent is None else int(visits * self.percent / 100)

    def __str__(self) -> str:
        return f"{self.number:,}" if self.percent is None else f"{self.percent:g} %"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run proved.

    unknown: how many requests have an unknown outcome; as many skipped numbers could hide behind them.
    latency: percentile → nanoseconds, of answered counted requests. last_reads: those sent after every answer had
    arrived. overlapped: whether two visits were ever under way at once.
    allowed, at_least: how many visits may be lost, and how many must be answered.
    """

    visits: Counter[Outcome]
    reads: Counter[Outcome]
    began: int
    ended: int
    epochs: list[Epoch]
    latency: dict[int, int]
    gaps: list[Gap]
    unknown: int
    retried: int
    served_by_retry: int
    last_reads: list[Record]
    overlapped: bool
    losses: Losses
    findings: list[Finding]
    alone: bool = False
    allowed: Allowance = field(default_factory=Allowance)
    at_least: int = 1

    @property
    def answered(self) -> int:
        """How many visits got a number."""
        return self.visits[Outcome.ANSWERED]

    @property
    def lost(self) -> int:
        """How many visits got none, though they were made and not broken off."""
        return len(self.losses.visits)

    @property
    def lost_too_many(self) -> bool:
        """Whether it is more than may be."""
        return self.lost > self.allowed.of(self.answered + self.lost)

    @property
    def outages(self) -> list[Silence]:
        """The silences that are long enough to be called so."""
        return [silence for silence in self.losses.silences if silence.length >= OUTAGE]

    @property
    def enough(self) -> bool:
        """Whether as many were answered as must be."""
        return self.answered >= self.at_least

    @property
    def excluded(self) -> int:
        """1 in how many: more frequent faults would have been seen, at 95 % (rule of three); 0 if that says nothing."""
        return 0 if self.findings or self.answered < 6 else self.answered // 3

    @property
    def exit_status(self) -> int:
        """1: a promise was broken, or too many visits were lost; 2: too little was seen; 0: all is well."""
        if not self.answered:
            return 2
        if self.findings or self.lost_too_many:
            return 1
        return 0 if self.enough else 2

    @property
    def pods(self) -> Counter[str]:
        """How many visits each pod answered."""
        return Counter({pod: share.answered for pod, share in self.losses.pods.items() if share.answered})

    @property
    def final(self) -> Record | None:
        """The last read, if all answers had arrived before it."""
        return self.last_reads[-1] if self.last_reads else None

    @property
    def pods_read_last(self) -> set[str]:
        """Who told the count after all answers had arrived, as far as they said their names."""
        return {record.pod for record in self.last_reads if record.pod}

    @property
    def missing(self) -> int:
        """How many numbers no answer carried."""
        return sum(gap.size for gap in self.gaps)

    @property
    def unexplained(self) -> int:
        """How many of these no request of unknown outcome can account for."""
        return sum(gap.unexplained for gap in self.gaps)

    @property
    def each_pod_for_itself(self) -> bool:
        """Whether it looks like the memory store: several pods, and no epoch that two of them gave numbers of."""
        pods = [epoch.pods for epoch in self.epochs]
        return all(len(names) <= 1 for names in pods) and len(set().union(*pods)) > 1
