"""The count in etcd: a key for each client session, one transaction for each batch, and no conflicts between sessions.

A session's key holds how many numbers it took. The count is the sum of these and a base. A batch's place in the order
of commits is the revision that it made: https://etcd.io/docs/v3.6/learning/data_model/.
"""

import time
from contextlib import suppress

from hello.stores import Batch, DistrustedError, Range, Reading, Store, StoreError, UnavailableError
from hello.stores.etcd.client import parse
from hello.stores.etcd.cluster import Cluster
from hello.stores.etcd.folding import IDLE_TIMEOUT, IdleSessions, fold
from hello.stores.etcd.keys import Base, View, delete, is_unchanged, put
from hello.stores.etcd.views import NEAR_LIMIT, Views
from hello.stores.rules import find_duplicate, is_earlier, make_epoch, make_reading, notice_rollback
from hello.stores.url import Password

ATTEMPTS = 10
"""How often a transaction is tried, each time after another look."""

CONFLICTS = f"etcd: gave up after {ATTEMPTS} conflicting transactions"


class EtcdStore(Store):
    """A Store in etcd 3.4 or later. One connection commits, and one reads."""

    def __init__(self, url: str, password: Password | None = None) -> None:
        """Connect with the first batch; raises ValueError for a bad URL."""
        parts = parse(url, password)
        cluster = Cluster(len(set(parts.hosts)))
        self._commits, self._readings = Views(parts, cluster), Views(parts, cluster)
        self._keys = self._commits.keys
        self._own: dict[str, View] = {}
        """The view at the revision of the last commit, by its client session."""
        self._idle = IdleSessions()

    async def commit(self, batch: Batch) -> Range:
        return await self._commits.ask(lambda: self._commit(batch))

    async def read(self, epoch: str, seen: int) -> Reading:
        return await self._readings.ask(lambda: self._read(epoch, seen))

    async def reset(self, new_epoch: str, to: int) -> None:
        for _ in range(ATTEMPTS):
            view = await self._readings.ask(self._readings.now)
            before = view.latest if is_earlier(view.epoch, view.latest) else view.epoch
            epoch = make_epoch(time.time_ns(), before, new_epoch)
            begins = put(self._keys.epoch, epoch), put(self._keys.base, Base(to, to).text())
            ends = delete(self._keys.distrusted), delete(self._keys.shares)
            if await self._readings.write([is_unchanged(self._keys.epoch, view.epoch_revision)], *begins, *ends):
                return
        raise UnavailableError(CONFLICTS)

    async def close(self) -> None:
        await self._commits.client.close()
        await self._readings.client.close()

    async def _commit(self, batch: Batch) -> Range:
        """Count a batch, in a single transaction if this session's last one is answered."""
        own = self._own.pop(batch.client, None)  # a repeated batch is looked up: writing takes longer
        if own and (own.epoch, own.revision) == (batch.epoch, batch.answered) and batch.seen < NEAR_LIMIT:
            is_counted, view = await self._commits.count(batch, own, changed_after=own.revision)
        else:
            is_counted, view = False, await self._commits.now()
        for _ in range(ATTEMPTS):
            if is_counted:
                given = await self._range(batch, view)
                await self._fold(view)
                return given
            repeated = await self._repeat(batch, view)
            if repeated:
                return await self._range(batch, await self._commits.at(repeated.index))
            is_counted, view = await self._commits.count(batch, view)
        raise UnavailableError(CONFLICTS)

    async def _repeat(self, batch: Batch, view: View) -> Range | None:
        """Find where a batch was counted before, or None; raises a StoreError if it must not be counted."""
        state, session = view.state(), view.sessions.get(batch.client)
        try:
            return find_duplicate(batch, state, session.record if session else None)
        except DistrustedError:
            if not view.distrusted:
                await self._commits.distrust(view, batch.epoch)
            raise

    async def _range(self, batch: Batch, view: View) -> Range:
        """Make a batch's range from the view at the revision at which it was counted.

        Other stores compare the count with what was seen before they count. Here nobody has the numbers yet.
        """
        session, top = view.sessions[batch.client], view.state().count
        if not view.distrusted and top - batch.n < session.seen:
            await self._commits.distrust(view, view.epoch)
        if view.distrusted:
            raise DistrustedError(view.distrusted)
        self._own = {batch.client: view}
        return Range(view.epoch, top, session.record.index)

    async def _fold(self, view: View) -> None:
        """Fold idle sessions, unless one of them has changed by then."""
        idle = self._idle.find(view)
        if idle:
            with suppress(StoreError):
                compare, writes = fold(self._keys, await self._commits.now(), idle)
                await self._commits.write(compare, *writes)

    async def _read(self, epoch: str, seen: int) -> Reading:
        view = await self._readings.now()
        state = view.state()
        if notice_rollback(state, epoch, seen):
            await self._readings.distrust(view, epoch)
        now = int(time.time())
        for client, session in view.sessions.items():  # another pod's clock may be wrong
            session.record.time = now - int(self._idle.silence(client, session))
        for share in view.shares:
            share.time = min(share.time, now - IDLE_TIMEOUT)
        records = [session.record for session in view.sessions.values()]
        return make_reading(state, [*records, *view.shares], now)
