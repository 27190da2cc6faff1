"""Histories of an honest counter: whatever fails around it, the promise allows each of them."""

from collections.abc import Iterable, Iterator
from enum import Enum
from random import Random
from typing import NamedTuple

from hello.check.history import Outcome, Record
from tests.support.records import recorded

PODS = ("hello-a", "hello-b", "hello-c")


class Fate(Enum):
    """What happens to a request."""

    ANSWERED = "answered"
    READ = "a read, answered"
    REFUSED = "refused"
    LOST = "failed before it was counted"
    COUNTED = "counted, but its answer was lost"
    LATE = "counted after its client had been told that it failed"
    READ_LOST = "a read that failed"
    STOLEN = "somebody else's visit"
    RESET = "the count begins anew"


class Step(NamedTuple):
    """An event at the counter, `gap` after the last one; its request was sent `lead` before, answered `lag` after."""

    gap: int
    lead: int
    lag: int
    fate: Fate


COUNTED = {Fate.ANSWERED, Fate.COUNTED, Fate.LATE, Fate.STOLEN}
FAILURES = (Outcome.UNAVAILABLE, Outcome.RESET, Outcome.TIMEOUT, Outcome.CLOSED, Outcome.STATUS, Outcome.INTERRUPTED)


def simulate(steps: Iterable[Step]) -> Iterator[Record]:
    """Count as the steps say; the shorter the gaps, the more events happen at the same time."""
    now, number, epoch = 10**6, 0, "epoch1"
    for index, (gap, lead, lag, fate) in enumerate(steps):
        now += gap
        sent, answered = now - lead, now + lag
        if fate in COUNTED:
            number += 1
        if fate is Fate.ANSWERED:
            yield recorded(sent, answered, number=number, status=200, pod=PODS[index % 3], epoch=epoch)
        elif fate is Fate.READ:
            yield recorded(sent, answered, number=number, status=200, read=True, epoch=epoch)
        elif fate is Fate.RESET:
            number, epoch = lag, f"after {index}"
        elif fate is Fate.REFUSED:
            yield recorded(sent, answered, Outcome.REFUSED)
        elif fate is Fate.LATE:
            yield recorded(sent - lag, sent, FAILURES[index % len(FAILURES)])
        elif fate is not Fate.STOLEN:
            yield recorded(sent, answered, FAILURES[index % len(FAILURES)], read=fate is Fate.READ_LOST)


def random_steps(
    random: Random, length: int, gap: int = 3, spread: int = 100, failures: float = 0.05
) -> Iterator[Step]:
    """Mostly answered visits, one read in ten, and failures of every kind."""
    unlucky = (Fate.REFUSED, Fate.LOST, Fate.COUNTED, Fate.LATE, Fate.READ_LOST)
    chance = random.random
    for _ in range(length):
        fate = Fate.ANSWERED
        if (luck := chance()) < failures:
            fate = random.choice(unlucky)
        elif luck > 0.9:
            fate = Fate.READ
        yield Step(int(chance() * gap), int(chance() * spread), int(chance() * spread), fate)
