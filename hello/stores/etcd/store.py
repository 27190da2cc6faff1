"""The count in etcd, shared by every pod: a key for each client session, one transaction a batch, none in conflict.

A session's key holds how many numbers it took; the count is the sum of them and of a base. A batch's place among all
commits is the revision that it made: https://etcd.io/docs/v3.6/learning/data_model/.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import chain
from typing import TypeVar

from hello.stores import (
    LIMIT,
    Batch,
    DistrustedError,
    ForgottenError,
    LostError,
    OutdatedError,
    Range,
    Reading,
    StoreError,
    UnavailableError,
)
from hello.stores.etcd.client import Client, CompactedError, parse
from hello.stores.etcd.cluster import Cluster
from hello.stores.etcd.folding import IDLE_TIMEOUT, IdleSessions, fold
from hello.stores.etcd.keys import (
    Base,
    Json,
    Keys,
    Session,
    View,
    are_unchanged,
    delete,
    holds,
    is_unchanged,
    put,
)
from hello.stores.rules import (
    ROLLED_BACK,
    State,
    count,
    is_earlier,
    make_epoch,
    make_reading,
    notice_rollback,
    repeat,
)
from hello.stores.url import Password

ATTEMPTS = 10
"""How often a transaction is made anew, for what was changed since the last look, before it is given up."""

NEAR_LIMIT = LIMIT - 2**40
"""Above it a batch is counted only if nothing was counted since the last look: etcd cannot compare a sum."""

GONE = "The store has compacted the revision at which you were counted."

T = TypeVar("T")


class EtcdStore:
    """A Store in etcd 3.4 or later. One connection commits, and one reads."""

    def __init__(self, url: str, password: Password | None = None) -> None:
        """Connect with the first batch; ValueError if the URL is none of etcd's."""
        address = parse(url, password)
        self._keys = Keys(address.prefix)
        self._cluster = Cluster(len(set(address.members)))
        self._commits, self._readings = Client(address, self._cluster), Client(address, self._cluster)
        self._own: dict[str, View] = {}
        """What the keys held when the present client session last committed from here, at the revision of its key."""
        self._begun: dict[str, int] = {}
        """The revision of the base when a client session was first heard of. A process has few of them."""
        self._idle = IdleSessions()
        self._latest = "", 0, ""
        """The latest epoch that etcd was seen in, its highest revision then, and its cluster."""

    async def commit(self, batch: Batch) -> Range:
        return await _ask(self._commits, lambda: self._commit(batch))

    async def read(self, epoch: str, seen: int) -> Reading:
        return await _ask(self._readings, lambda: self._read(epoch, seen))

    async def reset(self, new_epoch: str, to: int) -> None:
        for _ in range(ATTEMPTS):
            view = await _ask(self._readings, lambda: self._look(self._readings))
            before = view.latest if is_earlier(view.epoch, view.latest) else view.epoch
            epoch = make_epoch(time.time_ns(), before, new_epoch)
            begins = put(self._keys.epoch, epoch), put(self._keys.base, Base(to, to).text())
            ends = delete(self._keys.distrusted), delete(self._keys.shares)
            if await self._write(self._readings, [is_unchanged(self._keys.epoch, view.epoch_revision)], *begins, *ends):
                return
        raise UnavailableError("etcd: others reset it all the while")

    async def wait_for_loss(self) -> None:
        """Wait for ever: nobody who counts has to wait for what another process has seen."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Close the connections."""
        await self._commits.close()
        await self._readings.close()

    async def _commit(self, batch: Batch) -> Range:
        """Count a batch in one transaction, if nothing has happened since this session's last one."""
        own = self._own.pop(batch.client, None)  # what is sent again is looked up: to write it again may take as long
        if own and (own.epoch, own.revision) == (batch.epoch, batch.answered) and batch.seen < NEAR_LIMIT:
            is_counted, view = await self._try(batch, own, changed_after=own.revision)
        else:
            is_counted, view = False, await self._look(self._commits)
        for _ in range(ATTEMPTS):
            if is_counted:
                given = await self._range(batch, view)
                await self._fold(view)
                return given
            repeated = await self._judge(batch, view)
            if repeated:
                return await self._range(batch, await self._look_back(repeated.index))
            is_counted, view = await self._try(batch, view)
        raise UnavailableError("etcd: it changes all the while")

    async def _judge(self, batch: Batch, view: View) -> Range | None:
        """Find where the batch was counted before, None if it is yet to be; see rules.repeat."""
        state, session = view.state(), view.sessions.get(batch.client)
        try:
            repeated = repeat(batch, state, session.record if session else None)
        except DistrustedError:
            if not view.distrusted:
                await self._distrust(self._commits, view, batch.epoch)
            raise
        # Here sessions are folded soon: where there was a fold since this one began, it may have been counted before.
        begun = self._begun.setdefault(batch.client, view.base.revision)
        if view.epoch and session is None and begun != view.base.revision:
            raise ForgottenError("the store may have forgotten this session")
        return repeated

    async def _try(self, batch: Batch, view: View, changed_after: int = 0) -> tuple[bool, View]:
        """Count a batch if all it rests on is as in a view; whether it was counted, and what there is now.

        A view at the revision of this session's key needs only what was changed after it: if that key is still of this
        revision, etcd has the same past. In any other case all is read.
        """
        latest, (compare, puts) = self._latest, _count(self._keys, batch, view)
        success = *puts, {"request_range": self._keys.counted(changed_after)}
        failure = {"request_range": self._keys.counted()}
        answer = await self._commits.call("kv/txn", {"compare": compare, "success": success, "failure": [failure]})
        revision, found = int(answer["header"]["revision"]), answer["responses"][-1]["response_range"]
        is_counted, now = bool(answer.get("succeeded", False)), view if changed_after else View()
        if not is_counted:
            now = self._keys.view(found, revision)
        elif not self._keys.update(now, found, revision):
            now = await self._look_back(revision)
        await self._compare(self._commits, now, latest, is_counted)
        return is_counted, now

    async def _range(self, batch: Batch, view: View) -> Range:
        """Make the range of a batch, in the view at the revision at which it was counted.

        What the other stores compare before they count can be compared only now; nobody has these numbers yet.
        """
        session, top = view.sessions[batch.client], view.state().count
        if not view.distrusted and top - batch.n < session.seen:
            await self._distrust(self._commits, view, view.epoch)
        if view.distrusted:
            raise DistrustedError(view.distrusted)
        self._own = {batch.client: view}
        return Range(view.epoch, top, session.record.index)

    async def _read(self, epoch: str, seen: int) -> Reading:
        view = await self._look(self._readings)
        state = view.state()
        if notice_rollback(state, epoch, seen):
            await self._distrust(self._readings, view, epoch)
        sessions = ((session.record, self._idle.silence(client, session)) for client, session in view.sessions.items())
        folded = ((record, max(IDLE_TIMEOUT, time.time() - record.time)) for record in view.shares)
        return make_reading(state, chain(sessions, folded))

    async def _compare(self, client: Client, view: View, latest: tuple[str, int, str], wrote: bool = False) -> None:
        """Distrust etcd if it was restored: at an earlier revision than was seen before it was asked, or in a copy."""
        epoch, revision, cluster = latest
        is_restored = view.revision - wrote < revision or self._cluster.id != cluster
        if view.epoch and view.epoch == epoch and is_restored and not view.distrusted:
            await self._distrust(client, view, epoch)
        self._latest = max(self._latest, (view.epoch, view.revision, self._cluster.id))

    async def _distrust(self, client: Client, view: View, epoch: str) -> None:
        """Let nobody count any more in a view's epoch; the one that follows is to be later than what was seen."""
        latest = epoch if is_earlier(view.epoch, epoch) else view.epoch
        compare = [holds(self._keys.epoch, view.epoch)]
        if not await self._write(client, compare, put(self._keys.distrusted, f"{latest} {ROLLED_BACK}")):
            raise LostError("etcd: it was reset in between")
        view.distrusted = ROLLED_BACK

    async def _fold(self, view: View) -> None:
        """Fold the sessions that make no batches any more; whoever changes one of them meanwhile goes before."""
        idle = self._idle.find(view)
        if idle:
            with suppress(StoreError):
                compare, writes = fold(self._keys, await self._look(self._commits), idle)
                await self._write(self._commits, compare, *writes)

    async def _look(self, client: Client) -> View:
        """See what the keys hold now."""
        latest, answer = self._latest, await client.call("kv/range", self._keys.all())
        view = self._keys.view(answer, int(answer["header"]["revision"]))
        await self._compare(client, view, latest)
        return view

    async def _look_back(self, revision: int) -> View:
        """See what the count was made of at a revision; etcd keeps the past until it is compacted."""
        try:
            answer = await self._commits.call("kv/range", {**self._keys.counted(), "revision": str(revision)})
        except CompactedError as error:
            raise OutdatedError(GONE) from error
        except UnavailableError as error:
            raise LostError(str(error)) from error  # the batch was counted
        return self._keys.view(answer, revision)

    async def _write(self, client: Client, compare: list[Json], *writes: Json) -> bool:
        """Write what must be written together, if all that is compared is so; whether it was."""
        answer = await client.call("kv/txn", {"compare": compare, "success": writes})
        return bool(answer.get("succeeded", False))


async def _ask(client: Client, work: Callable[[], Awaitable[T]]) -> T:
    """Do some work, with one member after the other; LostError if one of them may have done it."""
    lost: StoreError | None = None
    for remaining in reversed(range(client.members)):
        try:
            return await work()
        except LostError as error:
            lost = error
        except StoreError as error:
            if remaining and isinstance(error, UnavailableError):
                continue
            if lost:
                raise lost from error
            raise
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise LostError(f"etcd: what it holds is not a counter's: {error}") from error
    raise lost or UnavailableError("etcd: it has no members")


def _count(keys: Keys, batch: Batch, view: View) -> tuple[list[Json], list[Json]]:
    """What is compared, and what is put, to count a batch."""
    before = view.sessions.get(batch.client)
    record = count(batch, State(view.epoch), before.record if before else None, time.time_ns())
    session = Session(record, batch.seen if batch.epoch == record.epoch else 0)
    key = keys.session(batch.client)
    compare = [is_unchanged(key, before.record.index if before else 0), is_unchanged(keys.distrusted, 0)]
    puts = [put(key, session.text())]
    if before is None:
        compare.append(is_unchanged(keys.base, view.base.revision))
    if view.epoch:
        compare.append(holds(keys.epoch, view.epoch))
    else:
        compare.append(is_unchanged(keys.epoch, 0))
        puts += [put(keys.epoch, record.epoch), put(keys.base, Base().text())]
    if view.count > NEAR_LIMIT:
        compare.append(are_unchanged(keys.counted(), view.revision))
    return compare, puts
