"""The numbers that no answer carried, and the requests of unknown outcome that may have taken them."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from operator import attrgetter

from hello.check.history import Record
from hello.check.judging.shown import Shown

REMEMBERED = 1000
"""Settled gaps that a number which comes too late is looked for in."""

_first = attrgetter("first")


@dataclass(slots=True, eq=False)
class Gap:
    """Numbers first..last that no answer carried; `higher` is the first answer to arrive from beyond them.

    A request of unknown outcome can account for `explained` of them; a pod counted `repeated` and answered nobody;
    `skipped` are in no pod's share. `late` were given after all, too late.
    """

    epoch: str
    first: int
    last: int
    higher: Record
    explained: int = 0
    repeated: int = 0
    skipped: int = 0
    late: frozenset[int] = frozenset()

    @property
    def size(self) -> int:
        """How many numbers it has, without those that came too late."""
        return self.last - self.first + 1 - len(self.late)

    @property
    def unexplained(self) -> int:
        """How many of them no request of unknown outcome can account for."""
        return self.size - self.explained

    @property
    def pending(self) -> int:
        """How many are neither explained nor attributed."""
        return self.unexplained - self.repeated - self.skipped


class Numbers:
    """The gaps of one epoch that a request under way may still fill, in the order of their numbers.

    A number given shows that all below it are taken; a read, that its own is, too. Below the lowest, nothing is known.
    Records come in the order of their ends, so the record that shows a gap is its `higher`.
    """

    def __init__(self, epoch: str, first: Record) -> None:
        self.open: list[Gap] = []
        self._epoch = epoch
        self._first = first
        number = first.number or 0
        self._lowest, self._top = number + first.read, number

    def add(self, record: Record) -> bool:
        """Take a record; whether its number could still be given."""
        number = record.number or 0
        below = number if record.read else number - 1
        if number > self._top:
            if below > self._top:
                self.open.append(Gap(self._epoch, self._top + 1, below, record))
            self._top = number
        elif number + record.read < self._lowest:
            if number + 1 < self._lowest:
                self.open.insert(0, Gap(self._epoch, number + 1, self._lowest - 1, self._first))
            self._lowest = number + record.read
        elif record.read:
            self._split(number)
        else:
            return self._fill(number)
        return True

    def settled(self, moment: int) -> list[Gap]:
        """Take out the gaps, of some, that no request sent at this moment or later can fill."""
        if self.open[0].higher.answered >= moment:
            return []
        size = 1
        while size < len(self.open) and self.open[size].higher.answered < moment:
            size += 1
        taken, self.open[:size] = self.open[:size], []
        return taken

    def _at(self, number: int) -> int:
        index = bisect_right(self.open, number, key=_first) - 1
        return index if index >= 0 and number <= self.open[index].last else -1

    def _fill(self, number: int) -> bool:
        index = self._at(number)
        if index < 0:
            return False
        gap = self.open[index]
        if number < gap.last:
            self.open.insert(index + 1, Gap(gap.epoch, number + 1, gap.last, gap.higher))
        gap.last = number - 1
        if gap.last < gap.first:
            del self.open[index]
        return True

    def _split(self, number: int) -> None:
        """Let what a read shows to be taken be a gap of its own: the shares that it tells are of those numbers."""
        index = self._at(number)
        if index >= 0 and number < self.open[index].last:
            gap = self.open[index]
            self.open.insert(index + 1, Gap(gap.epoch, number + 1, gap.last, gap.higher))
            gap.last = number


class Gaps:
    """The settled gaps of all epochs, matched greedily to requests of unknown outcome.

    A number can be that of any request sent no later than a higher number arrived. Gaps settle in the order in which
    their `higher` arrived: those with the fewest requests to choose from choose first, so no matching explains more.
    """

    def __init__(self) -> None:
        self.shown = Shown[Gap]()
        self.unknown = self.missing = self.explained = self.repeated = self.skipped = 0
        self._settled: deque[Gap] = deque(maxlen=REMEMBERED)
        self._unknown: list[int] = []
        self._available = 0

    def may_have_counted(self, sent: int) -> None:
        self.unknown += 1
        heappush(self._unknown, sent)

    def forget(self, moment: int) -> None:
        """Only count the requests that were sent before each gap that is still to settle can have shown."""
        while self._unknown and self._unknown[0] < moment:
            heappop(self._unknown)
            self._available += 1

    def settle(self, gap: Gap) -> None:
        """Take a gap that nobody can fill any more."""
        while self._unknown and self._unknown[0] <= gap.higher.answered:
            heappop(self._unknown)
            self._available += 1
        gap.explained = min(gap.size, self._available - self.explained)
        self.explained += gap.explained
        self.missing += gap.size
        self.shown.add(gap)
        self._settled.append(gap)

    def repeat(self, gap: Gap, number: int) -> None:
        """Attribute so many of a gap's numbers to requests that were counted and answered to nobody."""
        gap.repeated += number
        self.repeated += number

    def skip(self, gap: Gap) -> None:
        """Attribute the rest of a gap's numbers to the counter."""
        self.skipped += gap.pending
        gap.skipped += gap.pending

    def came_late(self, epoch: str, number: int) -> None:
        """Withdraw a number that was given after all, too late: that is another promise."""
        for index, gap in enumerate(self._settled):
            if gap.epoch == epoch and gap.first <= number <= gap.last and number not in gap.late:
                self.missing -= 1
                if gap.unexplained:
                    self._accuse_less(gap)
                else:
                    self._pass_on(gap, list(self._settled)[index + 1 :])
                gap.late |= {number}
                return

    def _pass_on(self, gap: Gap, later: list[Gap]) -> None:
        """Let the request that explained one of its numbers explain one of a later gap."""
        gap.explained -= 1
        if other := next((other for other in later if other.unexplained), None):
            self._accuse_less(other)
            other.explained += 1
        else:
            self.explained -= 1

    def _accuse_less(self, gap: Gap) -> None:
        if gap.skipped:
            gap.skipped -= 1
            self.skipped -= 1
        elif gap.repeated:
            gap.repeated -= 1
            self.repeated -= 1

    def __iter__(self) -> Iterator[Gap]:
        return (gap for gap in self.shown if gap.size)
