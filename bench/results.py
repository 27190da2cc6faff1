"""What all rounds say: medians, and ratios taken within each round."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median

from bench.rounds import Footprint
from bench.samples import Sample

USUAL = {"connections": 64, "durability": "always", "delay": None, "share": 0}


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
    proxy: float = 0
    """What the proxy that delays Redis' answers adds by itself, in ms."""

    def add(self, result: Sample | Footprint) -> None:
        """Keep a result."""
        if isinstance(result, Sample):
            self.samples.append(result)
        else:
            self.footprints.append(result)

    def values(self, what: str, server: str, processes: int = 1, **situation: object) -> Mapping[int, float]:
        """One field of the samples taken in a situation, by round; USUAL unless said otherwise."""
        wanted = {**USUAL, **situation, "server": server, "processes": processes}
        return {
            sample.round: getattr(sample, what)
            for sample in self.samples
            if all(getattr(sample, name) == value for name, value in wanted.items())
        }

    def figure(self, what: str, server: str, processes: int = 1, **situation: object) -> Figure | None:
        """The same, summed up."""
        return Figure.of(self.values(what, server, processes, **situation).values())

    def best(self, server: str, connections: int) -> int:
        """As many processes as give a server the highest throughput, one or two."""
        both = [self.figure("throughput", server, number, connections=connections) for number in (1, 2)]
        return 2 if both[1] and both[0] and both[1].median > both[0].median else 1

    def at_best(self, what: str, server: str, connections: int = 64) -> Mapping[int, float]:
        """One field, by round, with as many processes as are best."""
        return self.values(what, server, self.best(server, connections), connections=connections)

    def resting(self, what: str, server: str) -> Figure | None:
        """One field of a server's footprints."""
        values = (getattr(footprint, what) for footprint in self.footprints if footprint.server == server)
        return Figure.of(value for value in values if value is not None)


def ratio(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Figure | None:
    """Divide round by round: a machine's speed drifts, and within a round it drifts least."""
    return Figure.of(ours[number] / theirs[number] for number in ours.keys() & theirs.keys() if theirs[number])
