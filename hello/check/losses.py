"""Which visits got no number, where they were lost, and the times in which nobody was answered."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from operator import attrgetter

from hello.check.history import Labels, Outcome, Record
from hello.check.verdict import OUTAGE, Losses, Share, Silence

NOT_LOST = {Outcome.ANSWERED, Outcome.INTERRUPTED, Outcome.NOT_SENT}
"""Answered, or never brought to an end, for a reason that lies on this side."""


def losses(records: Sequence[Record]) -> Losses:
    """Find what was lost. A 503 after which the client visited again is not."""
    visits = sorted((record for record in records if not record.labels.read), key=attrgetter("answered"))
    again = _visited_again(visits)
    answered = [record for record in visits if record.labels.outcome is Outcome.ANSWERED]
    lost = [record for record in visits if record.labels.outcome not in NOT_LOST and id(record) not in again]
    urls, addresses, pods, connections = (defaultdict[str, Share](Share) for _ in range(4))
    for part, ended in ("answered", answered), ("lost", lost):
        for labels, count in _by_labels(ended):
            kind = "kept" if labels.kept else "fresh"
            for shares, name in (
                (urls, labels.url),
                (addresses, labels.address),
                (pods, labels.pod),
                (connections, kind),
            ):
                if name:
                    setattr(shares[name], part, getattr(shares[name], part) + count)
    return Losses(lost, _outages(visits), dict(urls), dict(addresses), dict(pods), dict(connections))


def _by_labels(records: list[Record]) -> Iterator[tuple[Labels, int]]:
    """How many there are of each; labels are shared, and their ids are counted faster than they are compared."""
    counted = Counter(id(record.labels) for record in records)
    labels = {id(record.labels): record.labels for record in records}
    return ((labels[key], count) for key, count in counted.items())


def _visited_again(visits: list[Record]) -> set[int]:
    """The ids of the visits that got 503 and were made again: each next attempt is that of the first one waiting."""
    if all(record.labels.attempt == 1 for record in visits):
        return set()
    again: set[int] = set()
    waiting: defaultdict[int, deque[Record]] = defaultdict(deque)
    unavailable = iter(record for record in visits if record.labels.outcome is Outcome.UNAVAILABLE)
    following = next(unavailable, None)
    for record in sorted(visits, key=attrgetter("sent")):
        while following and following.answered <= record.sent:
            waiting[following.labels.attempt].append(following)
            following = next(unavailable, None)
        if record.labels.attempt > 1 and waiting[record.labels.attempt - 1]:
            again.add(id(waiting[record.labels.attempt - 1].popleft()))
    return again


def _outages(visits: list[Record]) -> list[Silence]:
    """The long silences, and the longest one anyway. Visits are by their end."""
    waiting_since = _earliest_sent(visits)
    longest = -1
    outages: list[Silence] = []
    before: Record | None = None
    began = waiting_since[0] if visits else 0
    for index, record in enumerate(visits):
        if record.labels.outcome is Outcome.ANSWERED:
            if record.answered - began > longest or record.answered - began >= OUTAGE:
                longest = max(longest, record.answered - began)
                outages.append(Silence(began, record.answered, before, record))
            before = record
            began = max(record.answered, waiting_since[index + 1] if index + 1 < len(visits) else 0)
    if visits and visits[-1] is not before:
        outages.append(Silence(began, visits[-1].answered, before, None))
        longest = max(longest, outages[-1].length)
    return [silence for silence in outages if silence.length >= min(OUTAGE, longest)]


def _earliest_sent(visits: list[Record]) -> list[int]:
    """For each, the earliest that it or a later one was sent."""
    earliest = [record.sent for record in visits]
    for index in range(len(earliest) - 2, -1, -1):
        earliest[index] = min(earliest[index], earliest[index + 1])
    return earliest
