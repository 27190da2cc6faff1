"""How many visits each pod answered over time, in pieces of time whose length doubles as the run grows."""

from collections import Counter

from hello.check.history import Outcome, Record

MOST_PIECES = 240
FIRST_PIECE = 10_000_000  # nanoseconds
MOST_PODS = 7  # that are told apart
PODS_OF_PIECE = 100  # that are counted apart
OTHERS = "others"


class Timeline:
    """The answers by pod in each piece of time, and the pieces with lost visits."""

    def __init__(self) -> None:
        self.piece = FIRST_PIECE
        self.pieces: list[Counter[str]] = []
        self.lost: set[int] = set()
        self._began: int | None = None

    def add(self, record: Record, *, lost: bool = False) -> None:
        if self._began is None:
            self._began = record.sent
        if record.read or not (lost or record.outcome is Outcome.ANSWERED):
            return
        index = self._index(record.answered - self._began)
        if lost:
            self.lost.add(index)
            return
        piece, pod = self.pieces[index], record.pod or OTHERS
        piece[pod if len(piece) < PODS_OF_PIECE else OTHERS] += 1

    def _index(self, moment: int) -> int:
        index = max(moment, 0) // self.piece
        while index >= MOST_PIECES:
            self._halve()
            index //= 2
        self.pieces += [Counter() for _ in range(len(self.pieces), index + 1)]
        return index

    def _halve(self) -> None:
        """Merge the pieces in pairs."""
        self.piece *= 2
        self.pieces = [sum(self.pieces[even : even + 2], Counter()) for even in range(0, len(self.pieces), 2)]
        self.lost = {index // 2 for index in self.lost}

    def answers(self) -> dict[str, list[int]]:
        """Each pod's answers in each piece; if there are many pods, those that answered least are merged."""
        pods = sum(self.pieces, Counter[str]())
        apart = {pod for pod, _ in pods.most_common(MOST_PODS)}
        answers: dict[str, list[int]] = {}
        for index, piece in enumerate(self.pieces):
            for pod, count in piece.items():
                answers.setdefault(pod if pod in apart else OTHERS, [0] * len(self.pieces))[index] += count
        return answers
