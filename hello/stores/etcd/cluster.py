"""Which cluster of etcd a process counts in, and what it has seen there."""

from typing import NamedTuple

from hello.stores import UnavailableError


class Seen(NamedTuple):
    """The latest epoch that was seen, its highest revision, and the cluster."""

    epoch: str = ""
    revision: int = 0
    cluster: str = ""


class Cluster:
    """The cluster that a majority of the members in the URL belong to. Two clusters would be two counters."""

    def __init__(self, members: int) -> None:
        self.id = ""
        self.seen = Seen()
        self._members = members
        self._last: dict[str, str] = {}
        """The cluster that each member belonged to when it last answered."""

    def check(self, member: str, cluster: str) -> None:
        """Note a member's cluster; raises UnavailableError if it has no majority."""
        self._last[member] = cluster
        if cluster == self.id:
            return
        share = list(self._last.values()).count(cluster)
        if share <= self._members // 2:
            raise UnavailableError(f"its cluster has only {share} of the {self._members} members in the URL")
        self.id = cluster

    def saw(self, epoch: str, revision: int) -> None:
        self.seen = max(self.seen, Seen(epoch, revision, self.id))
