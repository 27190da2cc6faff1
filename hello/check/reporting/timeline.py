"""A run cut into pieces of time, which double in length as it grows: who answered how many in each, and how fast."""

from collections import Counter
from dataclasses import dataclass, field

from hello.check.history import Outcome, Record
from hello.check.judging.histogram import bucket, percentiles

MOST_PIECES = 240
FIRST_PIECE = 10_000_000  # nanoseconds
MOST_PODS = 7  # that are told apart
PODS_OF_PIECE = 100  # that are counted apart
OTHERS = "others"


@dataclass(slots=True)
class Piece:
    """What ended in a piece of time: the answers by pod, how long they took, and the losses."""

    answers: Counter[str] = field(default_factory=Counter)
    waits: Counter[int] = field(default_factory=Counter)
    lost: int = 0

    def add(self, other: "Piece") -> None:
        self.answers += other.answers
        self.waits += other.waits
        self.lost += other.lost


class Timeline:
    """The pieces so far. Times are nanoseconds since the first record was sent."""

    def __init__(self) -> None:
        self.piece = FIRST_PIECE
        self.pieces: list[Piece] = []
        self._began: int | None = None

    def add(self, record: Record, *, lost: bool = False) -> None:
        if self._began is None:
            self._began = record.sent
        if record.read or not (lost or record.outcome is Outcome.ANSWERED):
            return
        piece = self._at(record.answered - self._began)
        if lost:
            piece.lost += 1
            return
        pod = record.pod or OTHERS
        piece.answers[pod if len(piece.answers) < PODS_OF_PIECE else OTHERS] += 1
        piece.waits[bucket(record.answered - record.since)] += 1

    def _at(self, moment: int) -> Piece:
        index = max(moment, 0) // self.piece
        while index >= MOST_PIECES:
            self._halve()
            index //= 2
        while len(self.pieces) <= index:
            self.pieces.append(Piece())
        return self.pieces[index]

    def _halve(self) -> None:
        """Make one of each two pieces."""
        self.piece *= 2
        for even, odd in zip(self.pieces[::2], self.pieces[1::2], strict=False):
            even.add(odd)
        self.pieces = self.pieces[::2]

    @property
    def highest(self) -> int:
        return max((piece.answers.total() for piece in self.pieces), default=0)

    def answers(self) -> dict[str, list[int]]:
        """Each pod's answers in each piece; the pods that answered least are one, where there are many."""
        pods: Counter[str] = Counter()
        for piece in self.pieces:
            pods.update(piece.answers)
        apart = {pod for pod, _ in pods.most_common(MOST_PODS)}
        answers: dict[str, list[int]] = {}
        for index, piece in enumerate(self.pieces):
            for pod, count in piece.answers.items():
                answers.setdefault(pod if pod in apart else OTHERS, [0] * len(self.pieces))[index] += count
        return answers

    def latency(self, percentile: int) -> list[int | None]:
        """A percentile of how long the answers in each piece took; None where there are none."""
        return [percentiles(piece.waits, (percentile,)).get(percentile) for piece in self.pieces]
