"""One client: it asks over a connection of its own and keeps a record of each request. It never sends one twice."""

import asyncio
import errno
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic_ns
from typing import Self
from urllib.parse import urlsplit

import h11

from hello.check.answer import Answer, UntrueError
from hello.check.connection import ClosedError, Connection
from hello.check.history import Flaw, Outcome, Record


@dataclass(frozen=True, slots=True)
class Site:
    """Where the counter is. `path` ends in a slash; `authority` is host and port as the URL has them."""

    tls: ssl.SSLContext | None
    host: str
    port: int
    path: str
    authority: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL apart; ValueError says what is wrong with it."""
        if not (url.isascii() and url.isprintable()) or " " in url:
            raise ValueError("a URL is ASCII without blanks")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ValueError("it should begin with http:// or https://")
        if not parts.hostname or parts.port == 0:
            raise ValueError("it names no host and port")
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError("it should have no user, query or fragment")
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        port = parts.port or (443 if tls else 80)
        return cls(tls, parts.hostname, port, parts.path.removesuffix("/") + "/", parts.netloc)


class Client:
    """Asks one thing at a time, each on a fresh connection or, with `keep_alive`, on the last one while it is open.

    addresses: the site's, tried in turn. keep: is given each record. timeout: seconds for connection and answer.
    """

    def __init__(
        self, site: Site, addresses: Sequence[str], keep: Callable[[Record], None], *, keep_alive: bool, timeout: float
    ) -> None:
        self.retry_after = 0.0
        """Seconds to wait, as the last 503 said."""
        self.error: Exception | None = None
        """Why the last failed request got no answer."""
        self._site = site
        self._addresses = addresses
        self._keep = keep
        self._timeout = timeout
        self._requests = {read: _request(site, keep_alive=keep_alive, read=read) for read in (False, True)}
        self._connection: Connection | None = None

    async def ask(self, *, read: bool = False, attempt: int = 1) -> Record:
        """Visit, which is counted, or read the count, which is not."""
        record = Record(monotonic_ns(), 0, Outcome.INTERRUPTED, read, attempt)
        try:
            answer = await self._exchange(self._requests[read])
            record = self._understand(answer, record)
        except (OSError, h11.RemoteProtocolError, ClosedError) as error:
            self.error = error
            record = replace(record, answered=monotonic_ns(), outcome=_outcome(error))
        finally:
            self._keep(record if record.answered else replace(record, answered=monotonic_ns()))
        await self._leave()
        return record

    async def close(self) -> None:
        """Close the connection, if one is open."""
        if self._connection:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _exchange(self, request: h11.Request) -> Answer:
        async with asyncio.timeout(self._timeout):
            if self._connection is None or not self._connection.open:
                await self.close()
                self._connection = await self._connect()
            return await self._connection.ask(request)

    async def _connect(self) -> Connection:
        *others, last = self._addresses
        for address in others:
            with suppress(OSError):
                return await Connection.to(address, self._site.port, self._site.tls, self._site.host)
        return await Connection.to(last, self._site.port, self._site.tls, self._site.host)

    async def _leave(self) -> None:
        if self._connection and not self._connection.open:
            await self.close()

    def _understand(self, answer: Answer, record: Record) -> Record:
        record = replace(record, answered=answer.arrived, status=answer.status)
        if answer.status == 503:
            self.retry_after = answer.retry_after()
            flaw = None if b"retry-after" in answer.headers else Flaw.NO_RETRY_AFTER
            return replace(record, outcome=Outcome.UNAVAILABLE, flaw=flaw)
        if answer.status != 200:
            return replace(record, outcome=Outcome.STATUS)
        try:
            number, pod, epoch = answer.reading() if record.read else answer.greeting()
        except UntrueError as error:
            return replace(record, outcome=Outcome.MALFORMED, flaw=error.flaw)
        flaw = answer.cache_flaw()
        return replace(record, outcome=Outcome.ANSWERED, number=number, pod=pod, epoch=epoch, flaw=flaw)


def _request(site: Site, *, keep_alive: bool, read: bool) -> h11.Request:
    headers = [
        ("Host", site.authority),
        ("Accept", "application/json"),
        ("User-Agent", "hello-check"),
        ("Connection", "keep-alive" if keep_alive else "close"),
    ]
    return h11.Request(method="GET", target=site.path + ("count" if read else ""), headers=headers)


def _outcome(error: Exception) -> Outcome:
    match error:
        case ConnectionRefusedError():
            return Outcome.REFUSED
        case TimeoutError():
            return Outcome.TIMEOUT
        case ConnectionError():
            return Outcome.RESET
        case ClosedError():
            return Outcome.CLOSED
        case h11.RemoteProtocolError():
            return Outcome.MALFORMED
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return Outcome.NOT_SENT
        case _:
            return Outcome.UNREACHABLE
