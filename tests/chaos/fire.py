"""Visitors under fire: the clients of `hello check`, over fresh connections and kept ones, while something breaks."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import pairwise
from time import monotonic_ns
from typing import Any, Self

from hello.check.history import Kind, Outcome, Record
from hello.check.visiting.load import FRESH, KEPT, Load, Plan
from hello.check.visiting.site import Site
from tests.support.commands import COUNTER, until
from tests.support.nodes import running
from tests.support.records import judged

PLANS = Plan(rate=80, room=30, connections=FRESH), Plan(rate=260, room=30, connections=KEPT)
"""Far below 200 fresh connections a second, where connection tracking would get in the way (kubernetes#101607)."""

CONTROL, SHORT_CONTROL = 1000, 150
"""Answers before each fault, without one."""

DEADLINE = 10
"""Seconds after which the server says 503: HELLO_DEADLINE."""

BACK = 2
"""Seconds after the return of a store in which counting is resumed."""

GOOD = {Outcome.ANSWERED, Outcome.INTERRUPTED, Outcome.STOOD_STILL}

A_SECOND = sum(int(plan.rate or 0) for plan in PLANS)
"""Visits that come in it, and are lost where each fails at once."""

ONE_EACH = sum(plan.room or 0 for plan in PLANS)
"""Visits that may be under way at once, and are lost if each of those is."""


def pause(chance: random.Random) -> None:
    """Let up to a second pass, so that the next fault hits at any moment of what the visitors do."""
    time.sleep(chance.uniform(0, 1))


class Visitors:
    """Visit a counter, from a thread of their own, until the block ends; `records` grows meanwhile."""

    def __init__(self, url: str) -> None:
        self.records: list[Record] = []
        """In the order in which their requests ended."""
        self.excused: list[tuple[int, int]] = []
        """Spans of time (monotonic, in nanoseconds) in which visits might fail."""
        self._site = Site.parse(url)
        self._answered = 0
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        loads = [Load([self._site], plan, self._keep) for plan in PLANS]
        self._visits = [self._loop.create_task(load.run()) for load in loads]
        self._running = self._thread.submit(self._loop.run_until_complete, asyncio.wait(self._visits))
        self.come(1)
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        self._thread.shutdown()
        self._loop.close()

    def leave(self) -> None:
        """End the visits, and read the count once more."""
        if self._running.done():
            return
        for visit in self._visits:
            self._loop.call_soon_threadsafe(visit.cancel)
        self._running.result()
        for visit in self._visits:
            with suppress(asyncio.CancelledError):
                visit.result()
        last = Plan(requests=1, room=1, connections=FRESH)
        self._loop.run_until_complete(Load([self._site], last, self._keep).run())

    def come(self, visits: int) -> None:
        """Wait until so many more visits have got their numbers."""
        enough = self._answered + visits
        until(lambda: self._answered >= enough, f"{visits} visits are counted")

    def failed(self, records: list[Record]) -> list[Record]:
        """Those of the visits that got no number though nothing excused it."""
        return [
            record
            for record in records
            if record.outcome not in GOOD
            and not any(began <= record.answered and record.sent <= ended for began, ended in self.excused)
        ]

    def assert_promise_kept(self) -> None:
        """Judge all visits as one run, in which nobody else came; new epochs were judged when they began."""
        verdict = judged(self.records, alone=True, reset=True)
        assert not verdict.findings
        assert verdict.repeated == 0, list(verdict.repeats)
        assert self.failed(self.records) == []

    def _keep(self, record: Record, *_: int) -> None:
        if record.outcome is not Outcome.NOT_MADE:  # what a fault may cost is said of the visits under way
            self.records.append(record)
            self._answered += record.outcome is Outcome.ANSWERED and not record.read


class Fire:
    """One fault: a control without it; what visitors got while it was injected, again and again; the judgement."""

    def __init__(self, name: str, visitors: Visitors, short: bool) -> None:
        self.short = short
        self.expected: set[Kind] = set()
        """What the fault may bring about: no broken promise."""
        self.announced = False
        """Whether a new epoch is."""
        self.allowed = 0
        """How many visits the injections so far may have cost."""
        self.name = name
        self._visitors = visitors
        self._injected = 0
        self._began = monotonic_ns()
        self._ended: int | None = None

    @property
    def records(self) -> list[Record]:
        """Of the visits that were sent from the beginning of the control to the end of the row."""
        ended = self._ended or monotonic_ns()
        return [record for record in self._visitors.records if self._began <= record.sent < ended]

    def control(self) -> None:
        """Let visitors come without a fault; it must be clean."""
        self._visitors.come(SHORT_CONTROL if self.short else CONTROL)
        self.served_as_before()

    def times(self, full: int, short: int = 1) -> Iterator[None]:
        """Count the injections."""
        for _ in range(short if self.short else full):
            self._injected += 1
            yield

    @contextmanager
    def excusing(self, seconds: float = 0, lost: int = ONE_EACH) -> Iterator[None]:
        """Let so many visits fail, until so many seconds after the block."""
        began = monotonic_ns()
        self.allowed += lost
        yield
        self._visitors.excused.append((began, monotonic_ns() + int(seconds * 1e9)))

    @contextmanager
    def excusing_beyond_the_deadline(self) -> Iterator[None]:
        """Let visits fail only if the block takes so long that the store is not back in time for those who wait."""
        began = monotonic_ns()
        yield
        if monotonic_ns() - began > (DEADLINE - BACK) * 1e9:
            self.allowed += ONE_EACH
            self._visitors.excused.append((began, monotonic_ns() + int(BACK * 1e9)))

    def come(self) -> None:
        """Wait until visitors are counted again."""
        self._visitors.come(100)

    def come_to(self, pods: list[dict[str, Any]]) -> None:
        """Wait until each of the pods counts visitors again."""
        names = {pod["metadata"]["name"] for pod in pods}
        began = monotonic_ns()
        until(lambda: {record.pod for record in self.answered(began, monotonic_ns())} >= names, "each counts")

    def served_as_before(self) -> None:
        """No promise was broken, and visits failed only when they might, and no more of them."""
        assert not self.found() - self.expected, self.found()
        assert self.lost <= self.allowed, f"{self.lost} visits were lost, and {self.allowed} might be"
        failed = self._visitors.failed(self.records)
        assert not failed, f"{Counter(record.outcome for record in failed)}, of them {failed[0]} to {failed[-1]}"

    @property
    def lost(self) -> int:
        """How many visits got no number."""
        return judged(self.records).lost

    def outcomes(self, after: int = 0) -> set[Outcome]:
        """What became of the visits that were sent after a moment."""
        return {record.outcome for record in self.records if record.sent > after} - {Outcome.STOOD_STILL}

    def answered(self, after: int, before: int) -> list[Record]:
        """The answers with a number to requests that were sent and answered between two moments."""
        return [
            record
            for record in self.records
            if record.outcome is Outcome.ANSWERED
            and not record.read
            and after < record.sent
            and record.answered < before
        ]

    def silence(self, after: int) -> int:
        """The longest time, in nanoseconds, in which no request that was sent after a moment was answered."""
        times = sorted(record.answered for record in self.answered(after, monotonic_ns()))
        return max(end - begin for begin, end in pairwise([after, *times]))

    def last_greeters(self) -> list[dict[str, Any]]:
        """The pod that gave the highest number so far."""
        last = max(self.answered(self._began, monotonic_ns()), key=lambda record: record.answered)
        return [pod for pod in running(COUNTER) if pod["metadata"]["name"] == last.pod]

    def end(self) -> None:
        """End the row; what is under way belongs to it all the same."""
        self._ended = monotonic_ns()

    def figures(self) -> list[str]:
        """The cells of its row in the table: times, answers, refused, failed, may be lost, broken promises."""
        outcomes = Counter(record.outcome for record in self.records if not record.read)
        refused = outcomes[Outcome.UNAVAILABLE]
        failed = outcomes.total() - sum(outcomes[outcome] for outcome in GOOD) - refused
        figures = (
            self._injected,
            outcomes[Outcome.ANSWERED],
            refused,
            failed,
            self.allowed,
            len(self.found() - self.expected),
        )
        return [f"{figure:,}" for figure in figures]

    def found(self) -> set[Kind]:
        """What the judge finds."""
        return set(judged(self.records, reset=self.announced).findings)
