"""Views of a counter's keys, and the transaction that counts a batch."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hello.stores import LIMIT, Batch, DistrustedError, LostError, OutdatedError, StoreError, UnavailableError
from hello.stores.etcd.client import Client, CompactedError
from hello.stores.etcd.cluster import Cluster, Seen
from hello.stores.etcd.keys import Base, Json, Keys, SessionKey, View, holds, is_unchanged, put
from hello.stores.rules import State, count, is_earlier
from hello.stores.url import ServerUrl

NEAR_LIMIT = LIMIT - 2**40
"""Above it, the count is read before each batch: etcd cannot compare a sum."""

COMPACTED = "The store no longer knows your number: etcd has compacted its revision."

T = TypeVar("T")


class Views:
    """Reads and writes the keys over one connection, and distrusts an etcd that was restored."""

    def __init__(self, url: ServerUrl, cluster: Cluster) -> None:
        self.keys = Keys(url.path)
        self.client = Client(url, cluster)
        self._cluster = cluster

    async def ask(self, work: Callable[[], Awaitable[T]]) -> T:
        """Try some work with each member in turn; raises LostError if one of them may have done it."""
        errors: list[StoreError] = []
        for _ in range(self.client.members):
            try:
                return await work()
            except UnavailableError as error:
                errors.append(error)
            except StoreError as error:
                errors.append(error)
                break
            except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
                raise LostError(f"etcd: what it holds is not a counter's: {error}") from error
        raise next((error for error in errors if isinstance(error, LostError)), errors[-1])

    async def now(self) -> View:
        """View all keys as they are."""
        seen, answer = self._cluster.seen, await self.client.call("kv/range", self.keys.all())
        view = self.keys.view(answer, int(answer["header"]["revision"]))
        await self._notice_restore(view, seen)
        return view

    async def at(self, revision: int) -> View:
        """View the keys that made up the count at an earlier revision."""
        try:
            answer = await self.client.call("kv/range", {**self.keys.counted(), "revision": str(revision)})
        except CompactedError as error:
            raise OutdatedError(COMPACTED) from error
        except UnavailableError as error:
            raise LostError(str(error)) from error
        return self.keys.view(answer, revision)

    async def count(self, batch: Batch, view: View, changed_after: int = 0) -> tuple[bool, View]:
        """Count a batch if the keys that matter are as in a view; whether it was counted, and the view after it.

        A view at the revision of this session's key needs only what changed after it: if the key still has that
        revision, etcd has the same past. In any other case all keys are read.
        """
        seen, (compare, puts) = self._cluster.seen, _transaction(self.keys, batch, view)
        success = *puts, {"request_range": self.keys.counted(changed_after)}
        failure = {"request_range": self.keys.counted()}
        answer = await self.client.call("kv/txn", {"compare": compare, "success": success, "failure": [failure]})
        revision, found = int(answer["header"]["revision"]), answer["responses"][-1]["response_range"]
        is_counted, now = bool(answer.get("succeeded", False)), view if changed_after else View()
        if not is_counted:
            now = self.keys.view(found, revision)
        elif not self.keys.update(now, found, revision):
            now = await self.at(revision)
        await self._notice_restore(now, seen, is_counted)
        return is_counted, now

    async def write(self, compare: list[Json], *writes: Json) -> bool:
        """Write in one transaction if all comparisons hold; whether they did."""
        answer = await self.client.call("kv/txn", {"compare": compare, "success": writes})
        return bool(answer.get("succeeded", False))

    async def distrust(self, view: View, epoch: str) -> None:
        """Stop everybody from counting in a view's epoch. The next epoch will be later than the given one."""
        latest = epoch if is_earlier(view.epoch, epoch) else view.epoch
        compare = [holds(self.keys.epoch, view.epoch)]
        if not await self.write(compare, put(self.keys.distrusted, f"{latest} {DistrustedError.message}")):
            raise LostError("etcd: it was reset meanwhile")
        view.distrusted = DistrustedError.message

    async def _notice_restore(self, view: View, seen: Seen, wrote: bool = False) -> None:
        """Distrust an epoch at an earlier revision than was seen before the call, or in another cluster."""
        restored = view.revision - wrote < seen.revision or self._cluster.id != seen.cluster
        if view.epoch and view.epoch == seen.epoch and restored and not view.distrusted:
            await self.distrust(view, view.epoch)
        self._cluster.saw(view.epoch, view.revision)


def _transaction(keys: Keys, batch: Batch, view: View) -> tuple[list[Json], list[Json]]:
    """The comparisons and the puts that count a batch."""
    before = view.sessions.get(batch.client)
    record = count(batch, State(view.epoch), before.record if before else None, time.time_ns())
    session = SessionKey(record, batch.seen if batch.epoch == record.epoch else 0)
    key = keys.session(batch.client)
    compare = [is_unchanged(key, before.record.index if before else 0), is_unchanged(keys.distrusted, 0)]
    puts = [put(key, session.text())]
    if view.epoch:
        compare.append(holds(keys.epoch, view.epoch))
    else:
        compare.append(is_unchanged(keys.epoch, 0))
        puts += [put(keys.epoch, record.epoch), put(keys.base, Base().text())]
    return compare, puts
