"""The scheme, checked exhaustively within small bounds: all orders of sending, losing, delivering late, crash and wipe,
and of restarts of the store with an older copy of its data.

The rules are the stores' own and the session is the process' own; only what lies between them is a model. Nothing is
lost by a step of its own: a command or an answer that is never delivered is lost.
"""

import itertools
import pickle
import re
import secrets
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from hello.counting.session import Session
from hello.stores import Batch, OutdatedError, Range, StoreError, rules
from hello.stores.rules import SessionRecord, State


@dataclass(frozen=True)
class Bounds:
    """How much of everything there is; each batch may be sent `sends` times."""

    processes: int = 2
    visits: int = 2
    sends: int = 2
    crashes: int = 1
    wipes: int = 1
    restores: int = 0
    folds: int = 0
    """Sessions that the store forgets, at any moment: who is idle is told by a clock, and a clock may be wrong."""
    openings: int = 0
    """First batches of sessions, besides one for each process, with which all begins."""
    are_open: bool = True


@dataclass
class Process:
    """A process, and the batch that it waits for."""

    session: Session
    batch: Batch | None = None
    sends: int = 0
    latest: str = ""
    """The latest epoch of which anybody had a number when its visitor came."""
    has_spoken: bool = False
    """Whether it has said what it saw since the last restart."""
    waits: int = 0
    """The restart since which it waits for the others to speak."""


@dataclass
class World:
    """All that there is, and what has happened."""

    processes: list[Process]
    state: State = field(default_factory=State)
    records: dict[str, SessionRecord] = field(default_factory=dict)
    commands: list[Batch] = field(default_factory=list)
    answers: list[tuple[Batch, Range | StoreError]] = field(default_factory=list)
    acked: list[tuple[str, int]] = field(default_factory=list)
    copy: tuple[State, dict[str, SessionRecord]] | None = None
    roll: set[str] = field(default_factory=set)
    """Who has yet to say what it saw: until then the restarted store knows no script, and counts nobody."""
    visits: int = 0
    crashes: int = 0
    wipes: int = 0
    restores: int = 0
    folds: int = 0
    openings: int = 0


def visit(index: int, world: World) -> None:
    """A visitor comes; the first batch of a session is for nobody yet."""
    process = world.processes[index]
    process.batch, process.sends = process.session.batch(1), 0
    world.visits += process.batch.n
    world.openings += 1 - process.batch.n
    process.latest = latest(world)


def fold(client: str, world: World) -> None:
    world.folds += 1
    rules.fold(world.state, [world.records.pop(client)], 0)


def latest(world: World) -> str:
    return max((epoch for epoch, _ in world.acked), default="")


def send(index: int, world: World) -> None:
    process = world.processes[index]
    assert process.batch
    process.sends += 1
    world.commands.append(process.batch)


def give_up(index: int, world: World) -> None:
    world.processes[index].batch = None


def crash(index: int, world: World) -> None:
    world.crashes += 1
    world.processes[index] = Process(Session("pod"))


def wipe(world: World) -> None:
    world.wipes += 1
    world.state, world.records, world.roll = State(), {}, set()


def copy(world: World) -> None:
    world.copy = deepcopy((world.state, world.records))


def restore(world: World) -> None:
    """The store restarts with an older copy of its data: on the roll are those that it knows of."""
    assert world.copy
    world.restores += 1
    world.state, world.records = deepcopy(world.copy)
    world.commands.clear()
    world.roll = {process for process, record in world.records.items() if record.epoch == world.state.epoch}
    for process in world.processes:
        process.has_spoken = False


def speak(index: int, world: World) -> None:
    """Say what was seen, as the next command after a restart does."""
    process, state = world.processes[index], world.state
    batch = process.batch or process.session.batch(0)
    process.has_spoken, process.waits = True, world.restores
    world.roll.discard(batch.client)
    world.answers = [(other, answer) for other, answer in world.answers if other != process.batch]
    rules.notice_rollback(state, batch.epoch, batch.seen, batch.answered, world.records.get(batch.client))


def is_wait_over(process: Process, world: World) -> bool:
    """Whether a process may have waited for so long that all who live have spoken, unless there was another restart."""
    return 0 < process.waits < world.restores or all(process.has_spoken for process in world.processes)


def end_wait(index: int, world: World) -> None:
    """Speak, and end the roll call since which this process waits, if it is the present one."""
    waits = world.processes[index].waits
    speak(index, world)
    if waits == world.restores:
        world.roll.clear()


def is_known(world: World) -> bool:
    """Whether those whom the roll call waits for know what the copy lacks.

    Somebody who lives saw the last number. And all who saw any are on the roll, or it waits for somebody who is dead,
    and so for all. Else nobody could know that the store was rolled back.
    """
    assert world.copy
    state, records = world.copy
    roll = {process for process, record in records.items() if record.epoch == state.epoch}
    sessions = [process.session for process in world.processes]
    alive = {session.batch(0).client for session in sessions}
    informed = {session.batch(0).client for session in sessions if session.epoch}
    waiting = {batch.client for batch, answer in world.answers if isinstance(answer, Range)}
    last = max((session.epoch, session.seen) for session in sessions)
    return max(world.acked, default=("", 0)) <= last and (informed | waiting <= roll or not roll <= alive)


def deliver(which: int, world: World) -> None:
    """The store handles a command, however old it is."""
    batch, state = world.commands.pop(which), world.state
    try:
        given = rules.find_duplicate(batch, state, world.records.get(batch.client))
    except StoreError as error:
        world.answers.append((batch, error))
        return
    if given is None:
        record = rules.count(batch, state, world.records.get(batch.client), 1_000_000 * (1 + world.wipes))
        world.records[batch.client] = record
        given = Range(record.epoch, record.top, record.index)
    world.answers.append((batch, given))


def receive(which: int, world: World) -> None:
    """A process gets an answer; only the one to the batch that it waits for means anything to it."""
    batch, answer = world.answers.pop(which)
    for process in world.processes:
        if process.batch == batch:
            if isinstance(answer, Range):
                process.batch = None
                if process.session.accept(batch, answer) and batch.n:
                    assert not rules.is_earlier(answer.epoch, process.latest), "two counters"
                    world.acked.append((answer.epoch, answer.top))
                return
            process.session.rejected(batch, answer)
            certain = (process.sends == 1 or not batch.n) and not isinstance(answer, OutdatedError)
            process.batch, process.sends = (
                process.session.batch(batch.n) if certain and not world.state.distrusted else None,
                0,
            )


def steps(world: World, bounds: Bounds) -> Iterator[Callable[[World], None]]:
    """All that can happen next."""
    for index in range(len(world.processes)):
        yield from steps_of(index, world, bounds)
    if not world.roll:
        yield from (partial(deliver, which) for which in range(len(world.commands)))
    yield from (partial(receive, which) for which in range(len(world.answers)))
    if world.wipes < bounds.wipes and world.state.epoch:
        yield wipe
    if world.folds < bounds.folds and not world.roll:
        yield from (partial(fold, client) for client in world.records)
    if world.restores < bounds.restores and world.state.epoch and world.copy is None:
        yield copy
    if world.restores < bounds.restores and world.copy and is_known(world):
        yield restore


def steps_of(index: int, world: World, bounds: Bounds) -> Iterator[Callable[[World], None]]:
    """What a process can do next, or what can befall it.

    Who crashes after a restart, before having spoken, takes along what it knew.
    """
    process = world.processes[index]
    if process.batch is None and is_visited(process, world, bounds):
        yield partial(visit, index)
    if process.batch is not None and process.sends < bounds.sends:
        yield partial(send, index)
    if process.batch is not None and process.sends > 0:
        yield partial(give_up, index)
    if world.crashes < bounds.crashes and (process.has_spoken or not world.restores):
        yield partial(crash, index)
    if world.restores and not process.has_spoken:
        yield partial(speak, index)
    if world.roll and is_wait_over(process, world):
        yield partial(end_wait, index)


def is_visited(process: Process, world: World, bounds: Bounds) -> bool:
    return world.visits < bounds.visits if process.session.is_open else world.openings < bounds.openings


def check(world: World) -> None:
    """The promise, as far as one state shows it."""
    state = world.state
    assert not state.distrusted or world.restores, "distrusted without cause"
    assert len(set(world.acked)) == len(world.acked), "given twice"
    if not world.roll and not state.distrusted:
        assert all(number <= state.count for epoch, number in world.acked if epoch == state.epoch), "forgotten"
    assert state.count <= world.visits, "counted twice"


def key(world: World) -> str:
    """The same for worlds that differ in the ids' names only."""
    names: dict[str, str] = {}
    text = repr([vars(world), [vars(process.session) for process in world.processes]])
    text = re.sub(r" object at 0x[0-9a-f]+", "", text)
    return re.sub(r"id\d+", lambda match: names.setdefault(match[0], f"#{len(names)}"), text)


def begin(bounds: Bounds) -> World:
    world = World([Process(Session("pod")) for _ in range(bounds.processes)])
    for index in range(bounds.processes) if bounds.are_open else ():
        for step in partial(visit, index), partial(send, index), partial(deliver, 0), partial(receive, 0):
            step(world)
    world.openings = 0
    return world


def explore(bounds: Bounds) -> int:
    """Check every state that can be reached; how many there are."""
    start = pickle.dumps(begin(bounds))
    seen, waiting = {key(pickle.loads(start))}, [start]
    while waiting:
        before = waiting.pop()
        for step in steps(pickle.loads(before), bounds):
            world = pickle.loads(before)
            step(world)
            check(world)
            if (name := key(world)) not in seen:
                seen.add(name)
                waiting.append(pickle.dumps(world))
    return len(seen)


@pytest.fixture(autouse=True)
def _readable_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()
    monkeypatch.setattr(secrets, "token_hex", lambda _: f"id{next(numbers)}/")


LONG = pytest.mark.long
# Batches that are sent twice meet crashes among two processes, wipes with one process, and both with one visit in all.
BOUNDS = [
    pytest.param(Bounds(processes=1, crashes=0, openings=1), marks=LONG),
    pytest.param(Bounds(wipes=0, openings=1), marks=LONG),
    pytest.param(Bounds(visits=1, openings=1), marks=LONG),
    Bounds(crashes=0, sends=1, openings=1),
    Bounds(wipes=0, sends=1, openings=1),
    Bounds(processes=1, visits=3, crashes=0, wipes=0),
    Bounds(processes=3, visits=3, sends=1, crashes=0, wipes=0),
    Bounds(visits=1, sends=1, crashes=0, wipes=1, openings=2, are_open=False),
    pytest.param(Bounds(sends=1, crashes=0, wipes=1, restores=1, openings=1), marks=LONG),
    pytest.param(Bounds(sends=1, crashes=1, wipes=0, restores=1, openings=1), marks=LONG),
    Bounds(visits=1, sends=1, crashes=0, wipes=0, restores=2),
    pytest.param(Bounds(sends=1, crashes=0, wipes=0, restores=2), marks=LONG),
    Bounds(processes=1, visits=1, crashes=0, wipes=0, folds=1, openings=1, are_open=False),
    pytest.param(Bounds(processes=1, crashes=0, wipes=0, folds=1, openings=1), marks=LONG),
]


@pytest.mark.parametrize("bounds", BOUNDS)
def test_the_promise_holds_in_every_order(bounds: Bounds) -> None:
    assert explore(bounds) > 500


def repeat_without(rule: str) -> Callable[[Batch, State, SessionRecord | None], Range | None]:
    """The rules of a store that lacks one of them."""
    whole = rules.find_duplicate

    def repeat(batch: Batch, state: State, record: SessionRecord | None) -> Range | None:
        if record and rule == "stored range" and record.sequence == batch.sequence:
            record = replace(record, sequence=batch.sequence - 1)
        if record and rule == "refusal of older sequences" and record.sequence > batch.sequence:
            record = replace(record, sequence=batch.sequence - 1)
        if record and rule == "doubt about a first batch" and record.sequence == 1 and batch.answered:
            record = replace(record, index=batch.answered)
        return whole(batch, state, record)

    return repeat


LATE = Bounds(processes=1, visits=3, crashes=0, wipes=0)
FOLDED = Bounds(processes=1, visits=1, crashes=0, wipes=0, folds=1, openings=1, are_open=False)


@pytest.mark.parametrize(
    ("rule", "bounds"),
    [("stored range", LATE), ("refusal of older sequences", LATE), ("doubt about a first batch", FOLDED)],
)
def test_a_store_without_one_of_the_rules_is_found_out(
    rule: str, bounds: Bounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "find_duplicate", repeat_without(rule))
    with pytest.raises(AssertionError, match="counted twice"):
        explore(bounds)


def test_a_session_that_counts_with_its_first_batch_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "is_open", property(lambda _: True))
    with pytest.raises(AssertionError, match="counted twice"):
        explore(FOLDED)


def test_a_store_without_the_order_of_epochs_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.stores.test_model.rules.begun", lambda _: 0)
    with pytest.raises(AssertionError, match=r"two counters|forgotten"):
        explore(Bounds(processes=1, sends=1, crashes=0, restores=1, openings=1))


def test_a_store_without_a_roll_call_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = restore

    def restore_and_count(world: World) -> None:
        whole(world)
        world.roll.clear()

    monkeypatch.setattr("tests.stores.test_model.restore", restore_and_count)
    with pytest.raises(AssertionError, match=r"forgotten|given twice"):
        explore(Bounds(sends=1, crashes=0, wipes=0, restores=1))


def test_a_roll_call_that_ends_by_an_earlier_wait_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def end_any(index: int, world: World) -> None:
        speak(index, world)
        world.roll.clear()

    monkeypatch.setattr("tests.stores.test_model.end_wait", end_any)
    assert explore(Bounds(visits=1, sends=1, crashes=0, wipes=0, restores=1)) > 100
    with pytest.raises(AssertionError, match=r"forgotten|given twice"):
        explore(Bounds(visits=1, sends=1, crashes=0, wipes=0, restores=2))
