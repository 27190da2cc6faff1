"""What an HTTP answer says: a number, or that there is none, and whether a cache had a hand in it."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hello.check.history import Flaw


class UntrueError(Exception):
    """A 200 that does not say what a hello's does."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw)
        self.flaw = flaw


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, its header names in lower case, and when it had arrived."""

    arrived: int
    status: int
    headers: Mapping[bytes, bytes]
    body: bytes | bytearray

    def greeting(self) -> tuple[int, str, str]:
        """Number, pod and epoch, which body and headers must agree on."""
        match self._json():
            case {"count": number, "pod": str(pod), "epoch": str(epoch)} if (
                type(number) is int and number > 0 and epoch
            ):
                told = (self._header(b"hello-count"), self._header(b"hello-pod"), self._header(b"hello-epoch"))
                if told != (str(number), pod, epoch):
                    raise UntrueError(Flaw.CONTRADICTION)
                if (pod + epoch).isprintable():
                    return number, sys.intern(pod), sys.intern(epoch)
        raise UntrueError(Flaw.NO_NUMBER)

    def reading(self) -> tuple[int, str | None, str]:
        """The total, who told it if that is said, and its epoch, which is empty as long as the store is."""
        match self._json():
            case {"count": total, "epoch": str(epoch)} if type(total) is int and total >= 0 and epoch.isprintable():
                pod = self._header(b"hello-pod")
                return total, sys.intern(pod) if pod.isprintable() and pod else None, sys.intern(epoch)
        raise UntrueError(Flaw.NO_NUMBER)

    def cache_flaw(self) -> Flaw | None:
        """What the headers say of caches: only an Age above 0 proves one, since who passes an answer on may add 0."""
        age = self._header(b"age")
        if age.isdecimal() and int(age) > 0:
            return Flaw.CACHED
        return None if "no-store" in self._header(b"cache-control").lower() else Flaw.STORABLE

    def retry_after(self) -> float:
        """Seconds to wait; 1 where it does not say, or gives a date."""
        seconds = self._header(b"retry-after")
        return float(seconds) if seconds.isdecimal() else 1.0

    def _header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("utf-8", "replace")

    def _json(self) -> Any:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None
