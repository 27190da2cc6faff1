"""How long things took, in a fixed number of counts."""

import math
from collections import Counter
from collections.abc import Iterable

RATIO = 1.02
"""Of a bucket's ends: its middle is less than 1 % from both."""

LEAST = 1000
"""Nanoseconds, below which all is one bucket."""

_scale = 1 / math.log(RATIO)


def bucket(nanoseconds: int) -> int:
    """The number of the bucket that a time falls into: below 2,000 for any time."""
    return int(math.log(nanoseconds / LEAST) * _scale) if nanoseconds > LEAST else 0


def middle(index: int) -> int:
    """The time that stands for all in a bucket, in nanoseconds."""
    return int(LEAST * RATIO ** (index + 0.5))


def percentiles(buckets: Counter[int], wanted: Iterable[int]) -> dict[int, int]:
    """Nearest rank, less than 1 % from the true one; empty if there is nothing."""
    total, passed, found = buckets.total(), 0, {}
    following = iter(sorted(buckets.items()))
    index = 0
    for percentile in wanted if total else ():
        while passed < -(-percentile * total // 100):
            index, count = next(following)
            passed += count
        found[percentile] = middle(index)
    return found
