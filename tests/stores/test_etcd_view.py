"""What a commit to etcd knows of other sessions: only changes are read, and the count is the same as if all were."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from hello.counting.session import Session
from hello.stores import DistrustedError, LostError, StoreError
from hello.stores.etcd.client import Client
from hello.stores.etcd.keys import delete, put
from hello.stores.etcd.store import EtcdStore
from tests.support.processes import EtcdServer
from tests.support.stores import FIRST, OTHER, following, let_a_minute_pass, restore, running, wipe

PROCESSES = 3
WHICH = st.integers(0, PROCESSES - 1)

T = TypeVar("T")


@dataclass
class Process:
    """A process that counts, as far as its store is concerned."""

    store: EtcdStore
    session: Session

    async def commit(self, n: int) -> bool:
        """Count n visitors, and compare what is known then with all that etcd held; whether they were counted."""
        batch = self.session.batch(n)
        try:
            given = await self.store.commit(batch)
        except StoreError as error:
            self.session.rejected(batch, error)
            return False
        self.session.accept(batch, given)
        view = self.store._own[batch.client]  # noqa: SLF001
        assert view == await self.store._commits.at(given.index)  # noqa: SLF001
        assert given.top == view.count
        return True


class Histories(RuleBasedStateMachine):
    """What several processes do, one after the other, and what happens to the keys in between."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.url = url
        self.processes = [self.process(which) for which in range(PROCESSES)]
        self.do(wipe(self.processes[0].store))

    def do(self, work: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(work)

    def process(self, which: int) -> Process:
        return Process(EtcdStore(self.url), Session(f"pod-{which}"))

    def write(self, *writes: Any) -> None:
        store = self.processes[0].store
        self.do(store._readings.write([], *writes))  # noqa: SLF001

    @rule(which=WHICH, n=st.integers(0, 3), times=st.integers(1, 3))
    def count(self, which: int, n: int, times: int) -> None:
        for _ in range(times):
            self.do(self.processes[which].commit(n))

    @rule(which=WHICH)
    def lose_an_answer(self, which: int) -> None:
        process = self.processes[which]
        client = process.store._commits.client  # noqa: SLF001

        async def lose(method: str, body: Any) -> Any:
            answer = await Client.call(client, method, body)
            if method == "kv/txn":
                raise LostError("lost")
            return answer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(client, "call", lose)
            self.do(process.commit(1))

    @rule(which=WHICH)
    def let_a_minute_pass(self, which: int) -> None:
        """Its next commit folds who makes no batches."""
        let_a_minute_pass(self.processes[which].store)

    @rule(which=WHICH)
    def replace_a_process(self, which: int) -> None:
        self.do(self.processes[which].store.close())
        self.processes[which] = self.process(which)

    @rule(added=st.integers(0, 2), deleted=st.integers(0, 2))
    def write_keys_of_others(self, added: int, deleted: int) -> None:
        """One key fewer and one more are as many as before."""
        keys = self.processes[0].store._keys  # noqa: SLF001
        if added != deleted:
            self.write(put(f"{keys.epoch}/{added}", "another's"), delete(f"{keys.epoch}/{deleted}"))

    @rule(to=st.integers(0, 5))
    def reset(self, to: int) -> None:
        self.do(self.processes[0].store.reset("reset", to))

    @rule()
    def wipe(self) -> None:
        self.do(wipe(self.processes[0].store))

    def teardown(self) -> None:
        """All goes well again, after what each process has to be told."""
        for process in self.processes:
            for _ in range(5):
                with suppress(DistrustedError):
                    counted = self.do(process.commit(1))
            assert counted
            self.do(process.store.close())
        self.loop.close()


def test_what_is_known_is_what_a_reading_of_all_keys_shows(etcd_url: str) -> None:
    run_state_machine_as_test(
        lambda: Histories(etcd_url),  # type: ignore[arg-type]
        settings=settings(max_examples=25, stateful_step_count=30, suppress_health_check=list(HealthCheck)),
    )


async def test_a_commit_reads_what_was_changed_since_the_one_before(
    etcd_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = EtcdStore(etcd_url), EtcdStore(etcd_url)
    for client in "cdef":
        await other.commit(replace(FIRST, client=client * 32))
    given = await store.commit(FIRST)
    await other.commit(OTHER)
    shown = []

    async def call(method: str, body: Any) -> Any:
        answer = await Client.call(store._commits.client, method, body)  # noqa: SLF001
        shown.append(len(answer["responses"][-1]["response_range"]["kvs"]))
        return answer

    monkeypatch.setattr(store._commits.client, "call", call)  # noqa: SLF001
    assert (await store.commit(following(FIRST, given))).top == 7 * 3
    assert shown == [2]
    for one in store, other:
        await one.close()


@pytest.mark.parametrize("is_lost", [False, True])
async def test_an_etcd_that_was_restored_and_has_counted_on_has_another_past(tmp_path: Path, is_lost: bool) -> None:
    """Its revision is higher than before: only what a process wrote itself tells whether what it knows is still so."""
    async with running(EtcdServer(tmp_path / "one")) as server:
        store, other, newcomer = (EtcdStore(server.url) for _ in range(3))
        snapshot, given = server.directory / "snapshot", await store.commit(FIRST)
        await server.call("snapshot", "save", snapshot)
        if is_lost:
            given = await store.commit(following(FIRST, given))
        await other.commit(OTHER)
        await restore(server, snapshot)
        for client in "cdef":
            await newcomer.commit(replace(OTHER, client=client * 32, pod=client))

        batch = following(FIRST, given, sequence=3, seen=0)
        if is_lost:
            with pytest.raises(DistrustedError):
                await store.commit(batch)
        else:
            assert (await store.commit(batch)).top == (await newcomer.read("", 0)).count == 6 * 3
        for one in store, other, newcomer:
            await one.close()
