"""Folding: idle sessions are merged into the base, so that etcd holds few keys however many processes there were."""

import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

from hello.stores import rules
from hello.stores.etcd.keys import Json, Keys, SessionKey, View, delete, is_unchanged, put, shares
from hello.stores.rules import State

IDLE_TIMEOUT = 60
"""Seconds, by this process's clock, after which an unchanged session is folded."""

FOLDED_AT_ONCE = 100
"""By default etcd takes 128 operations in a transaction (--max-txn-ops)."""


class IdleSessions:
    """Sessions whose keys have not changed for IDLE_TIMEOUT."""

    def __init__(self) -> None:
        self._unchanged: dict[str, tuple[int, float]] = {}
        """The revision of each session's key, and when it was first seen."""

    def find(self, view: View) -> dict[str, int]:
        """Note what a view shows; returns idle sessions and their keys' revisions, as many as can be folded at once."""
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
        """Seconds since a session's key changed, as far as this process knows."""
        now = time.monotonic()
        index, since = self._unchanged.get(client, (0, now))
        return now - since if index == session.record.index else 0


def fold(keys: Keys, view: View, indexes: Mapping[str, int]) -> tuple[list[Json], list[Json]]:
    """The comparisons and the writes that fold sessions whose keys still have these revisions."""
    base, state = view.base, State(view.epoch, forgotten=view.base.forgotten)
    idle = {client: view.sessions[client].record for client in indexes if client in view.sessions}
    pods = rules.fold(state, [*view.shares, *idle.values()], time.time())
    total = sum(record.total for record in idle.values() if record.epoch == view.epoch)
    folded = replace(base, count=base.count + total, forgotten=state.forgotten)
    unchanged = (is_unchanged(keys.session(client), index) for client, index in indexes.items())
    deletes = (delete(keys.session(client)) for client in idle)
    writes = put(keys.base, folded.text()), put(keys.shares, shares(pods)), *deletes
    return [is_unchanged(keys.base, base.revision), *unchanged], list(writes)
