"""Which cluster of etcd a process counts in: two clusters behind one URL would be two counters."""

from hello.stores import UnavailableError


class Cluster:
    """The cluster that has a majority of the members named in the URL: no other one can have it at the same time."""

    def __init__(self, members: int) -> None:
        self._members = members
        self.id = ""
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
