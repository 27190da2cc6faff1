"""Compares what each pod counted, according to `GET /count`, with what it answered."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

from hello.check.history import Record

EARLIER_PODS = "earlier pods"
"""The entry into which the server folds pods that left long ago."""

MOST = 100_000
"""Answers kept until the next read."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """Numbers that pods counted between two reads and answered to nobody; after: None if there was no earlier read."""

    number: int
    after: Record | None
    before: Record
    pods: dict[str, int]


class Shares:
    """The reads of one epoch whose numbers may still arrive, and the answers since the last settled one."""

    def __init__(self) -> None:
        self._last: Record | None = None
        """The last settled read."""
        self._reads: deque[Record] = deque()
        self._answers: list[tuple[int, str]] = []

    def answered(self, number: int, pod: str) -> None:
        if self._reads or self._last:
            self._answers.append((number, pod))
            if len(self._answers) > MOST:  # no read came for long: the next one is the first again
                self.__init__()  # type: ignore[misc]

    def read(self, record: Record) -> None:
        latest = self._reads[-1] if self._reads else self._last
        if latest is None or (record.number or 0) > (latest.number or 0):
            self._reads.append(record)

    def settled(self, moment: int) -> Iterator[Repeat]:
        """Settle the reads whose numbers no request sent at this moment or later can take."""
        while self._reads and self._reads[0].answered < moment:
            read = self._reads.popleft()
            count = read.number or 0
            answered = Counter(pod for number, pod in self._answers if number <= count)
            self._answers = [answer for answer in self._answers if answer[0] > count]
            pods = _excess(self._last, read, answered) if self._last else {}
            yield Repeat(sum(pods.values()), self._last, read, pods)
            self._last = read


def _excess(last: Record, read: Record, answered: Counter[str]) -> dict[str, int]:
    """How many more each pod counted between two reads than it answered."""
    before, now = dict(last.pods or {}), dict(read.pods or {})
    for gone in before.keys() - now.keys():  # folded into one entry meanwhile
        before[EARLIER_PODS] = before.get(EARLIER_PODS, 0) + before.pop(gone)
        answered[EARLIER_PODS] += answered.pop(gone, 0)
    excess = {pod: count - before.get(pod, 0) - answered[pod] for pod, count in now.items()}
    return {pod: count for pod, count in excess.items() if count > 0}
