"""The verdict on a run: what was seen, and the answers to the five questions."""

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
    """What proves a finding: the records, earliest cause first, and for skipped numbers the first and last of a run."""

    kind: Kind
    count: int
    records: tuple[Record, ...]
    numbers: tuple[int, int] | None = None

    @classmethod
    def of_gap(cls, gap: Gap, count: int) -> Self:
        """Of numbers that were skipped."""
        return cls(Kind.SKIPPED, count, (gap.higher,), (gap.first, gap.last))


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many visits may be lost: a number, or a share of them in percent."""

    number: int = 0
    percent: float | None = None

    def of(self, visits: int) -> int:
        return self.number if self.percent is None else int(visits * self.percent / 100)

    def __str__(self) -> str:
        return f"{self.number:,}" if self.percent is None else f"{self.percent:g} %"


@dataclass(frozen=True, slots=True)
class Rules:
    """What is known of the run beforehand, and what is allowed in it.

    alone: nobody else visits, so that a number which nobody got was skipped or repeated, unless a visit failed.
    reset: a new epoch is announced, so that a later one breaks no promise.
    lost: of the visits that were due. gap: seconds that a visitor may wait, and nobody be answered.
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
        """What was found and not withdrawn, in the order of the promises."""
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
        """The times in which nobody was answered for a second or more."""
        silences = *self.losses.silences, *self.losses.going_on()
        return [silence for silence in silences if silence.length >= SECOND]

    @property
    def longest(self) -> Silence | None:
        silences = filter(None, (self.losses.longest, *self.losses.going_on()))
        return max(silences, key=lambda silence: silence.length, default=None)

    @property
    def visits(self) -> Counter[Outcome]:
        return self.losses.visits

    @property
    def answered(self) -> int:
        return self.visits[Outcome.ANSWERED]

    @property
    def lost(self) -> int:
        """How many visits got none, though they were due and not broken off."""
        return self.losses.lost.count

    @property
    def due(self) -> int:
        """How many should have got one."""
        return self.answered + self.lost

    @property
    def lost_too_many(self) -> bool:
        return self.lost > self.rules.lost.of(self.due)

    @property
    def waited_longest(self) -> int:
        """The longest time in which a visitor waited for a number, or nobody was answered."""
        return max(self.losses.waited, self.longest.length if self.longest else 0)

    @property
    def too_late(self) -> bool:
        return self.waited_longest > self.rules.gap * SECOND

    @property
    def repeated(self) -> int | None:
        """How many numbers were counted and answered to nobody; None if that cannot be known."""
        return self.gaps.repeated if self.rules.alone and self.shares_known else None

    @property
    def repeated_too_many(self) -> bool:
        return (self.repeated or 0) > self.rules.repeated

    @property
    def unexplained(self) -> int:
        """How many missing numbers no request of unknown outcome can account for."""
        return self.gaps.missing - self.gaps.explained

    @property
    def enough(self) -> bool:
        return self.answered >= self.rules.at_least

    @property
    def excluded(self) -> int:
        """1 in how many: more frequent faults would have been seen, at 95 % (rule of three); 0 if that says nothing."""
        return 0 if self.findings or self.answered < 6 else self.answered // 3

    @property
    def seconds(self) -> float:
        return max(self.ended - self.began, 1) / SECOND

    @property
    def disrupted(self) -> float:
        """The share of seconds in which a visit was lost or late."""
        return min(self.losses.disrupted / max(self.seconds, 1), 1)

    @property
    def own_fault(self) -> bool:
        """Whether the checker stood still for more than a tenth of the run, or could not make a tenth of the visits."""
        not_sent = self.visits[Outcome.NOT_SENT]
        return self.losses.stood_still * 10 > self.ended - self.began or not_sent * 10 > self.due + not_sent

    @property
    def exit_status(self) -> int:
        """1: the answer to a question is no; 2: it could not be judged; 0: all is well."""
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
        """Percentile → nanoseconds that an answered visitor waited, less than 1 % from the true one; 100 is exact."""
        told = percentiles(self.losses.waits, PERCENTILES)
        return {p: min(time, self.losses.waited) for p, time in told.items()} | (
            {100: self.losses.waited} if told else {}
        )

    @property
    def pods(self) -> Counter[str]:
        return Counter({pod: part.answered for pod, part in self.losses.parts("pod").items() if part.answered})

    @property
    def each_pod_for_itself(self) -> bool:
        """Whether it looks like the memory store: several pods, and no epoch that two of them gave numbers of."""
        pods = [epoch.pods for epoch in self.epochs]
        return all(len(names) <= 1 for names in pods) and len(set().union(*pods)) > 1
