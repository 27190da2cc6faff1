"""`--watch`: a line whenever something is lost or broken, while the run goes on."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from time import monotonic_ns, time_ns

from hello.check.history import Outcome, Record
from hello.check.judge import judge
from hello.check.losses import NOT_LOST
from hello.check.report import around, outcome_name, record_line, title
from hello.check.verdict import Verdict

TICK = 0.5  # seconds between two looks
WINDOW = 10_000_000_000  # nanoseconds of records that are compared with the newest
RATE = 50.0  # visits a second, unless told


class Watch:
    """Looks at the records as they come.

    records: grows meanwhile, in the order of their ends. say: is given each line. retry: whether visits that get 503
    are made again; allow_reset: whether a new epoch is announced.
    """

    def __init__(
        self, records: Sequence[Record], say: Callable[[str], None], *, retry: bool, allow_reset: bool
    ) -> None:
        self._records = records
        self._say = say
        self._not_lost = NOT_LOST | {Outcome.UNAVAILABLE} if retry else NOT_LOST
        self._allow_reset = allow_reset
        self._window = self._next = 0

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            await asyncio.sleep(TICK)
            self.look()

    def look(self) -> None:
        """Tell what the records since the last look show."""
        new = self._records[self._next :]
        self._next += len(new)
        for when, line in sorted([*self._lost(new), *self._broken(new)]) if new else ():
            clock = datetime.fromtimestamp((when - monotonic_ns() + time_ns()) / 1e9).astimezone()
            self._say(f"{clock:%H:%M:%S}.{clock.microsecond // 1000:03}  {line}")

    def _lost(self, new: Sequence[Record]) -> Iterator[tuple[int, str]]:
        """What was lost: one line for each kind and place."""
        lost = [record for record in new if not record.read and record.outcome not in self._not_lost]
        counted = Counter(id(record.labels) for record in lost)
        for record in lost:
            if count := counted.pop(id(record.labels), 0):
                yield record.answered, f"lost     {count:,} {outcome_name(record.labels)}{_place(record)}"

    def _broken(self, new: Sequence[Record]) -> Iterator[tuple[int, str]]:
        """What was broken, and long silences: the newest of what proves them is new."""
        while self._records[self._window].answered < new[-1].answered - WINDOW:
            self._window += 1
        verdict = judge(self._records[self._window : self._next], allow_reset=self._allow_reset)
        since = new[0].answered
        for finding in verdict.findings:
            proofs = [example.records for example in finding.examples]
            newest = max((max(record.answered for record in proof), index) for index, proof in enumerate(proofs))
            if newest[0] >= since:
                yield newest[0], f"BROKEN   {title(finding)}: {_proof(proofs[newest[1]], verdict)}"
        for silence in verdict.outages:
            if silence.after and silence.ended >= since:
                yield silence.ended, f"silence  {silence.length / 1e9:,.3f} s, {around(silence)}"


def _place(record: Record) -> str:
    """Where it was, as far as that is known."""
    labels = record.labels
    pod = f", on {labels.pod}" if labels.pod else ""
    connection = "a kept connection" if labels.kept else "a fresh connection"
    return f" over {connection} to {labels.address or labels.url}{pod}"


def _proof(records: Sequence[Record], verdict: Verdict) -> str:
    return "; ".join(record_line(record, verdict).partition(": ")[2] for record in records)
