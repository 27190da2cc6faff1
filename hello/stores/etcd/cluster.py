"""Which cluster of etcd a process counts in, and what it has seen there."""

from typing import NamedTuple

from hello.stores import UnavailableError


class Seen(NamedTuple):
    """The latest epoch that etcd was seen in, the highest revision then, and the cluster."""

    epoch: str = ""
    revision: int = 0
    cluster: str = ""


class Cluster:
    """The cluster that has a majority of the members in the URL. Two clusters behind one URL would be two counters."""

    def __init__(self, members: int) -> None:
        self.id = ""
        self.seen = Seen()
        self._members = members
        self._last: dict[str, str] = {}
        """The cluster that each member was in when it last answered."""

    def check(self, member: str, cluster: str) -> None:
        """Note the cluster that a member is in; raises UnavailableError if this process does not count there."""
        self._last[member] = cluster
        if cluster == self.id:
            return
        share = list(self._last.values()).count(cluster)
        if share <= self._members // 2:
            raise UnavailableError(f"its cluster has only {share} of the {self._members} members in the URL")
        self.id = cluster

    def saw(self, epoch: str, revision: int) -> None:
        self.seen = max(self.seen, Seen(epoch, revision, self.id))
