"""The highest number that had arrived before a moment."""

from bisect import bisect_left
from operator import attrgetter

from hello.check.history import Record

_answered = attrgetter("answered")


class Highest:
    """The record of each new highest number, in order of arrival."""

    def __init__(self) -> None:
        self._steps: list[Record] = []

    def add(self, record: Record) -> None:
        if not self._steps or (record.number or 0) > (self._steps[-1].number or 0):
            self._steps.append(record)

    def before(self, moment: int) -> Record | None:
        """The highest that had arrived strictly before a moment, unless it was forgotten."""
        steps = self._steps
        if steps and steps[-1].answered < moment:
            return steps[-1]
        index = bisect_left(steps, moment, key=_answered)
        return steps[index - 1] if index else None

    def forget(self, moment: int) -> None:
        """Forget what only moments before this one need."""
        del self._steps[: max(bisect_left(self._steps, moment, key=_answered) - 1, 0)]
