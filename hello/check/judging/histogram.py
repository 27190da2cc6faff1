"""A histogram of durations, of fixed size."""

import math
from collections import Counter
from collections.abc import Iterable

RATIO = 1.02
"""Between the ends of a bucket, so that its middle is within 1 % of both."""

LEAST = 1000
"""Nanoseconds; all that is shorter falls into one bucket."""

_scale = 1 / math.log(RATIO)


def bucket(nanoseconds: int) -> int:
    """The index of a duration's bucket, below 2,000."""
    return int(math.log(nanoseconds / LEAST) * _scale) if nanoseconds > LEAST else 0


def middle(index: int) -> int:
    """The duration in the middle of a bucket."""
    return int(LEAST * RATIO ** (index + 0.5))


def percentiles(buckets: Counter[int], wanted: Iterable[int]) -> dict[int, int]:
    """By nearest rank, within 1 %; empty if there are no durations."""
    total, passed, found = buckets.total(), 0, {}
    following = iter(sorted(buckets.items()))
    index = 0
    for percentile in wanted if total else ():
        while passed < -(-percentile * total // 100):
            index, count = next(following)
            passed += count
        found[percentile] = middle(index)
    return found
