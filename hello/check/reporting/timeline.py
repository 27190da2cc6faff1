"""A run cut into pieces of time, which double in length as it grows: who answered how many in each, and how fast."""

from collections import Counter
from dataclasses import dataclass, field

from hello.check.history import Outcome, Record
from hello.check.judging.histogram import bucket, percentiles

MOST_PIECES = 600
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
        """Take what ended in another one."""
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
        """Take a record."""
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


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a chart draws of a run of this length: in each piece, the answers of each pod, percentiles and losses."""

    length: int
    piece: int
    answers: dict[str, list[int]]
    p50: list[int | None]
    p99: list[int | None]
    lost: list[int]

    @property
    def highest(self) -> int:
        """The most answers in a piece."""
        return max(map(sum, zip(*self.answers.values(), strict=True)), default=0)


WANTED = 120
"""Pieces of a drawing, at the most."""


def drawing(timeline: Timeline, length: int) -> Drawing:
    """Make it; the pod that answered first comes first, and of many those that answered least are one."""
    together = max(-(-(length // timeline.piece + 1) // WANTED), 1)
    pieces: list[Piece] = []
    for index in range(0, max(len(timeline.pieces), 1), together):
        piece = Piece()
        for part in timeline.pieces[index : index + together]:
            piece.add(part)
        pieces.append(piece)
    pods: Counter[str] = Counter()
    for piece in pieces:
        pods.update(piece.answers)
    apart = {pod for pod, _ in pods.most_common(MOST_PODS)}
    answers: dict[str, list[int]] = {}
    for index, piece in enumerate(pieces):
        for pod, count in piece.answers.items():
            answers.setdefault(pod if pod in apart else OTHERS, [0] * len(pieces))[index] += count
    ranks = [percentiles(piece.waits, (50, 99)) for piece in pieces]
    return Drawing(
        max(length, 1),
        timeline.piece * together,
        answers,
        [rank.get(50) for rank in ranks],
        [rank.get(99) for rank in ranks],
        [piece.lost for piece in pieces],
    )
