"""The visits that were lost or late, and the times in which nobody was answered."""

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from hello.check.history import Labels, Outcome, Record, shared
from hello.check.judging.histogram import bucket
from hello.check.judging.shown import Shown

SECOND = 1_000_000_000  # nanoseconds: who waits longer is late, and so long without an answer is an outage
MINUTE = 60
CUT = 5 * SECOND  # without a word, after which a server may close a connection
MOST = 2000  # labels that are counted apart
OTHERS = "others"

NOT_LOST = {Outcome.ANSWERED, Outcome.INTERRUPTED, Outcome.NOT_SENT}
"""Answered, or not finished because of the checker itself."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A time in which visits waited and none was answered; and the pods that answered before it and after it."""

    began: int
    ended: int
    length: int
    before: str | None
    after: str | None


@dataclass(slots=True)
class Part:
    """How many visits of a kind were made, answered and lost."""

    made: int = 0
    answered: int = 0
    lost: int = 0

    def add(self, other: "Part") -> None:
        self.made += other.made
        self.answered += other.answered
        self.lost += other.lost


@dataclass(slots=True, eq=False)
class Losses:
    """The visits that got no number, and how long all visits waited.

    disrupted: the seconds in which a visit was lost or late. stood_still: in nanoseconds. silences: those of a second
    or more. recent: the longest silence that ended in each of the last seconds.
    """

    news: deque[Any]
    reads: Counter[Outcome] = field(default_factory=Counter)
    lost: Shown[Record] = field(default_factory=Shown)
    waited: int = 0
    waits: Counter[int] = field(default_factory=Counter)
    silences: Shown[Silence] = field(default_factory=Shown)
    longest: Silence | None = None
    recent: dict[int, int] = field(default_factory=dict)
    disrupted: int = 0
    stood_still: int = 0
    overlapped: bool = False
    _parts: dict[int, tuple[Labels, Part]] = field(default_factory=dict)
    _pauses: list[tuple[int, int, int]] = field(default_factory=list)
    _seconds: set[int] = field(default_factory=set)
    _last: Record | None = None
    _ended: int = 0
    _since: int | None = None

    def parts(self, *places: str) -> dict[Any, Part]:
        """The visits by one label or several."""
        parts: defaultdict[Any, Part] = defaultdict(Part)
        for labels, part in self._parts.values():
            if (name := attrgetter(*places)(labels)) is not None:
                parts[name].add(part)
        return parts

    @property
    def visits(self) -> Counter[Outcome]:
        return Counter({outcome: part.made for outcome, part in self.parts("outcome").items()})

    @property
    def lost_by_outcome(self) -> Counter[Outcome]:
        return +Counter({outcome: part.lost for outcome, part in self.parts("outcome").items()})

    @property
    def excused(self) -> int:
        """How many failed because the checker itself stood still."""
        return sum(count for outcome, count in self.visits.items() if outcome not in NOT_LOST) - self.lost.count

    def pause(self, record: Record) -> None:
        """Exclude a time in which the checker itself stood still."""
        length = record.answered - record.since
        self.stood_still += length
        self._pauses.append((record.sent, record.answered, length))

    def add(self, record: Record, waiting: int) -> bool:
        """Add a visit; `waiting`: when the oldest visit that ends later was due. Returns whether it was lost."""
        self._ended = record.answered
        paused = self._paused(record.since, record.answered) if self._pauses else 0
        wait = record.answered - record.since - paused
        outcome = record.labels.outcome
        answered = outcome is Outcome.ANSWERED
        lost = outcome not in NOT_LOST and not (self._pauses and self._excuses(record))
        part = self._part(record.labels)
        part.made += 1
        part.answered += answered
        part.lost += lost
        if self._since is None:
            self._since = min(record.since, waiting)
        if answered:
            self._answer(record, wait, waiting)
        if lost:
            self.news.append(record)
            self.lost.add(record)
        if lost or (answered and wait > SECOND):
            self._disrupt(record.since // SECOND, record.answered // SECOND)
        return lost

    def going_on(self) -> list[Silence]:
        """The silence that has not ended, if any."""
        if self._since is None:
            return []
        return [Silence(self._since, self._ended, self._gap(self._ended), self._last and self._last.pod, None)]

    def _gap(self, ended: int) -> int:
        if self._since is None:
            return 0
        return ended - self._since - (self._paused(self._since, ended) if self._pauses else 0)

    def forget(self, moment: int) -> None:
        """Forget what no visit due at this moment or later needs."""
        since = moment if self._since is None else min(moment, self._since)
        self._pauses = [pause for pause in self._pauses if pause[1] > since]
        second = moment // SECOND
        self.recent = {at: gap for at, gap in self.recent.items() if at >= second - MINUTE}
        self._seconds = {at for at in self._seconds if at >= second}

    def _excuses(self, record: Record) -> bool:
        """Whether it failed because the checker stood still: it timed out, or a server had reason to hang up."""
        met = [length for start, end, length in self._pauses if start <= record.answered and record.since <= end]
        timed_out = record.labels.outcome is Outcome.TIMEOUT
        return record.labels.status is None and bool(met) and (timed_out or max(met) >= CUT)

    def _paused(self, began: int, ended: int) -> int:
        return sum(max(min(ended, end) - max(began, start), 0) for start, end, _ in self._pauses)

    def _answer(self, record: Record, wait: int, waiting: int) -> None:
        self.waits[bucket(wait)] += 1
        self.waited = max(wait, self.waited)
        self.overlapped = self.overlapped or (self._last is not None and self._last.answered >= record.sent)
        length, second = self._gap(record.answered), record.answered // SECOND
        if self.longest is None or length > self.longest.length or length >= SECOND:
            before = self._last and self._last.pod
            self._end_silence(Silence(self._since or 0, record.answered, length, before, record.pod))
        if length > self.recent.get(second, -1):
            self.recent[second] = length
        self._last = record
        self._since = record.answered if waiting <= record.answered else None

    def _end_silence(self, silence: Silence) -> None:
        if self.longest is None or silence.length > self.longest.length:
            self.longest = silence
        if silence.length >= SECOND:
            self.silences.add(silence)
            self.news.append(silence)

    def _part(self, labels: Labels) -> Part:
        """The part with these labels; if there are too many, pods are no longer told apart."""
        known = self._parts.get(id(labels))
        if known is None:
            if len(self._parts) >= MOST:
                labels = shared(Labels(labels.outcome, url=labels.url, kept=labels.kept, pod=OTHERS))
            known = self._parts.setdefault(id(labels), (labels, Part()))
        return known[1]

    def _disrupt(self, first: int, last: int) -> None:
        """Count seconds, at most the last hundred thousand of a wait."""
        new = set(range(max(first, last - 100_000), last + 1)) - self._seconds
        self.disrupted += len(new)
        self._seconds |= new
