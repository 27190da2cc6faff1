"""Visitors under fire: `hello check`, over fresh connections and over kept ones, while something breaks."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT

from hello.check.history import Outcome, Record, read_records
from tests.e2e.commands import HELLO, total, until

FRESH = ("--clients=30", "--rate=80")
KEPT = ("--clients=30", "--rate=160", "--keep-alive")
"""Far below 200 fresh connections a second, where connection tracking would get in the way (kubernetes#101607)."""

CONTROL = 2
"""Seconds of the run without a fault before each row."""

DEADLINE = 10
"""Seconds after which the server says 503: HELLO_DEADLINE."""

GOOD = {Outcome.ANSWERED, Outcome.INTERRUPTED}


@dataclass(frozen=True)
class Row:
    """A line of the table: what was injected how often, and what became of the visitors."""

    fault: str
    injected: int
    answers: int
    refused: int
    failed: int
    broken: int


class Fire:
    """One fault: a control without it, the visitors under it, the judgement over all their answers."""

    def __init__(self, fault: str, directory: Path) -> None:
        self.fault = fault
        self.injected = 0
        self.records: list[Record] = []
        self._directory = directory
        self._excused: list[tuple[int, int]] = []
        self._findings: list[str] = []

    @contextmanager
    def under_visitors(self, url: str, *judging: str) -> Iterator[None]:
        """Visit without a fault first, which must be clean; then all the while; then judge, and add the findings."""
        self._control(url)
        logs = [self._directory / name for name in ("fresh.log", "kept.log")]
        watchers = [
            _check(url, f"--log={log}", "--duration=900", *kind) for log, kind in zip(logs, (FRESH, KEPT), strict=True)
        ]
        try:
            before = total(url)
            until(lambda: total(url) > before + 50, "visitors come")
            yield
        finally:
            for watcher in watchers:
                watcher.send_signal(SIGINT)
            for watcher in watchers:
                watcher.communicate()
        together = self._directory / "all.log"
        together.write_text("".join(log.read_text() for log in logs))
        with together.open() as log:
            self.records = read_records(log)
        with _check("--alone", f"--judge={together}", *judging) as judge:
            self._findings = [finding["kind"] for finding in json.loads(judge.communicate()[0])["findings"]]

    def _control(self, url: str) -> None:
        runs = [_check(url, f"--duration={CONTROL}", *kind) for kind in (FRESH, KEPT)]
        for report in [json.loads(process.communicate()[0]) for process in runs]:
            assert report["kept"], f"without a fault: {report['summary']}"
            assert report["visits"].keys() == {"answered"}, f"without a fault: {report['visits']}"

    @contextmanager
    def excusing(self, seconds: float = 0) -> Iterator[None]:
        """Inject a fault under which visits may fail, until so many seconds after the block."""
        began = time.monotonic_ns()
        self.injected += 1
        yield
        self._excused.append((began, time.monotonic_ns() + int(seconds * 1e9)))

    def row(self, expected: set[str] | None = None) -> Row:
        """Its line of the table. Findings that the fault is meant to bring about are no broken promises."""
        outcomes = Counter(record.outcome for record in self.records if not record.read)
        broken = [finding for finding in self._findings if finding not in (expected or set())]
        refused = outcomes[Outcome.UNAVAILABLE]
        good = sum(outcomes[outcome] for outcome in GOOD)
        return Row(
            self.fault,
            self.injected,
            answers=outcomes[Outcome.ANSWERED],
            refused=refused,
            failed=outcomes.total() - good - refused,
            broken=len(broken),
        )

    def unexcused(self) -> list[Record]:
        """The requests that got no number when none could be missed."""
        return [
            record
            for record in self.records
            if record.outcome not in GOOD
            and not any(began <= record.answered and record.sent <= ended for began, ended in self._excused)
        ]

    def found(self) -> set[str]:
        """What the judge found."""
        return set(self._findings)

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


def _check(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*HELLO, "check", "--json", *arguments], stdout=subprocess.PIPE, text=True)
