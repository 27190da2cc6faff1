"""What each pod counted, as reads of the count tell it, beside what it answered."""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from hello.check.history import Record

EARLIER_PODS = "earlier pods"
"""The entry into which the server folds pods that have been gone for long."""

MOST = 100_000
"""Answers that wait for a read."""


@dataclass(slots=True)
class Share:
    """A read that tells shares, and how many numbers each pod gave since the one before, up to its count."""

    read: Record
    answered: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Repeat:
    """Numbers that pods counted between two reads and answered to nobody; after: None if nothing is known of before."""

    number: int
    after: Record | None
    before: Record
    pods: dict[str, int]


class Shares:
    """The shares of one epoch, of which those are kept that a request under way may still have a number of."""

    def __init__(self) -> None:
        self.last: Record | None = None
        """The last read whose numbers have all arrived."""
        self._open: deque[Share] = deque()
        self._counts: deque[int] = deque()
        self._beyond: list[tuple[int, str]] = []

    def answered(self, number: int, pod: str) -> None:
        if self._counts and number <= self._counts[-1]:
            self._open[bisect_left(self._counts, number)].answered[pod] += 1
        elif self._counts or self.last:
            self._beyond.append((number, pod))
            if len(self._beyond) > MOST:  # no read came for long: the next one is the first again
                self.__init__()  # type: ignore[misc]

    def read(self, record: Record) -> None:
        count = record.number or 0
        latest = self._counts[-1] if self._counts else (self.last.number or 0) if self.last else -1
        if count > latest:
            share = Share(record, Counter(pod for number, pod in self._beyond if number <= count))
            self._beyond = [answer for answer in self._beyond if answer[0] > count]
            self._open.append(share)
            self._counts.append(count)

    def settled(self, moment: int) -> Iterator[Repeat]:
        """Compare the reads of whose numbers no request sent at this moment or later can have one."""
        while self._open and self._open[0].read.answered < moment:
            share = self._open.popleft()
            self._counts.popleft()
            pods = _excess(self.last, share) if self.last else {}
            yield Repeat(sum(pods.values()), self.last, share.read, pods)
            self.last = share.read


def _excess(last: Record, share: Share) -> dict[str, int]:
    before, now = dict(last.pods or {}), dict(share.read.pods or {})
    answered = Counter(share.answered)
    for gone in before.keys() - now.keys():  # folded into one entry meanwhile
        before[EARLIER_PODS] = before.get(EARLIER_PODS, 0) + before.pop(gone)
        answered[EARLIER_PODS] += answered.pop(gone, 0)
    excess = {pod: count - before.get(pod, 0) - answered[pod] for pod, count in now.items()}
    return {pod: count for pod, count in excess.items() if count > 0}
