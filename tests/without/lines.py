"""The lines of the manifests that can be taken away, and what shows what each buys."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.support.commands import ROOT
from tests.without import experiments
from tests.without.cluster import Outcome

TWINS = ROOT / "manifests/without"


@dataclass(frozen=True)
class Line:
    """A line of the manifests, and what shows its worth.

    serves: whether a counter without it does, at first. quick: whether it is soon shown.
    """

    name: str
    experiment: Callable[[], Outcome]
    serves: bool = True
    quick: bool = False

    @property
    def sentence(self) -> str:
        """What it is, and what it buys: the first line of its component."""
        with (TWINS / self.name / "kustomization.yaml").open() as file:
            return file.readline().removeprefix("# ").rstrip()


LINES = {
    line.name: line
    for line in (
        Line("drain", experiments.replace_pods),
        Line("grace-period", experiments.replace_pods_in_an_outage, quick=True),
        Line("readiness", experiments.look_elsewhere),
        Line("readiness-asks-redis", experiments.freeze_redis),
        Line("liveness", experiments.freeze),
        Line("max-unavailable", experiments.break_rollout),
        Line("disruption-budget", experiments.drain_nodes),
        Line("tolerations", experiments.lose_node),
        Line("tag", experiments.release),
        Line("redis", experiments.visit, quick=True),
        Line("appendonly", experiments.replace_redis, quick=True),
        Line("volume", experiments.replace_redis),
        Line("fs-group", experiments.start, serves=False),
        Line("network-policy", experiments.ask_redis, quick=True),
        Line("admin-port", experiments.read_metrics),
        Line("restricted", experiments.enforce_restricted),
        Line("read-only", experiments.write_file),
        Line("token", experiments.read_token),
        Line("memory-limit", experiments.take_memory),
    )
}
