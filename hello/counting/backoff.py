"""How long to wait before something is asked of the store again."""

from collections.abc import Iterator
from itertools import chain, repeat

RETRY_BACKOFF = (0.02, 0.05, 0.1, 0.2)
"""Seconds before the first, second … repetition; the last one from then on."""


def retry_backoff() -> Iterator[float]:
    """The seconds of RETRY_BACKOFF, without an end."""
    return chain(RETRY_BACKOFF, repeat(RETRY_BACKOFF[-1]))
