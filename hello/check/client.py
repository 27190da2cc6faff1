"""One client: it asks over a connection of its own and keeps a record of each request. It never sends one twice."""

import asyncio
import errno
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic_ns

import h11

from hello.check.answer import Answer, UntrueError
from hello.check.connection import ClosedError, Connection
from hello.check.history import Flaw, Labels, Outcome, Record, shared
from hello.check.site import Address, Site

LONGEST_GREETING = 65536  # bytes; a hello's is some hundred
LONGEST_READING = 1 << 24  # bytes; a hello names each pod of the last day


class Client:
    """Asks one thing at a time, each on a fresh connection or, with `keep_alive`, on the last one while it is open.

    addresses: the site's. keep: is given each record. timeout: seconds for connection and answer.
    """

    def __init__(
        self,
        site: Site,
        addresses: Sequence[Address],
        keep: Callable[[Record], None],
        *,
        keep_alive: bool,
        timeout: float,
    ) -> None:
        self.site = site
        self.retry_after = 0.0
        """Seconds to wait, as the last 503 said."""
        self.error: Exception | None = None
        """Why the last failed request got no answer."""
        self._addresses = addresses
        self._keep = keep
        self._keep_alive = keep_alive
        self._timeout = timeout
        self._requests = {read: _request(site, keep_alive=keep_alive, read=read) for read in (False, True)}
        self._connection: Connection | None = None

    @property
    def connected(self) -> bool:
        """Whether the next request may go over an open connection."""
        return self._connection is not None and self._connection.open

    async def ask(self, *, read: bool = False, attempt: int = 1) -> Record:
        """Visit, which is counted, or read the count, which is not."""
        sent, answered, number = monotonic_ns(), 0, None
        labels = Labels(Outcome.INTERRUPTED, read=read, attempt=attempt, url=self.site.url, kept=self._keep_alive)
        try:
            answer = await self._exchange(read=read)
            answered = answer.arrived
            labels, number = self._understand(answer, labels)
        except (OSError, h11.RemoteProtocolError, ClosedError) as error:
            self.error = error
            labels = replace(labels, outcome=_outcome(error))
        finally:
            record = Record(sent, answered or monotonic_ns(), shared(self._located(labels)), number)
            self._keep(record)
        if not self.connected:
            await self.close()
        return record

    async def close(self) -> None:
        """Close the connection, if one is open."""
        if self._connection:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _exchange(self, *, read: bool) -> Answer:
        async with asyncio.timeout(self._timeout):
            if not self.connected:
                await self.close()
                self._connection = await Connection.to(self._addresses, self.site.tls, self.site.host)
            assert self._connection  # noqa: S101 -- for the types
            return await self._connection.ask(self._requests[read], LONGEST_READING if read else LONGEST_GREETING)

    def _understand(self, answer: Answer, labels: Labels) -> tuple[Labels, int | None]:
        labels = replace(labels, status=answer.status)
        if answer.status == 503:
            self.retry_after = answer.retry_after()
            flaw = None if b"retry-after" in answer.headers else Flaw.NO_RETRY_AFTER
            return replace(labels, outcome=Outcome.UNAVAILABLE, flaw=flaw), None
        if answer.status != 200:
            return replace(labels, outcome=Outcome.STATUS), None
        try:
            number, pod, epoch = answer.reading() if labels.read else answer.greeting()
        except UntrueError as error:
            return replace(labels, outcome=Outcome.MALFORMED, flaw=error.flaw), None
        flaw = answer.cache_flaw()
        return replace(labels, outcome=Outcome.ANSWERED, pod=pod, epoch=epoch, flaw=flaw), number

    def _located(self, labels: Labels) -> Labels:
        """Add where it was: the address, and who had answered on this connection before."""
        if self._connection is None:
            return labels
        if labels.outcome is Outcome.ANSWERED:
            self._connection.pod = labels.pod or self._connection.pod
        elif not labels.read:
            labels = replace(labels, pod=self._connection.pod)
        if len(self._addresses) > 1:
            labels = replace(labels, address=self._connection.address)
        return labels


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
