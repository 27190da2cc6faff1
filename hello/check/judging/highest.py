"""The highest number that had arrived before a moment."""

from bisect import bisect_left
from operator import attrgetter

from hello.check.history import Record

_answered = attrgetter("answered")


class Highest:
    """The highest numbers so far, each with the first record that showed it. Records come in the order of ends."""

    def __init__(self) -> None:
        self._steps: list[Record] = []

    def add(self, record: Record) -> None:
        """Take a record, if its number is higher than all before."""
        if not self._steps or (record.number or 0) > (self._steps[-1].number or 0):
            self._steps.append(record)

    def before(self, moment: int) -> Record | None:
        """The highest that had arrived strictly before a moment; None if there is none, or it was forgotten."""
        steps = self._steps
        if steps and steps[-1].answered < moment:
            return steps[-1]
        index = bisect_left(steps, moment, key=_answered)
        return steps[index - 1] if index else None

    def forget(self, moment: int) -> None:
        """Keep what is needed to ask for this moment and later ones."""
        del self._steps[: max(bisect_left(self._steps, moment, key=_answered) - 1, 0)]
