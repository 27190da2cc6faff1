"""The judge of a run: takes each record as its request ends, and has a verdict at any time."""

from collections import deque
from dataclasses import replace

from hello.check.history import NEVER, Kind, Outcome, Record
from hello.check.judging.epochs import Epoch
from hello.check.judging.gaps import Gap
from hello.check.judging.losses import Losses, Silence
from hello.check.judging.shares import Repeat
from hello.check.judging.verdict import Example, Rules, Verdict

MOST_PENDING = 1000
"""Gaps that wait for a read of the shares."""

TIDY = 1000
"""Records between two rounds of forgetting."""


class Judge:
    """Takes records in the order in which they ended, and keeps what a request under way may be compared with.

    Its memory depends on the requests under way and on the findings shown, not on the length of the run.
    news: how many losses and findings are kept until they are reported.
    """

    def __init__(self, rules: Rules, news: int = 0) -> None:
        self.news: deque[Record | Example | Silence | Repeat] = deque(maxlen=news)
        self._verdict = Verdict(rules, Losses(self.news))
        self._rules = rules
        self._records = 0
        self._first: Record | None = None
        self._pending: list[Gap] = []
        self._answered_last = -NEVER

    def add(self, record: Record, oldest: int = NEVER, waiting: int = NEVER) -> bool:
        """Add a record, and say whether it is a lost visit.

        Of the requests that end later, `oldest` is when the first was sent, `waiting` when the first visit was due.
        """
        labels, verdict = record.labels, self._verdict
        if record.answered > verdict.ended:
            verdict.ended = record.answered
        if labels.outcome is Outcome.STOOD_STILL:
            verdict.losses.pause(record)
            return False
        if record.sent < verdict.began:
            verdict.began = record.sent
        if labels.flaw:
            self._find(labels.flaw, record)
        if labels.unknown:
            verdict.gaps.may_have_counted(record.sent)
        if labels.outcome is Outcome.ANSWERED:
            self._answer(record, labels.epoch or "")
        lost = False
        if labels.read:
            verdict.losses.reads[labels.outcome] += 1
        else:
            lost = verdict.losses.add(record, waiting)
        oldest = min(oldest, verdict.ended)
        self._settle(oldest)
        self._records += 1
        if self._records % TIDY == 0:
            self._forget(oldest, min(oldest, waiting))
        return lost

    def verdict(self, *, over: bool = True) -> Verdict:
        """What is proved so far; once the run is `over`, no missing number can arrive."""
        if over:
            self._settle(NEVER)
            self._attribute_pending()
            self._verdict.began = min(self._verdict.began, self._verdict.ended)
        return self._verdict

    def _find(self, kind: Kind, *records: Record, count: int = 1) -> None:
        example = Example(kind, count, records)
        self._verdict.found[kind].add(example, count)
        self.news.append(example)

    # ---- answers

    def _answer(self, record: Record, name: str) -> None:
        if not name:  # a store that holds nothing has no epoch yet: right, unless an answer had come out of it before
            if self._first and self._first.answered < record.sent and not self._rules.reset:
                self._find(Kind.FORGOTTEN, self._first, record)
            return
        self._first = self._first or record
        epoch = self._verdict.epochs.get(name)
        if epoch is None:
            epoch = self._begin(name, record)
        elif not epoch.numbers.add(record) and epoch.answer(record.number or 0) is None:
            self._verdict.gaps.came_late(name, record.number or 0)
        if self._verdict.epochs.count > 1:
            self._compare_epochs(epoch, record)
        self._compare(epoch, record)
        self._read(epoch, record) if record.labels.read else self._given(epoch, record)
        epoch.add(record)

    def _begin(self, name: str, record: Record) -> Epoch:
        last = self._verdict.epochs.newest
        if last and not self._rules.reset:
            self._find(Kind.NEW_EPOCH, last.last, record)
        return self._verdict.epochs.begin(name, record)

    def _compare_epochs(self, epoch: Epoch, record: Record) -> None:
        for other, count in self._verdict.epochs.in_turn(epoch, record):
            proof = sorted((other.first, epoch.first, other.last, record), key=lambda each: each.sent)
            self._find(Kind.EPOCHS_IN_TURN, *proof, count=count)
        if later := self._verdict.epochs.replaced(epoch, record):
            self._find(Kind.EARLIER_EPOCH, later.first, record)

    def _compare(self, epoch: Epoch, record: Record) -> None:
        """Compare a number with the highest that had arrived strictly before its request was sent."""
        number = record.number or 0
        given, read = epoch.given.before(record.sent), epoch.read.before(record.sent)
        if record.labels.read:
            if given and number < (given.number or 0):
                self._find(Kind.FORGOTTEN, given, record)
            if read and number < (read.number or 0):
                self._find(Kind.READ_WENT_BACK, read, record)
            return
        if given and number < (given.number or 0):  # the same number is not out of order but given twice
            self._find(Kind.OUT_OF_ORDER, given, record)
        elif read and number <= (read.number or 0):
            self._find(Kind.OUT_OF_ORDER, read, record)
        twin = epoch.answer(number) or (given if given and given.number == number else None)
        if twin:
            self._find(Kind.GIVEN_TWICE, twin, record)

    def _given(self, epoch: Epoch, record: Record) -> None:
        self._answered_last, self._verdict.final = record.answered, None
        epoch.shares.answered(record.number or 0, record.labels.pod or "")

    def _read(self, epoch: Epoch, record: Record) -> None:
        final = self._verdict.final
        if record.sent > self._answered_last and (final is None or record.sent > final.sent):
            self._verdict.final = record
        if record.pods is not None:
            self._verdict.shares_known = True
            epoch.shares.read(record)

    # ---- numbers that nobody got

    def _settle(self, oldest: int) -> None:
        """Settle what no request sent at this moment or later can change."""
        open_ = [epoch.numbers for epoch in self._verdict.epochs if epoch.numbers.open]
        if gaps := [gap for numbers in open_ for gap in numbers.settled(oldest)]:
            self._gaps_settled(gaps)
        if self._verdict.shares_known:
            for epoch in self._verdict.epochs:
                for excess in epoch.shares.settled(oldest):
                    self._compare_shares(epoch, excess)

    def _gaps_settled(self, gaps: list[Gap]) -> None:
        for gap in sorted(gaps, key=lambda gap: gap.higher.answered):
            self._verdict.gaps.settle(gap)
            if self._rules.alone and gap.pending:
                self._pending.append(gap)
        told = self._verdict.shares_known or not self._verdict.losses.reads[Outcome.ANSWERED]
        if not told or len(self._pending) > MOST_PENDING:
            self._attribute_pending()

    def _compare_shares(self, epoch: Epoch, excess: Repeat) -> None:
        """Attribute the missing numbers up to a read of the shares."""
        told = [gap for gap in self._pending if gap.epoch == epoch.name and gap.last <= (excess.before.number or 0)]
        self._pending = [gap for gap in self._pending if gap not in told]
        # Nothing is known of before the first read: a pod may have counted all of them.
        counted = excess.number if excess.after else sum(gap.pending for gap in told)
        self._attribute(told, replace(excess, number=counted))

    def _attribute_pending(self) -> None:
        """Attribute numbers about which no read will tell more; if reads tell shares, a pod may have counted them."""
        for gap in self._pending:
            counted = gap.pending if self._verdict.shares_known else 0
            self._attribute([gap], Repeat(counted, None, gap.higher, {}))
        self._pending = []

    def _attribute(self, gaps: list[Gap], counted: Repeat) -> None:
        """Attribute missing numbers to the pods that counted as many; the rest were skipped."""
        left = counted.number
        for gap in gaps:
            repeated = min(gap.pending, left)
            left -= repeated
            self._verdict.gaps.repeat(gap, repeated)
            if gap.pending:
                self.news.append(Example.of_gap(gap, gap.pending))
                self._verdict.gaps.skip(gap)
        if left < counted.number:
            repeat = replace(counted, number=counted.number - left)
            self._verdict.repeats.add(repeat)
            self.news.append(repeat)

    # ---- memory

    def _forget(self, oldest: int, waiting: int) -> None:
        self._verdict.gaps.forget(oldest)
        self._verdict.losses.forget(waiting)
        for epoch in self._verdict.epochs:
            epoch.forget(oldest)
