"""What all rounds say: medians, and ratios taken within each round."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.rounds import PROCESSES
from bench.samples import Footprint, Sample

Choice = tuple[str, int]
"""A server, and how many processes of it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A median over the rounds, with the lowest and the highest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Figure | None":
        """Sum up one value a round; None if there are none."""
        known = sorted(values)
        return cls(median(known), known[0], known[-1]) if known else None


@dataclass(slots=True)
class Results:
    """All samples and footprints."""

    samples: list[Sample] = field(default_factory=list)
    footprints: list[Footprint] = field(default_factory=list)

    def add(self, result: Sample | Footprint) -> None:
        """Keep a result."""
        if isinstance(result, Sample):
            self.samples.append(result)
        else:
            self.footprints.append(result)

    def values(
        self, what: str, choice: Choice, connections: int = 64, watchers: int | None = None
    ) -> Mapping[int, float]:
        """One field of the samples taken in a situation, by round."""
        wanted = *choice, connections, watchers
        return {
            sample.round: getattr(sample, what)
            for sample in self.samples
            if (sample.server, sample.processes, sample.connections, sample.watchers) == wanted
        }

    def figure(self, what: str, choice: Choice, connections: int = 64) -> Figure | None:
        """The same, summed up."""
        return Figure.of(self.values(what, choice, connections).values())

    def best(self, names: Sequence[str], connections: int = 64) -> Choice:
        """The server of several, with as many processes, that answers most requests."""

        def throughput(choice: Choice) -> float:
            figure = self.figure("throughput", choice, connections)
            return figure.median if figure else 0

        return max(((name, processes) for name in names for processes in PROCESSES), key=throughput)


def ratio(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Figure | None:
    """Divide round by round: a machine's speed drifts, and within a round it drifts least."""
    return Figure.of(ours[number] / theirs[number] for number in ours.keys() & theirs.keys() if theirs[number])
