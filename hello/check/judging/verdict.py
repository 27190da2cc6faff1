"""The verdict on a run: what it proved, and the answers to the five questions."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Self

from hello.check.history import NEVER, Kind, Outcome, Record
from hello.check.judging.epochs import Epochs
from hello.check.judging.gaps import Gap, Gaps
from hello.check.judging.histogram import percentiles
from hello.check.judging.losses import SECOND, Losses, Silence
from hello.check.judging.shares import Repeat
from hello.check.judging.shown import Shown

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, slots=True)
class Example:
    """What proves a finding: records, the earliest cause first; for skipped numbers, the first and the last."""

    kind: Kind
    count: int
    records: tuple[Record, ...]
    numbers: tuple[int, int] | None = None

    @classmethod
    def of_gap(cls, gap: Gap, count: int) -> Self:
        return cls(Kind.SKIPPED, count, (gap.higher,), (gap.first, gap.last))


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many visits may be lost: a number or a percentage."""

    number: int = 0
    percent: float | None = None

    def of(self, visits: int) -> int:
        return self.number if self.percent is None else int(visits * self.percent / 100)

    def __str__(self) -> str:
        return f"{self.number:,}" if self.percent is None else f"{self.percent:g} %"


@dataclass(frozen=True, slots=True)
class Rules:
    """What is known of the run in advance, and what it may do.

    alone: nobody else visits, so a number that nobody got was skipped or repeated, unless a visit failed.
    reset: a reset is expected, so a later epoch breaks no promise.
    lost: of the visits that were due. gap: the longest wait or silence, in seconds.
    """

    alone: bool = False
    reset: bool = False
    lost: Allowance = field(default_factory=Allowance)
    gap: float = 10.0
    repeated: int = 0
    at_least: int = 1


@dataclass(slots=True)
class Verdict:
    """What a run proved so far. `final`: the last read, if all answers had arrived before it."""

    rules: Rules
    losses: Losses
    began: int = NEVER
    ended: int = -NEVER
    found: dict[Kind, Shown[Example]] = field(default_factory=lambda: defaultdict(Shown))
    epochs: Epochs = field(default_factory=Epochs)
    gaps: Gaps = field(default_factory=Gaps)
    repeats: Shown[Repeat] = field(default_factory=Shown)
    shares_known: bool = False
    final: Record | None = None

    @property
    def findings(self) -> dict[Kind, Shown[Example]]:
        """The findings in the order of the promises, without those that others explain."""
        found = dict(self.found)
        if Kind.EPOCHS_IN_TURN in found:
            found.pop(Kind.NEW_EPOCH, None)
        if self.gaps.skipped:
            found[Kind.SKIPPED] = skipped = Shown[Example]()
            for gap in self.gaps:
                if gap.skipped:
                    skipped.add(Example.of_gap(gap, gap.skipped))
            skipped.count = self.gaps.skipped
        return dict(sorted(found.items(), key=lambda each: each[0].promise))

    @property
    def outages(self) -> list[Silence]:
        """The silences of a second or more."""
        silences = *self.losses.silences, *self.losses.going_on()
        return [silence for silence in silences if silence.length >= SECOND]

    @property
    def longest(self) -> Silence | None:
        silences = filter(None, (self.losses.longest, *self.losses.going_on()))
        return max(silences, key=lambda silence: silence.length, default=None)

    @property
    def answered(self) -> int:
        return self.losses.visits[Outcome.ANSWERED]

    @property
    def lost(self) -> int:
        return self.losses.lost.count

    @property
    def due(self) -> int:
        return self.answered + self.lost

    @property
    def lost_too_many(self) -> bool:
        return self.lost > self.rules.lost.of(self.due)

    @property
    def waited_longest(self) -> int:
        """The longest wait or silence."""
        return max(self.losses.waited, self.longest.length if self.longest else 0)

    @property
    def too_late(self) -> bool:
        return self.waited_longest > self.rules.gap * SECOND

    @property
    def repeated(self) -> int | None:
        """How many numbers were counted and answered to nobody, if that can be known."""
        return self.gaps.repeated if self.rules.alone and self.shares_known else None

    @property
    def repeated_too_many(self) -> bool:
        return (self.repeated or 0) > self.rules.repeated

    @property
    def unexplained(self) -> int:
        """How many missing numbers no failed request can explain."""
        return self.gaps.missing - self.gaps.explained

    @property
    def enough(self) -> bool:
        return self.answered >= self.rules.at_least

    @property
    def seconds(self) -> float:
        return max(self.ended - self.began, 1) / SECOND

    @property
    def disrupted(self) -> float:
        """The share of seconds in which a visit was lost or late."""
        return min(self.losses.disrupted / max(self.seconds, 1), 1)

    @property
    def own_fault(self) -> bool:
        """Whether the checker stood still for a tenth of the run, or could not send a tenth of the visits."""
        not_sent = self.losses.visits[Outcome.NOT_SENT]
        return self.losses.stood_still * 10 > self.ended - self.began or not_sent * 10 > self.due + not_sent

    @property
    def exit_status(self) -> int:
        if not self.answered:
            return 2
        if self.findings:
            return 1
        if self.own_fault:
            return 2
        if self.lost_too_many or self.too_late or self.repeated_too_many:
            return 1
        return 0 if self.enough else 2

    @property
    def latency(self) -> dict[int, int]:
        """Nanoseconds that answered visitors waited, by percentile, within 1 %; 100 is exact."""
        told = percentiles(self.losses.waits, PERCENTILES)
        return {p: min(time, self.losses.waited) for p, time in told.items()} | (
            {100: self.losses.waited} if told else {}
        )

    @property
    def pods(self) -> Counter[str]:
        return Counter({pod: part.answered for pod, part in self.losses.parts("pod").items() if part.answered})

    @property
    def each_pod_for_itself(self) -> bool:
        """Whether there are several pods and no epoch of which two gave numbers: they use the memory store."""
        pods = [epoch.pods for epoch in self.epochs]
        return all(len(names) <= 1 for names in pods) and len(set().union(*pods)) > 1
