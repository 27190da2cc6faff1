"""Reads HTTP answers: the number, or why there is none, and signs of a cache."""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hello.check.history import NEVER, Kind

MARKS = (b"hello-count", b"hello-pod", b"hello-epoch")
"""Each of the counter's answers has one of these headers; one without may come from a proxy."""

_MARKUP = re.compile(r"<(style|script)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)

LONGEST_WORDS = 200


class UntrueError(Exception):
    """A 200 without a valid number; `flaw` is None if it may come from a proxy."""

    def __init__(self, flaw: Kind | None) -> None:
        super().__init__(flaw and flaw.phrase)
        self.flaw = flaw


class Told(NamedTuple):
    """A number, the pod that answered, the epoch (empty while the store is), and the pods' shares."""

    number: int
    pod: str | None
    epoch: str
    pods: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, with header names in lower case, and when it had arrived."""

    arrived: int
    status: int
    headers: Mapping[bytes, bytes]
    body: bytes | bytearray

    @property
    def pod(self) -> str | None:
        pod = self._header(b"hello-pod")
        return sys.intern(pod) if pod and pod.isprintable() else None

    def greeting(self) -> Told:
        """The visitor's number; body and headers must agree."""
        match self._json():
            case {"count": number, "pod": str(pod), "epoch": str(epoch)} if (
                type(number) is int and 0 < number < NEVER and epoch and (pod + epoch).isprintable()
            ):
                told = tuple(self._header(name) for name in MARKS)
                if told == (str(number), pod, epoch):
                    return Told(number, sys.intern(pod), sys.intern(epoch))
                raise UntrueError(self._proved(Kind.CONTRADICTION))
        raise UntrueError(self._proved(Kind.NO_NUMBER))

    def reading(self) -> Told:
        """The total."""
        match self._json():
            case {"count": total, "epoch": str(epoch), **more} if (
                type(total) is int and 0 <= total < NEVER and epoch.isprintable()
            ):
                return Told(total, self.pod, sys.intern(epoch), _shares(more.get("pods")))
        raise UntrueError(self._proved(Kind.NO_NUMBER))

    def cache_flaw(self) -> Kind | None:
        """What the headers say of caches: only an Age above 0 proves one, since a proxy may add 0."""
        age = self._header(b"age").partition(",")[0].strip()  # of several, the first one counts (RFC 9111, 5.1)
        if age.isdecimal() and age.strip("0"):
            return self._proved(Kind.CACHED)
        return None if "no-store" in self._header(b"cache-control").lower() else self._proved(Kind.STORABLE)

    def refusal_flaw(self) -> Kind | None:
        return None if b"retry-after" in self.headers else self._proved(Kind.NO_RETRY_AFTER)

    def words(self) -> str:
        """The body of a 503 without HTML tags, in one short line."""
        text = _MARKUP.sub(" ", self.body.decode("utf-8", "replace"))
        return "".join(filter(str.isprintable, " ".join(text.split())))[:LONGEST_WORDS]

    def _proved(self, flaw: Kind) -> Kind | None:
        return flaw if any(name in self.headers for name in MARKS) else None

    def _header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("utf-8", "replace")

    def _json(self) -> Any:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


def _shares(pods: Any) -> Mapping[str, int] | None:
    if not isinstance(pods, dict) or not all(type(share) is int and abs(share) < NEVER for share in pods.values()):
        return None
    return {sys.intern(pod): share for pod, share in pods.items()} if "".join(pods).isprintable() else None
