"""A counter's keys in etcd, and the parts of its transactions.

Under the prefix: `base`, `distrusted`, `epoch`, a key for each client session in `sessions/`, and `shares`. A commit
reads all but the last in one range.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hello.stores.rules import SessionRecord, State, whole_number, word

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SessionKey:
    """A client session's key. The record's index is the key's last revision, and its top is unknown.

    seen: the highest number that the batch's session had seen: etcd counts the batch before anybody can compare.
    """

    record: SessionRecord
    seen: int

    @classmethod
    def parse(cls, text: str, revision: int) -> "SessionKey":
        """Read a value; raises ValueError."""
        epoch, sequence, total, seen, time, pod = text.split(" ")
        return cls(SessionRecord(epoch, int(sequence), 0, revision, int(time), int(total), pod), int(seen))

    def text(self) -> str:
        one = self.record
        return f"{one.epoch} {one.sequence} {one.total} {self.seen} {one.time} {one.pod}"


@dataclass(frozen=True, slots=True)
class Base:
    """The count with which an epoch began, and its present count without that of the sessions' keys.

    forgotten: the highest revision of a folded session's key. revision: this key's last one.
    """

    began: int = 0
    count: int = 0
    forgotten: int = 0
    revision: int = 0

    @classmethod
    def parse(cls, text: str, revision: int) -> "Base":
        """Read a value; raises ValueError."""
        began, count, forgotten = map(int, text.split(" "))
        return cls(began, count, forgotten, revision)

    def text(self) -> str:
        return f"{self.began} {self.count} {self.forgotten}"


@dataclass(slots=True)
class View:
    """The keys at one revision. Without an epoch the store is empty.

    latest: the latest epoch known to the process that distrusted etcd. shares: the totals of folded sessions by pod.
    names: all keys in the range that a commit reads, even those that no counter wrote.
    """

    revision: int = 0
    epoch: str = ""
    epoch_revision: int = 0
    base: Base = field(default_factory=Base)
    latest: str = ""
    distrusted: str = ""
    sessions: dict[str, SessionKey] = field(default_factory=dict)
    shares: list[SessionRecord] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    @property
    def count(self) -> int:
        sessions = (session.record for session in self.sessions.values())
        return self.base.count + sum(record.total for record in sessions if record.epoch == self.epoch)

    def state(self) -> State:
        """Convert the view for the rules; raises ValueError if no counter wrote it."""
        if bool(self.epoch) != bool(self.base.revision):
            raise ValueError("an epoch without a base, or a base without an epoch")
        base = self.base
        return State(self.epoch, self.count, base.began, self.revision, base.forgotten, self.distrusted)


class Keys:
    """The keys under a prefix."""

    def __init__(self, prefix: str) -> None:
        self.base = f"{prefix}/base"
        self.distrusted = f"{prefix}/distrusted"
        self.epoch = f"{prefix}/epoch"
        self.sessions = f"{prefix}/sessions/"
        self.shares = f"{prefix}/shares"
        self._end = f"{self.sessions[:-1]}0"

    def session(self, client: str) -> str:
        return self.sessions + client

    def all(self) -> Json:
        return {"key": _code(self.base), "range_end": _code(f"{self.shares}\0")}

    def counted(self, changed_after: int = 0) -> Json:
        """A range of the keys that make up the count: their number, and those that changed after a revision."""
        keys = {"key": _code(self.base), "range_end": _code(self._end)}
        return {**keys, "min_mod_revision": str(changed_after + 1)} if changed_after else keys

    def update(self, view: View, answer: Mapping[str, Any], revision: int) -> bool:
        """Bring a view to a later revision by the keys that changed; raises ValueError if no counter wrote them.

        Returns false if keys were deleted, which a range does not show. The view had all unchanged keys, so it is
        complete if it has as many as there are.
        """
        view.revision = revision
        for pair in answer.get("kvs", ()):
            self._set(view, _text(pair["key"]), _text(pair.get("value", "")), int(pair["mod_revision"]))
        return len(view.names) == int(answer.get("count", 0))

    def view(self, answer: Mapping[str, Any], revision: int) -> View:
        """Make a view; raises ValueError if no counter wrote the keys."""
        view = View()
        self.update(view, answer, revision)
        return view

    def _set(self, view: View, key: str, text: str, changed: int) -> None:
        if key == self.base:
            view.base = Base.parse(text, changed)
        elif key == self.distrusted:
            view.latest, _, view.distrusted = text.partition(" ")
        elif key == self.epoch:
            view.epoch, view.epoch_revision = word(text), changed
        elif key == self.shares:
            view.shares = list(_shares(text, view.epoch))  # keys are sorted: the epoch came first
        elif key.startswith(self.sessions):
            view.sessions[key.removeprefix(self.sessions)] = SessionKey.parse(text, changed)
        if key < self._end:
            view.names.add(key)


def shares(records: list[SessionRecord]) -> str:
    return json.dumps({record.pod: [record.total, record.time] for record in records})


def _shares(text: str, epoch: str) -> Iterator[SessionRecord]:
    try:
        for pod, (total, time) in json.loads(text).items():
            yield SessionRecord(epoch, pod=word(pod), total=whole_number(total), time=whole_number(time))
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{text[:100]!r} are not shares") from error


def is_unchanged(key: str, revision: int) -> Json:
    """Compare a key's last revision; 0 if there is no such key."""
    return {"key": _code(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def holds(key: str, text: str) -> Json:
    return {"key": _code(key), "target": "VALUE", "result": "EQUAL", "value": _code(text)}


def put(key: str, text: str) -> Json:
    return {"request_put": {"key": _code(key), "value": _code(text)}}


def delete(key: str) -> Json:
    return {"request_delete_range": {"key": _code(key)}}


def _code(text: str) -> str:
    return b64encode(text.encode()).decode()


def _text(code: str) -> str:
    return b64decode(code).decode("utf-8", "replace")
