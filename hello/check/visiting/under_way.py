"""The requests under way, and the times in which the checker itself stood still."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from time import monotonic_ns

from hello.check.history import NEVER, Labels, Outcome, Record

Keep = Callable[[Record, int, int], None]
"""Takes a record, when the oldest request under way was sent, and when the oldest visit under way was due."""

TICK = 0.1  # seconds between two looks at the clock
STANDSTILL = 500_000_000  # nanoseconds that one may be late
BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)
"""The clock that runs on while the machine is suspended, if there is one."""


class UnderWay:
    """Passes on each record as its request ends; if the event loop stood still, a record of that comes first."""

    def __init__(self, keep: Keep) -> None:
        self.answered_last: int | None = None
        self.failing_since: int | None = None
        """Since when every visit has failed."""
        self.stood_still = 0
        """Nanoseconds."""
        self._keep = keep
        self._numbers = count()
        self._requests: OrderedDict[int, int] = OrderedDict()
        self._visits: OrderedDict[int, int] = OrderedDict()
        self._looked = monotonic_ns(), _suspended()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._looked = monotonic_ns(), _suspended()
        self._tick()

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()

    @property
    def waiting(self) -> int:
        """When the oldest visit under way was due."""
        return next(iter(self._visits.values()), NEVER)

    def begin(self, sent: int, due: int, *, read: bool) -> int:
        number = next(self._numbers)
        self._requests[number] = sent
        if not read:
            self._visits[number] = due
        return number

    def end(self, request: int, record: Record) -> None:
        del self._requests[request]
        self._visits.pop(request, None)
        self.look(record.answered)
        if not record.read and record.outcome is Outcome.ANSWERED:
            self.answered_last, self.failing_since = record.answered, None
        elif not record.read and self.failing_since is None:
            self.failing_since = record.since
        self._pass_on(record)

    def not_made(self, due: int, labels: Labels) -> None:
        """Record a visit that was due and found no room."""
        now = monotonic_ns()
        self._pass_on(Record(now, now, labels, due=due))

    def look(self, now: int) -> None:
        """Record a standstill if the last look was too long ago."""
        looked, suspended = self._looked
        self._looked = max(now, looked), _suspended()
        asleep = self._looked[1] - suspended
        if self._timer and max(now - looked - TICK * 1e9, asleep) > STANDSTILL:
            self.stood_still += now - looked
            self._pass_on(Record(looked, now, Labels(Outcome.STOOD_STILL), due=looked - max(asleep, 0)))

    def _tick(self) -> None:
        self.look(monotonic_ns())
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _pass_on(self, record: Record) -> None:
        self._keep(record, next(iter(self._requests.values()), NEVER), self.waiting)


def _suspended() -> int:
    """Nanoseconds for which the machine has been suspended since it started."""
    return time.clock_gettime_ns(BOOT_CLOCK) - monotonic_ns() if BOOT_CLOCK is not None else 0
