"""The queue in front of the store: who shares a batch, who waits, who is dropped."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from hello.counting.counter import Counter
from hello.counting.queue import RefusedError, Visit
from hello.metrics import Metrics
from hello.stores import Batch, BrokenError, LostError, Range, Reading, UnavailableError
from tests.server.gate import Gate


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def counter(gate: Gate) -> AsyncIterator[Counter]:
    async with Counter(gate, "pod", Metrics(), deadline=0.3, queue_limit=8).running() as counter:
        await counter.state.reached.wait()
        gate.batches.clear()
        yield counter
        gate.open.set()


def visitors(counter: Counter, n: int) -> list[asyncio.Future[Visit]]:
    """`n` visitors, in order."""
    return [counter.join() for _ in range(n)]


async def first_batch(counter: Counter, gate: Gate) -> asyncio.Future[Visit]:
    """A visitor whose batch waits at the gate."""
    gate.open.clear()
    visitor = counter.join()
    while not gate.batches:
        await asyncio.sleep(0)
    return visitor


async def test_visitors_during_a_batch_share_the_next_one_in_order(counter: Counter, gate: Gate) -> None:
    tasks = [await first_batch(counter, gate), *visitors(counter, 5)]
    gate.open.set()
    assert [(await task).number for task in tasks] == [1, 2, 3, 4, 5, 6]
    assert [batch.n for batch in gate.batches] == [1, 5]


async def test_a_visitor_who_leaves_the_queue_is_not_counted_and_frees_a_place(counter: Counter, gate: Gate) -> None:
    await first_batch(counter, gate)
    tasks = visitors(counter, 7)
    for task in tasks[:6]:
        task.cancel()
    await asyncio.sleep(0)
    late = counter.join()
    gate.open.set()
    assert [(await task).number for task in [tasks[6], late]] == [2, 3]
    assert (await counter.read()).count == 3


async def test_a_wait_ends_at_the_deadline_on_a_batch_and_in_the_queue(counter: Counter, gate: Gate) -> None:
    waiting = *visitors(counter, 1), counter.read()
    for outcome in await asyncio.gather(await first_batch(counter, gate), *waiting, return_exceptions=True):
        assert isinstance(outcome, RefusedError)
        assert outcome.reason == "unavailable"
    gate.open.set()
    assert (await counter.join()).number > 0


async def test_a_reading_includes_every_visitor_answered_before_it(counter: Counter, gate: Gate) -> None:
    gate.open.clear()
    early = asyncio.create_task(counter.read())
    await asyncio.sleep(0)
    gate.open.set()
    visit = await counter.join()
    readings = await asyncio.gather(counter.read(), counter.read(), early)
    assert readings[0].count == readings[1].count == visit.number


async def test_a_visitor_after_the_end_is_refused(counter: Counter) -> None:
    counter.leaving.at_once()
    for late in counter.join, counter.read:
        with pytest.raises(RefusedError) as refused:
            await late()
        assert refused.value.reason == "leaving"


async def test_a_reading_that_is_older_than_the_present_epoch_is_not_believed(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent and arrives while the process knows no epoch; in between there was one."""
    sent, arrives, read = asyncio.Event(), asyncio.Event(), gate.read

    async def slow(epoch: str, seen: int) -> Reading:
        reading = await read(epoch, seen)
        if not sent.is_set():
            sent.set()
            await arrives.wait()
            return replace(reading, epoch=first.epoch, count=1)
        return reading

    gate.open.clear()
    monkeypatch.setattr(gate, "read", slow)
    async with Counter(gate, "pod", Metrics(), deadline=10).running() as counter:
        gate.open.set()
        reader = asyncio.create_task(counter.read())
        await sent.wait()
        first = await counter.join()
        gate.__init__()  # type: ignore[misc]
        await counter.join()
        arrives.set()
        assert (await reader).epoch != first.epoch
        assert counter.state.name == "up"


async def test_waiting_visitors_are_refused_when_the_counter_stops(gate: Gate) -> None:
    async with Counter(gate, "pod", Metrics(), deadline=10).running() as counter:
        await counter.state.reached.wait()
        gate.batches.clear()
        visitor = await first_batch(counter, gate)
    with pytest.raises(RefusedError) as refused:
        await visitor
    assert refused.value.reason == "leaving"


@pytest.mark.parametrize("error", [UnavailableError, BrokenError])
async def test_a_batch_that_the_store_refused_is_sent_again_as_it_was(
    counter: Counter, gate: Gate, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    commit, failures = gate.commit, [error("not now")] * 3

    async def failing(batch: Batch) -> Range:
        if failures:
            gate.batches.append(batch)
            raise failures.pop()
        return await commit(batch)

    monkeypatch.setattr(gate, "commit", failing)
    assert (await counter.join()).number == 1
    assert len(gate.batches) == 4
    assert len(set(gate.batches)) == 1
    assert b"hello_batch_retries_total 3.0" in counter.metrics.text()


async def test_a_batch_that_is_sent_again_knows_what_a_reading_showed_meanwhile(
    counter: Counter, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is rolled back to when the batch was sent, and no other process knows better."""
    restore, commit = gate.copy(), gate.commit

    async def lose(batch: Batch) -> Range:
        await commit(replace(batch, client="b" * 32, epoch="", sequence=1, answered=0, n=3))
        assert (await counter.read()).count == 3
        restore()
        monkeypatch.setattr(gate, "commit", commit)
        raise LostError("lost")

    monkeypatch.setattr(gate, "commit", lose)
    with pytest.raises(RefusedError) as refused:
        await counter.join()
    assert refused.value.reason == "distrusted"


async def test_a_batch_is_not_sent_again_in_an_epoch_that_a_reading_told_is_over(
    counter: Counter, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore, commit = gate.copy(), gate.commit

    async def lose(_: Batch) -> Range:
        await gate.reset("later", 5)
        assert (await counter.read()).count == 5
        restore()
        monkeypatch.setattr(gate, "commit", commit)
        raise LostError("lost")

    monkeypatch.setattr(gate, "commit", lose)
    gate.batches.clear()
    with pytest.raises(RefusedError):
        await counter.join()
    assert [batch.epoch[17:] for batch in gate.batches] == ["later"]
    assert (await gate.read("", 0)).distrusted
