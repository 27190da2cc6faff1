"""The promise, step by step: several processes over one store, and answers, processes and data lost in every order."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from hello.counting import counter, queue
from hello.counting.counter import Counter
from hello.counting.queue import RefusedError, Visit
from hello.metrics import Metrics
from hello.stores import Batch, LostError, Range, Reading, Store, StoreError, UnavailableError
from hello.stores.etcd.client import Client
from hello.stores.etcd.folding import IDLE_TIMEOUT
from hello.stores.etcd.keys import Json, delete, put
from hello.stores.etcd.store import EtcdStore
from hello.stores.memory import MemoryStore
from hello.stores.redis.store import RedisStore
from hello.stores.sqlite import SqliteStore
from tests.support.processes import RedisServer
from tests.support.stores import etcd_keys, wipe
from tests.support.stores import redis_command as redis

PROCESSES = 3
WHICH = st.integers(0, 30)

T = TypeVar("T")


class Wire(Store):
    """A store at the far end of a wire: a batch waits there until a rule decides what becomes of it."""

    def __init__(self, store: Store, sent: list[Batch]) -> None:
        self.store = store
        self.sent = sent
        self.waiting: tuple[Batch, asyncio.Future[Range]] | None = None

    async def commit(self, batch: Batch) -> Range:
        answer: asyncio.Future[Range] = asyncio.get_running_loop().create_future()
        self.waiting = batch, answer
        self.sent.append(batch)
        try:
            return await answer
        finally:
            self.waiting = None

    async def read(self, epoch: str, seen: int) -> Reading:
        return await self.store.read(epoch, seen)

    async def reset(self, epoch: str, to: int) -> None:
        await self.store.reset(epoch, to)

    async def close(self) -> None:
        pass


class Process:
    """A process that counts, and may be killed."""

    def __init__(self, name: str, store: Store, sent: list[Batch]) -> None:
        self.wire = Wire(store, sent)
        self.counter = Counter(self.wire, name, Metrics(), deadline=10_000)
        self.life = asyncio.get_running_loop().create_task(self._live())

    async def _live(self) -> None:
        async with self.counter.running():
            await asyncio.Event().wait()

    async def kill(self) -> None:
        self.life.cancel()
        with suppress(asyncio.CancelledError):
            await self.life


@dataclass
class Request:
    """A request and its outcome; `sent` and `answered` are steps of the machine."""

    process: Process
    sent: int
    visit: asyncio.Task[Visit]
    answered: int | None = None

    def has_number(self) -> bool:
        return self.visit.done() and not self.visit.cancelled() and not self.visit.exception()


async def joined(process: Process) -> Visit:
    return await process.counter.join()


async def copy_of(store: Store) -> Callable[[], Coroutine[object, object, None]]:
    """Copy a store's data; what comes back puts the copy in its place."""
    match store:
        case MemoryStore():
            copies = deepcopy(vars(store))

            async def restore() -> None:
                vars(store).update(deepcopy(copies))

        case SqliteStore():
            await store.read("", 0)
            copy = store.path.with_name("copy.db")
            with closing(sqlite3.connect(store.path)) as file, closing(sqlite3.connect(copy)) as other:
                file.backup(other)

            async def restore() -> None:
                with closing(sqlite3.connect(store.path)) as file, closing(sqlite3.connect(copy)) as other:
                    other.backup(file)

        case RedisStore():
            fields = await redis(store, "HGETALL", "{hello}")

            async def restore() -> None:
                await redis(store, "DEL", "{hello}")
                if fields:
                    await redis(store, "HSET", "{hello}", *fields)

        case EtcdStore():
            values = await etcd_keys(store)

            async def restore() -> None:
                await wipe(store)
                await store._readings.write([], *(put(*pair) for pair in values.items()))  # noqa: SLF001

    return restore


def is_lost(visit: Visit, reading: Reading) -> bool:
    """Whether a store that was put back knows nothing of a number. Ids of epochs sort by when they began."""
    return visit.epoch > reading.epoch or (visit.epoch == reading.epoch and visit.number > reading.count)


def end_wait(process: Process) -> None:
    """Let so much time pass that a process waits no longer in the roll call that it knows of."""
    assert isinstance(process.wire.store, RedisStore)
    process.wire.store._wait_end = 0  # noqa: SLF001


async def has_looked(server: RedisServer, process: Process, answer: "asyncio.Task[None]") -> None:
    """Wait until a process waits in the roll call of Redis' present run, or need not wait."""
    lines = await server.lines("INFO", "server")
    run = next(line.removeprefix("run_id:") for line in lines if line.startswith("run_id:"))
    store = process.wire.store
    assert isinstance(store, RedisStore)
    while not answer.done() and store._waits_in != run:  # noqa: SLF001
        await asyncio.sleep(0.001)


class Promise(RuleBasedStateMachine):
    """Each rule is one thing that happens; after each, the promise is checked over all answers so far."""

    def __init__(self, make: Callable[[], Store], redis_server: RedisServer | None = None) -> None:
        super().__init__()
        self.make = make
        self.loop = asyncio.new_event_loop()
        self.store = make()
        self.redis_server = redis_server
        self.restarts = 0
        self.step = 0
        self.sent: list[Batch] = []
        self.processes: list[Process] = []
        self.requests: list[Request] = []
        self.readings: dict[str, int] = {}
        self.copy: Callable[[], Coroutine[object, object, None]] | None = None
        self.transactions: list[Json] = []
        """Those to etcd that are still on their way."""
        self.do(wipe(self.store))

    def do(self, work: Coroutine[object, object, T]) -> T:
        """Let something happen, and all that follows from it."""

        async def settled() -> T:
            result = await work
            for _ in range(20):
                await asyncio.sleep(0)
            return result

        self.step += 1
        result = self.loop.run_until_complete(settled())
        for request in self.requests:
            if request.answered is None and request.visit.done():
                request.answered = self.step
        return result

    def some(self, which: int, waiting: bool = False) -> Process | None:
        """One of the processes, or of those with a batch on the wire."""
        processes = [process for process in self.processes if process.wire.waiting or not waiting]
        return processes[which % len(processes)] if processes else None

    async def answer(self, process: Process, outcome: StoreError | None) -> None:
        """End a batch: with what the store says, or in another way."""
        assert process.wire.waiting
        batch, answer = process.wire.waiting
        store = process.wire.store
        try:
            given = await store.commit(batch)
            if isinstance(store, EtcdStore):  # it reads changes, and knows as much as who reads all
                assert store._own[batch.client] == await store._commits.at(given.index)  # noqa: SLF001
        except StoreError as error:
            outcome = outcome or error
        if outcome:
            answer.set_exception(outcome)
        else:
            answer.set_result(given)

    @rule()
    @precondition(lambda self: len(self.processes) < PROCESSES)
    def start_a_process(self) -> None:
        async def start() -> Process:
            # Over a network each has a store of its own, with what it knows.
            own = isinstance(self.store, (RedisStore, EtcdStore))
            store = self.make() if own else self.store
            return Process(f"pod-{self.step}", store, self.sent)

        self.processes.append(self.do(start()))

    @rule(which=WHICH)
    def kill_a_process(self, which: int) -> None:
        if process := self.some(which):
            self.processes.remove(process)
            self.do(process.kill())
            if process.wire.store is not self.store:
                self.do(process.wire.store.close())

    @rule(which=WHICH, visitors=st.integers(1, 3))
    def visit(self, which: int, visitors: int) -> None:
        async def come(process: Process) -> None:
            for _ in range(visitors):
                self.come(process)

        if process := self.some(which):
            self.do(come(process))

    @rule(which=WHICH)
    def hang_up(self, which: int) -> None:
        async def cancel(request: Request) -> None:
            request.visit.cancel()

        if waiting := [request for request in self.requests if not request.visit.done()]:
            self.do(cancel(waiting[which % len(waiting)]))

    @rule(which=WHICH)
    def answer_a_batch(self, which: int) -> None:
        if process := self.some(which, waiting=True):
            self.do(self.answer(process, None))

    @rule(which=WHICH)
    def lose_an_answer(self, which: int) -> None:
        if process := self.some(which, waiting=True):
            self.do(self.answer(process, LostError("lost")))

    @rule(which=WHICH, error=st.sampled_from([LostError, UnavailableError]))
    def lose_a_batch(self, which: int, error: type[StoreError]) -> None:
        async def lose(process: Process) -> None:
            assert process.wire.waiting
            process.wire.waiting[1].set_exception(error("lost"))

        if process := self.some(which, waiting=True):
            self.do(lose(process))

    @rule(which=WHICH)
    def deliver_a_batch_late(self, which: int) -> None:
        async def deliver(batch: Batch) -> None:
            with suppress(StoreError):
                await self.store.commit(batch)

        sent = self.sent
        if isinstance(self.store, EtcdStore):  # one that is on the wire now is a transaction, which arrives once
            waiting = [process.wire.waiting[0] for process in self.processes if process.wire.waiting]
            sent = [batch for batch in self.sent if batch not in waiting]
        if sent:
            self.do(deliver(sent[-1 - which % len(sent)]))

    @rule(which=WHICH, arrives=st.booleans())
    @precondition(lambda self: isinstance(self.store, EtcdStore))
    def lose_a_transaction_or_its_answer(self, which: int, arrives: bool) -> None:
        """One that does not arrive now may arrive later, and only once."""
        process = self.some(which, waiting=True)
        if process is None:
            return
        assert isinstance(process.wire.store, EtcdStore)
        client = process.wire.store._commits.client  # noqa: SLF001

        async def lose(method: str, body: Json) -> Json:
            if arrives or method != "kv/txn":
                answer = await Client.call(client, method, body)
            else:
                self.transactions.append(body)
            if method == "kv/txn":
                raise LostError("lost")
            return answer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(client, "call", lose)
            self.do(self.answer(process, None))

    @rule(which=WHICH)
    @precondition(lambda self: self.transactions)
    def deliver_a_transaction_late(self, which: int) -> None:
        assert isinstance(self.store, EtcdStore)
        self.do(self.store._readings.client.call("kv/txn", self.transactions.pop(which % len(self.transactions))))  # noqa: SLF001

    @rule(added=st.integers(0, 2), deleted=st.integers(0, 2))
    @precondition(lambda self: isinstance(self.store, EtcdStore))
    def write_keys_of_others(self, added: int, deleted: int) -> None:
        """One key fewer and one more are as many as before."""
        assert isinstance(self.store, EtcdStore)
        others = f"{self.store._keys.epoch}/"  # noqa: SLF001
        if added != deleted:
            writes = put(f"{others}{added}", "another's"), delete(f"{others}{deleted}")
            self.do(self.store._readings.write([], *writes))  # noqa: SLF001

    @rule()
    @precondition(lambda self: isinstance(self.store, EtcdStore))
    def let_a_minute_pass(self) -> None:
        """Who makes no batch before another one does is forgotten."""
        for process in self.processes:
            assert isinstance(process.wire.store, EtcdStore)
            idle = process.wire.store._idle  # noqa: SLF001
            known = idle._unchanged.items()  # noqa: SLF001
            idle._unchanged = {client: (index, since - IDLE_TIMEOUT) for client, (index, since) in known}  # noqa: SLF001

    @rule(which=WHICH)
    def read(self, which: int) -> None:
        if process := self.some(which):
            reading = self.do(process.counter.read())
            assert reading.count >= self.readings.get(reading.epoch, 0), "a read went down"
            self.readings[reading.epoch] = reading.count

    @rule()
    def wipe(self) -> None:
        self.transactions.clear()  # one could begin an epoch that is earlier than one that was seen
        self.do(wipe(self.store))

    @rule(to=st.integers(0, 5))
    def reset(self, to: int) -> None:
        self.do(self.store.reset(f"reset-{self.step}", to))

    @rule()
    def take_a_copy(self) -> None:
        self.copy = self.do(copy_of(self.store))

    def come(self, process: Process) -> asyncio.Task[Visit]:
        visit = asyncio.create_task(joined(process))
        self.requests.append(Request(process, self.step - 1, visit))
        return visit

    async def count_one_more(self, process: Process) -> None:
        """Let a process give a number that no other one sees."""
        visit = self.come(process)
        while not visit.done():
            if process.wire.waiting:
                await self.answer(process, None)
            await asyncio.sleep(0)

    async def restart_twice(self, redis_server: RedisServer, process: Process) -> None:
        """Restart Redis, and again while a process waits for the others to say what they saw; then all say it."""
        for each in self.processes:
            self.come(each)
        for _ in range(20):
            await asyncio.sleep(0)
        answers: list[asyncio.Task[None]] = []
        await self.store.close()  # it connects again
        for _ in range(2):
            redis_server.kill()
            await asyncio.gather(*answers)
            await redis_server.start()
            end_wait(process)  # of the run before: so much time has passed
            while not process.wire.waiting:
                await asyncio.sleep(0)
            answers = [asyncio.create_task(self.answer(process, None))]
            await has_looked(redis_server, process, answers[0])
        for other in self.processes:
            if other is not process and other.wire.waiting:
                answers.append(asyncio.create_task(self.answer(other, None)))
                await has_looked(redis_server, other, answers[-1])
        for other in self.processes:  # the dead are waited for
            end_wait(other)
        await asyncio.gather(*answers)

    @rule(which=WHICH, to=st.integers(0, 5))
    @precondition(lambda self: self.copy is not None)
    def put_the_copy_back(self, which: int, to: int) -> None:
        """Everybody says what was seen, as after a restart; then a person begins a new epoch."""

        async def restore() -> None:
            assert self.copy
            if self.redis_server and self.processes and not self.restarts:
                self.restarts += 1
                process, other = (self.processes[number % len(self.processes)] for number in (which, which + 1))
                for each in process, other:  # the store must know them before, or cannot wait for them
                    await self.count_one_more(each)
                self.copy = await copy_of(self.store)
                await self.count_one_more(other)
                await self.copy()
                await self.restart_twice(self.redis_server, process)
            else:
                await self.copy()
            for process in self.processes:
                with suppress(RefusedError):
                    await process.counter.read()
            reading = await self.store.read("", 0)
            acked = [request for request in self.requests if request.has_number() and request.process in self.processes]
            if reading.epoch and any(is_lost(request.visit.result(), reading) for request in acked):
                assert reading.distrusted, "nobody noticed"
            await self.store.reset(f"restored-{self.step}", to)

        self.do(restore())
        for process in self.processes:
            while process.counter.state.name == "distrusted":
                self.do(self.answer(process, None))

    @invariant()
    def the_promise_holds(self) -> None:
        reading = self.loop.run_until_complete(self.store.read("", 0))
        assert not reading.distrusted
        acked = [(request, request.visit.result()) for request in self.requests if request.has_number()]
        assert len({visit for _, visit in acked}) == len(acked), "given twice"
        present = [visit.number for _, visit in acked if visit.epoch == reading.epoch]
        assert max(present, default=0) <= reading.count, "forgotten"
        sent = {(batch.client, batch.sequence): batch.n for batch in self.sent if batch.epoch == reading.epoch}
        received = min(len(self.requests), sum(sent.values()))
        assert len(present) <= reading.count - reading.began <= received, "not exact"
        for first, one in acked:
            for second, other in acked:
                if first.answered is not None and first.answered <= second.sent:
                    assert one.epoch <= other.epoch, "two counters"
                    assert one.epoch != other.epoch or one.number < other.number, "out of order"

    def teardown(self) -> None:
        """All goes well again: every visitor who is left, and one more at each process, gets a number."""
        visits = []
        for which in range(len(self.processes)):
            self.visit(which, 1)
            visits.append(self.requests[-1].visit)
        for which in range(20 * PROCESSES):
            self.answer_a_batch(which)
        self.the_promise_holds()
        assert all(visit.done() and not visit.exception() for visit in visits)
        while self.processes:
            self.kill_a_process(0)
        self.do(self.store.close())
        self.loop.close()


@pytest.fixture(params=["memory", "sqlite", "redis", "etcd"])
def promise(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Promise]]:
    match request.param:
        case "memory":
            yield lambda: Promise(MemoryStore)
        case "sqlite":
            yield lambda: Promise(lambda: SqliteStore(tmp_path / "hello.db"))
        case "etcd":
            url = request.getfixturevalue("etcd_url")
            yield lambda: Promise(lambda: EtcdStore(url))
        case _:
            server = asyncio.run(RedisServer(tmp_path / "redis").start())
            yield lambda: Promise(lambda: RedisStore(server.url), server)
            server.kill()


def test_the_promise_holds_whatever_happens(
    request: pytest.FixtureRequest, promise: Callable[[], Promise], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "RETRY_BACKOFF", (0,))
    monkeypatch.setattr(counter, "PROBE_INTERVAL", 0)
    examples = 250 if "memory" in request.node.name else 50
    run_state_machine_as_test(
        promise,  # type: ignore[arg-type]
        settings=settings(max_examples=examples, stateful_step_count=40, suppress_health_check=list(HealthCheck)),
    )
