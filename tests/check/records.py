"""Records, made by hand."""

from dataclasses import fields, replace
from typing import Any

from hello.check.history import Labels, Outcome, Record, shared

OF_LABELS = {field.name for field in fields(Labels)}


def recorded(
    sent: int, answered: int, outcome: Outcome = Outcome.ANSWERED, number: int | None = None, **labels: Any
) -> Record:
    return Record(sent, answered, shared(Labels(outcome, **labels)), number)


def changed(record: Record, **changes: Any) -> Record:
    """The same but for some of its values or labels."""
    labels = {name: value for name, value in changes.items() if name in OF_LABELS}
    values = {name: value for name, value in changes.items() if name not in OF_LABELS}
    return replace(record, **values, labels=shared(replace(record.labels, **labels)))
