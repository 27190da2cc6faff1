"""Records, made by hand, and their judgement."""

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from hello.check.history import NEVER, Labels, Outcome, Record, shared
from hello.check.judging.judge import Judge
from hello.check.judging.verdict import Rules, Verdict

OF_LABELS = {field.name for field in fields(Labels)}


def recorded(
    sent: int, answered: int, outcome: Outcome = Outcome.ANSWERED, number: int | None = None, **more: Any
) -> Record:
    values = {name: more.pop(name) for name in ("due", "pods") if name in more}
    return Record(sent, answered, shared(Labels(outcome, **more)), number, **values)


def changed(record: Record, **changes: Any) -> Record:
    """The same but for some of its values or labels."""
    labels = {name: value for name, value in changes.items() if name in OF_LABELS}
    values = {name: value for name, value in changes.items() if name not in OF_LABELS}
    return record._replace(**values, labels=shared(replace(record.labels, **labels)))


def fed(records: Iterable[Record], **rules: Any) -> Judge:
    """A judge that was given the records as a run gives them: when they end, and with what is under way then."""
    judge = Judge(Rules(**rules))
    first = visit = NEVER
    told = []
    for record in sorted(records, key=lambda record: record.answered, reverse=True):
        told.append((record, first, visit))
        first = min(first, record.sent)
        if not record.read and record.outcome is not Outcome.STOOD_STILL:
            visit = min(visit, record.since)
    for record, oldest, waiting in reversed(told):
        judge.add(record, oldest, waiting)
    return judge


def judged(records: Iterable[Record], **rules: Any) -> Verdict:
    return fed(records, **rules).verdict()
