"""One client with its own connection. It records each request and never sends one twice."""

import asyncio
import errno
from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import monotonic_ns

import h11

from hello.check.history import Labels, Outcome, Record, shared
from hello.check.visiting.answer import Answer, UntrueError
from hello.check.visiting.connection import ClosedError, Connection
from hello.check.visiting.site import Address, Site
from hello.check.visiting.under_way import UnderWay

LONGEST_GREETING = 65536  # bytes; a hello's is some hundred
LONGEST_READING = 1 << 24  # bytes; a hello names each pod of the last day


class Client:
    """Sends one request at a time, over a new connection or, with `keep_alive`, over the last one if it is open."""

    def __init__(
        self, site: Site, addresses: Sequence[Address], under_way: UnderWay, *, keep_alive: bool, timeout: float
    ) -> None:
        self.site = site
        self.error: Exception | None = None
        """Why the last failed request got no answer."""
        self._addresses = addresses
        self._under_way = under_way
        self._keep_alive = keep_alive
        self._timeout = timeout
        self._requests = {read: _request(site, keep_alive=keep_alive, read=read) for read in (False, True)}
        self._connection: Connection | None = None

    @property
    def connected(self) -> bool:
        return self._connection is not None and self._connection.open

    async def visit(self, due: int | None = None) -> Record:
        """Visit; `due`: when the visit should have been sent."""
        return await self._ask(Labels(Outcome.INTERRUPTED, url=self.site.url, kept=self._keep_alive), due=due)

    async def read(self, *, shares: bool = False) -> Record:
        """Read the count; `shares`: record the pods' shares, too."""
        labels = Labels(Outcome.INTERRUPTED, read=True, url=self.site.url, kept=self._keep_alive)
        return await self._ask(labels, shares=shares)

    async def close(self) -> None:
        if self._connection:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _ask(self, labels: Labels, *, due: int | None = None, shares: bool = False) -> Record:
        sent, answered, number = monotonic_ns(), 0, None
        pods: Mapping[str, int] | None = None
        request = self._under_way.begin(sent, sent if due is None else due, read=labels.read)
        try:
            answer = await self._exchange(read=labels.read)
            answered = answer.arrived
            labels, number, pods = _understand(answer, labels)
        except (OSError, h11.RemoteProtocolError, ClosedError) as error:
            self.error = error
            labels = replace(labels, outcome=_outcome(error))
        finally:
            labels = shared(self._located(labels))
            record = Record(sent, answered or monotonic_ns(), labels, number, due, pods if shares else None)
            self._under_way.end(request, record)
        if not self.connected:
            await self.close()
        return record

    async def _exchange(self, *, read: bool) -> Answer:
        async with asyncio.timeout(self._timeout):
            if not self.connected:
                await self.close()
                self._connection = await Connection.to(self._addresses, self.site.tls, self.site.host)
            assert self._connection  # noqa: S101 -- for the types
            return await self._connection.ask(self._requests[read], LONGEST_READING if read else LONGEST_GREETING)

    def _located(self, labels: Labels) -> Labels:
        """Add the pod; for a failed visit, the one that answered on this connection before."""
        if self._connection is None:
            return labels
        if labels.pod:
            self._connection.pod = labels.pod
        elif not labels.read:
            labels = replace(labels, pod=self._connection.pod)
        return labels


def _understand(answer: Answer, labels: Labels) -> tuple[Labels, int | None, Mapping[str, int] | None]:
    labels = replace(labels, status=answer.status)
    if answer.status == 503:
        flaw, said = answer.refusal_flaw(), answer.words()
        return replace(labels, outcome=Outcome.UNAVAILABLE, flaw=flaw, said=said, pod=answer.pod), None, None
    if answer.status != 200:
        return replace(labels, outcome=Outcome.STATUS), None, None
    try:
        told = answer.reading() if labels.read else answer.greeting()
    except UntrueError as error:
        return replace(labels, outcome=Outcome.MALFORMED, flaw=error.flaw), None, None
    labels = replace(labels, outcome=Outcome.ANSWERED, pod=told.pod, epoch=told.epoch, flaw=answer.cache_flaw())
    return labels, told.number, told.pods


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
