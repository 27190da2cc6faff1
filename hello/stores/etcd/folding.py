"""Sessions that commit no more are folded into the base: etcd holds few keys, however many processes there were."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice

from hello.stores import SESSION_LIFETIME
from hello.stores.etcd.keys import Json, Keys, SessionKey, View, delete, is_unchanged, put, shares
from hello.stores.rules import Record

IDLE_TIMEOUT = 60.0
"""Seconds, by this process's own clock, after which a session's key that has not changed is folded into the base."""

FOLDED_AT_ONCE = 100
"""etcd takes 128 operations in a transaction, unless told otherwise (--max-txn-ops)."""

SHARES = 1000
"""Pods of folded sessions that are known by name."""


class IdleSessions:
    """Sessions whose keys have not changed for IDLE_TIMEOUT."""

    def __init__(self) -> None:
        """Know none yet."""
        self._unchanged: dict[str, tuple[int, float]] = {}
        """The revision of each session's key, and since when it is known."""

    def find(self, view: View) -> dict[str, int]:
        """Note what a view shows; the idle ones, not more than can be folded at once, with their keys' revisions."""
        now, before = time.monotonic(), self._unchanged
        self._unchanged = {
            client: (index, since if changed == index else now)
            for client, session in view.sessions.items()
            for index in [session.record.index]
            for changed, since in [before.get(client, (0, now))]
        }
        known = self._unchanged.items()
        idle = ((client, index) for client, (index, since) in known if now - since >= IDLE_TIMEOUT)
        return dict(islice(idle, FOLDED_AT_ONCE))

    def silence(self, client: str, session: SessionKey) -> float:
        """Seconds for which a session's key has not changed, as far as this process knows."""
        now = time.monotonic()
        index, since = self._unchanged.get(client, (0, now))
        return now - since if index == session.record.index else 0


def fold(keys: Keys, view: View, indexes: Mapping[str, int]) -> tuple[list[Json], list[Json]]:
    """What is compared, and what is written, to fold sessions whose keys are still of these revisions."""
    base = view.base
    idle = {client: view.sessions[client].record for client in indexes if client in view.sessions}
    own = [record for record in idle.values() if record.epoch == view.epoch]
    folded = replace(
        base,
        count=base.count + sum(record.total for record in own),
        forgotten=max([base.forgotten, *(record.index for record in own)]),
    )
    unchanged = (is_unchanged(keys.session(client), index) for client, index in indexes.items())
    writes = put(keys.base, folded.text()), put(keys.shares, shares(_recent([*view.shares, *own])))
    deletes = (delete(keys.session(client)) for client in idle)
    return [is_unchanged(keys.base, base.revision), *unchanged], [*writes, *deletes]


def _recent(records: Iterable[Record]) -> list[Record]:
    """Add up each pod's records; those of pods unseen for long are left out."""
    pods: dict[str, Record] = {}
    for record in records:
        pod = pods.setdefault(record.pod, Record(pod=record.pod))
        pod.total, pod.time = pod.total + record.total, max(pod.time, record.time)
    seen = [pod for pod in pods.values() if pod.time > time.time() - SESSION_LIFETIME]
    return sorted(seen, key=lambda pod: -pod.time)[:SHARES]
