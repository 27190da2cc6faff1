"""A run cut into equal pieces of time: who answered how many in each, and how fast."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from hello.check.history import Outcome, Record
from hello.check.verdict import Verdict

PIECES = 120
MOST_PODS = 7  # that are told apart
OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Timeline:
    """Times in nanoseconds, relative to the beginning of the run; what has no answer has no percentiles.

    answers: of each pod, the one that answered first being the first, how many in each piece.
    """

    length: int
    piece: int
    answers: dict[str, list[int]]
    p50: list[int | None]
    p99: list[int | None]

    @property
    def highest(self) -> int:
        """The most answers in a piece."""
        return max(map(sum, zip(*self.answers.values(), strict=True)), default=0)


def timeline(records: Sequence[Record], verdict: Verdict) -> Timeline:
    length = max(verdict.ended - verdict.began, 1)
    piece = -(-length // PIECES)
    told_apart = {pod for pod, _ in verdict.pods.most_common(MOST_PODS)}
    answers: dict[str, list[int]] = {}
    latencies = [array("q") for _ in range(PIECES)]
    for record in sorted(records, key=attrgetter("answered")):
        if record.labels.outcome is Outcome.ANSWERED and not record.labels.read:
            index = min((record.answered - verdict.began) // piece, PIECES - 1)
            pod = record.labels.pod if record.labels.pod in told_apart else OTHERS
            answers.setdefault(pod or OTHERS, [0] * PIECES)[index] += 1
            latencies[index].append(min(record.answered - record.sent, 2**62))
    ordered = [sorted(piece) for piece in latencies]
    return Timeline(
        length, piece, answers, [_rank(each, 50) for each in ordered], [_rank(each, 99) for each in ordered]
    )


def _rank(latencies: list[int], percentile: int) -> int | None:
    return latencies[-(-percentile * len(latencies) // 100) - 1] if latencies else None
