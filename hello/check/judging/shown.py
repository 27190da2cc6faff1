"""A list of which all items are counted and some are kept."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

MOST = 100

T = TypeVar("T")


class Shown(Generic[T]):
    """Counts all items and keeps the first and the last hundred."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[T] = []
        self.last: deque[T] = deque(maxlen=MOST)

    def add(self, item: T, count: int = 1) -> None:
        self.count += count
        if len(self.first) < MOST:
            self.first.append(item)
        else:
            self.last.append(item)

    def __iter__(self) -> Iterator[T]:
        yield from self.first
        yield from self.last
