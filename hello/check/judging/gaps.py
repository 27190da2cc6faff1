"""The numbers that no answer carried, and the requests of unknown outcome that may explain them."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from operator import attrgetter

from hello.check.history import Record
from hello.check.judging.shown import Shown

REMEMBERED = 1000
"""Settled gaps among which a late number is searched for."""

_first = attrgetter("first")


@dataclass(slots=True, eq=False)
class Gap:
    """Numbers first..last that no answer carried; `higher` is the first answer to arrive from beyond them.

    Failed requests can explain `explained` of them; pods counted `repeated` and answered nobody; `skipped` are in no
    pod's share; `late` arrived too late.
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
        return self.last - self.first + 1 - len(self.late)

    @property
    def unexplained(self) -> int:
        return self.size - self.explained

    @property
    def pending(self) -> int:
        """How many are neither explained, repeated nor skipped yet."""
        return self.unexplained - self.repeated - self.skipped


class Numbers:
    """The gaps of one epoch that a request under way may still fill, in the order of their numbers.

    A visitor's number shows that all numbers below it are taken; a read, that its own is, too. Nothing is known of
    numbers below the lowest. Records come in the order in which they end, so the one that shows a gap is its `higher`.
    """

    def __init__(self, epoch: str, first: Record) -> None:
        self.open: list[Gap] = []
        self._epoch = epoch
        self._first = first
        number = first.number or 0
        self._lowest, self._top = number + first.read, number

    def add(self, record: Record) -> bool:
        """Add a record; False if its number lies in no open gap."""
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
        """Remove the gaps that no request sent at this moment or later can fill, and return them."""
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
        """Split a gap at a read's number: the read's shares include only the numbers up to it."""
        index = self._at(number)
        if index >= 0 and number < self.open[index].last:
            gap = self.open[index]
            self.open.insert(index + 1, Gap(gap.epoch, number + 1, gap.last, gap.higher))
            gap.last = number


class Gaps:
    """The settled gaps of all epochs, matched greedily with requests of unknown outcome.

    A request can explain a number if it was sent no later than a higher number arrived. Gaps settle in the order in
    which their `higher` arrived, so those with the fewest candidates choose first, and no matching explains more.
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
        """Merely count the requests that were sent early enough to explain any gap that is still to settle."""
        while self._unknown and self._unknown[0] < moment:
            heappop(self._unknown)
            self._available += 1

    def settle(self, gap: Gap) -> None:
        """Add a gap that no request can fill any more."""
        while self._unknown and self._unknown[0] <= gap.higher.answered:
            heappop(self._unknown)
            self._available += 1
        gap.explained = min(gap.size, self._available - self.explained)
        self.explained += gap.explained
        self.missing += gap.size
        self.shown.add(gap)
        self._settled.append(gap)

    def repeat(self, gap: Gap, number: int) -> None:
        """Attribute some of a gap's numbers to repeated requests."""
        gap.repeated += number
        self.repeated += number

    def skip(self, gap: Gap) -> None:
        """Blame the counter for the rest of a gap's numbers."""
        self.skipped += gap.pending
        gap.skipped += gap.pending

    def came_late(self, epoch: str, number: int) -> None:
        """Remove a number that arrived after its gap had settled: being late breaks another promise."""
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
        """Let the request that explained a late number explain one of a later gap instead."""
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
