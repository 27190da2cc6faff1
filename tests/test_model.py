"""The scheme, checked exhaustively within small bounds: all orders of sending, losing, delivering late, crash and wipe.

The rules are the stores' own and the belief is the process' own; only what lies between them is a model. Nothing is
lost by a step of its own: a command or an answer that is never delivered is lost.
"""

import itertools
import pickle
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from hello.belief import Belief
from hello.stores import OutdatedError, Range, StoreError, Trip, rules
from hello.stores.rules import Record, State


@dataclass(frozen=True)
class Bounds:
    """How much of everything there is; each trip may be sent `sends` times."""

    processes: int = 2
    visits: int = 2
    sends: int = 2
    crashes: int = 1
    wipes: int = 1


@dataclass
class Process:
    """A process, and the trip that it waits for."""

    belief: Belief
    trip: Trip | None = None
    sends: int = 0


@dataclass
class World:
    """All that there is, and what has happened."""

    processes: list[Process]
    state: State = field(default_factory=State)
    records: dict[str, Record] = field(default_factory=dict)
    commands: list[Trip] = field(default_factory=list)
    answers: list[tuple[Trip, Range | StoreError]] = field(default_factory=list)
    acked: list[tuple[str, int]] = field(default_factory=list)
    visits: int = 0
    crashes: int = 0
    wipes: int = 0


def visit(index: int, world: World) -> None:
    process = world.processes[index]
    world.visits += 1
    process.trip, process.sends = process.belief.trip(1), 0


def send(index: int, world: World) -> None:
    process = world.processes[index]
    assert process.trip
    process.sends += 1
    world.commands.append(process.trip)


def give_up(index: int, world: World) -> None:
    world.processes[index].trip = None


def crash(index: int, world: World) -> None:
    world.crashes += 1
    world.processes[index] = Process(Belief("pod"))


def wipe(world: World) -> None:
    world.wipes += 1
    world.state, world.records = State(), {}


def deliver(which: int, world: World) -> None:
    """The store handles a command, however old it is."""
    trip, state = world.commands.pop(which), world.state
    try:
        given = rules.repeat(trip, state, world.records.get(trip.process), 0)
    except StoreError as error:
        world.answers.append((trip, error))
        return
    if given is None:
        rules.count(trip, state, 1000 * world.wipes)
        world.records[trip.process] = Record(state.epoch, trip.sequence, state.count, 0)
        given = Range(state.epoch, state.count, 0)
    world.answers.append((trip, given))


def receive(which: int, world: World) -> None:
    """A process gets an answer; only the one to the trip that it waits for means anything to it."""
    trip, answer = world.answers.pop(which)
    for process in world.processes:
        if process.trip == trip:
            if isinstance(answer, Range):
                process.trip = None
                if process.belief.accept(trip, answer):
                    world.acked.append((answer.epoch, answer.top))
                return
            process.belief.refused(trip, answer)
            certain = process.sends == 1 and not isinstance(answer, OutdatedError)
            process.trip, process.sends = process.belief.trip(1) if certain and not world.state.distrusted else None, 0


def steps(world: World, bounds: Bounds) -> Iterator[Callable[[World], None]]:
    """All that can happen next."""
    for index, process in enumerate(world.processes):
        if process.trip is None and world.visits < bounds.visits:
            yield partial(visit, index)
        if process.trip is not None and process.sends < bounds.sends:
            yield partial(send, index)
        if process.trip is not None and process.sends > 0:
            yield partial(give_up, index)
        if world.crashes < bounds.crashes:
            yield partial(crash, index)
    yield from (partial(deliver, which) for which in range(len(world.commands)))
    yield from (partial(receive, which) for which in range(len(world.answers)))
    if world.wipes < bounds.wipes and world.state.epoch:
        yield wipe


def check(world: World) -> None:
    """The promise, as far as one state shows it."""
    state = world.state
    assert not state.distrusted, "distrusted without cause"
    assert len(set(world.acked)) == len(world.acked), "given twice"
    assert all(number <= state.count for epoch, number in world.acked if epoch == state.epoch), "forgotten"
    assert state.count <= world.visits, "counted twice"


def key(world: World) -> str:
    """The same for worlds that differ in the ids' names only."""
    names: dict[str, str] = {}
    text = repr([vars(world), [vars(process.belief) for process in world.processes]])
    text = re.sub(r" object at 0x[0-9a-f]+", "", text)
    return re.sub(r"id\d+", lambda match: names.setdefault(match[0], f"#{len(names)}"), text)


def explore(bounds: Bounds) -> int:
    """Check every state that can be reached; how many there are."""
    start = pickle.dumps(World([Process(Belief("pod")) for _ in range(bounds.processes)]))
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


BOUNDS = [
    Bounds(),
    Bounds(crashes=0),
    Bounds(wipes=0),
    Bounds(processes=1, visits=3, crashes=0, wipes=0),
    Bounds(processes=3, visits=3, sends=1, crashes=0, wipes=0),
]


@pytest.mark.parametrize("bounds", BOUNDS)
def test_the_promise_holds_in_every_order(bounds: Bounds) -> None:
    assert explore(bounds) > 1000


def without(rule: str) -> Callable[[Trip, State, Record | None, int], Range | None]:
    """The rules of a store that lacks one of them."""
    whole = rules.repeat

    def repeat(trip: Trip, state: State, record: Record | None, now: int) -> Range | None:
        if record and rule == "stored range" and record.sequence == trip.sequence:
            record = Record(record.epoch, trip.sequence - 1, record.top, record.time)
        if record and rule == "refusal of older sequences" and record.sequence > trip.sequence:
            record = Record(record.epoch, trip.sequence - 1, record.top, record.time)
        return whole(trip, state, record, now)

    return repeat


@pytest.mark.parametrize("rule", ["stored range", "refusal of older sequences"])
def test_a_store_without_one_of_the_rules_is_found_out(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "repeat", without(rule))
    with pytest.raises(AssertionError, match="counted twice"):
        explore(Bounds(processes=1, visits=3, crashes=0, wipes=0))
