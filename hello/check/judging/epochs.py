"""The epochs that were seen, and whether they followed each other as they should."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from hello.check.history import Record
from hello.check.judging.gaps import Numbers
from hello.check.judging.shares import Shares
from hello.stores.rules import begun

MOST = 100
"""Epochs that are remembered, and pods of each."""

RECENT = 10_000
"""The least number of answers among which a duplicate is searched for."""

_answered = attrgetter("answered")


class Highest:
    """The record of each new highest number, in order of arrival."""

    def __init__(self) -> None:
        self._steps: list[Record] = []

    def add(self, record: Record) -> None:
        if not self._steps or (record.number or 0) > (self._steps[-1].number or 0):
            self._steps.append(record)

    def before(self, moment: int) -> Record | None:
        """The highest that had arrived strictly before a moment, unless it was forgotten."""
        steps = self._steps
        if steps and steps[-1].answered < moment:
            return steps[-1]
        index = bisect_left(steps, moment, key=_answered)
        return steps[index - 1] if index else None

    def forget(self, moment: int) -> None:
        """Forget what only moments before this one need."""
        del self._steps[: max(bisect_left(self._steps, moment, key=_answered) - 1, 0)]


@dataclass(slots=True, eq=False)
class Epoch:
    """One life of a store. first: the answer that arrived first; last: the one whose request was sent last.

    began: in microseconds of the store's clock; 0 if the id does not say.
    """

    name: str
    first: Record
    last: Record
    numbers: Numbers
    began: int
    answers: int = 0
    lowest: int | None = None
    highest: int | None = None
    pods: set[str] = field(default_factory=set)
    given: Highest = field(default_factory=Highest)
    read: Highest = field(default_factory=Highest)
    shares: Shares = field(default_factory=Shares)
    recent: dict[int, Record] = field(default_factory=dict)
    earlier: dict[int, Record] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        if record.sent > self.last.sent:
            self.last = record
        pod = record.labels.pod
        if pod not in self.pods and pod and len(self.pods) < MOST:
            self.pods.add(pod)
        if record.labels.read:
            self.read.add(record)
            return
        number = record.number or 0
        self.given.add(record)
        self.recent.setdefault(number, record)
        self.answers += 1
        if self.lowest is None or number < self.lowest:
            self.lowest = number
        if self.highest is None or number > self.highest:
            self.highest = number

    def answer(self, number: int) -> Record | None:
        return self.recent.get(number) or self.earlier.get(number)

    def forget(self, moment: int) -> None:
        """Forget what no request sent at this moment or later is compared with."""
        self.given.forget(moment)
        self.read.forget(moment)
        newest = next(reversed(self.earlier.values()), None)
        if len(self.recent) > RECENT and (newest is None or newest.answered < moment):
            self.earlier, self.recent = self.recent, {}


class Epochs:
    """The epochs, in the order in which they were first seen."""

    def __init__(self) -> None:
        self.count = 0
        self._epochs: dict[str, Epoch] = {}
        self._in_turn: set[str] = set()
        self._went_back: set[str] = set()

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self._epochs.values())

    @property
    def newest(self) -> Epoch | None:
        return next(reversed(self._epochs.values()), None)

    def get(self, name: str) -> Epoch | None:
        return self._epochs.get(name)

    def begin(self, name: str, record: Record) -> Epoch:
        """Add an epoch; if there are too many, forget the oldest but the very first."""
        self.count += 1
        if len(self._epochs) >= MOST:
            del self._epochs[list(self._epochs)[1]]
        epoch = self._epochs[name] = Epoch(name, record, record, Numbers(name, record), begun(name))
        return epoch

    def in_turn(self, epoch: Epoch, record: Record) -> Iterator[tuple[Epoch, int]]:
        """Find the epochs with which this one answers in turn, and how many of them are newly involved.

        An answer does not say which of two epochs is newer. But if x had answered before a request was sent that y
        answered, y is the newer one; if the reverse is also true, one of them answered after it had been replaced.
        """
        for other in self._epochs.values():
            if other.first.answered < record.sent and epoch.first.answered < other.last.sent and other is not epoch:
                new = {epoch.name, other.name} - self._in_turn
                self._in_turn |= new
                if new:
                    yield other, len(new)

    def replaced(self, epoch: Epoch, record: Record) -> Epoch | None:
        """Find a later epoch, by when their ids say that they began, that had answered before this request was sent."""
        if not epoch.began or epoch.name in self._went_back | self._in_turn:
            return None
        for other in self._epochs.values():
            if other.first.answered < record.sent and other.began > epoch.began:
                self._went_back = (self._went_back | {epoch.name}) & self._epochs.keys()
                return other
        return None
