"""The count in this process. No other process sees it, and it ends with the process."""

import time

from hello.stores import SESSION_TIMEOUT, Batch, Range, Reading, Store, rules
from hello.stores.rules import SessionRecord, State


class MemoryStore(Store):
    """A Store in memory, with an epoch of its own."""

    def __init__(self) -> None:
        self._state = State()
        self._records: dict[str, SessionRecord] = {}
        self._shares: list[SessionRecord] = []

    async def commit(self, batch: Batch) -> Range:
        record = self._records.get(batch.client)
        repeated = rules.find_duplicate(batch, self._state, record)
        if repeated:
            return repeated
        record = self._records[batch.client] = rules.count(batch, self._state, record, time.time_ns())
        if batch.ends:
            self._fold([batch.client])
        elif batch.sequence == 1:
            before = record.time - SESSION_TIMEOUT
            self._fold([client for client, record in self._records.items() if record.time <= before])
        return Range(record.epoch, record.top, record.index)

    def _fold(self, clients: list[str]) -> None:
        gone = [self._records.pop(client) for client in clients]
        self._shares = rules.fold(self._state, [*self._shares, *gone], time.time())

    async def read(self, epoch: str, seen: int) -> Reading:
        rules.notice_rollback(self._state, epoch, seen)
        return rules.make_reading(self._state, [*self._records.values(), *self._shares], time.time())

    async def reset(self, new_epoch: str, to: int) -> None:
        self._state = State(rules.make_epoch(time.time_ns(), self._state.epoch, new_epoch), to, to)

    async def close(self) -> None:
        pass
