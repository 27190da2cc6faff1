"""One HTTP/1.1 connection, over which a request goes once or not at all."""

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from contextlib import suppress
from time import monotonic_ns
from typing import Self

import h11
from aiohappyeyeballs import start_connection

from hello.check.visiting.answer import Answer
from hello.check.visiting.site import Address

ATTEMPT_DELAY = 0.25  # seconds that an address has before the next is tried as well (RFC 8305, section 5)
CHUNK = 65536
LEAVE = 1.0  # seconds for the other side to close its end


class ClosedError(Exception):
    """The other side closed the connection before its answer was whole."""


class Connection:
    """One HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pod: str | None = None
        """Who answered last."""
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)

    @classmethod
    async def to(cls, addresses: Sequence[Address], tls: ssl.SSLContext | None, name: str) -> Self:
        """Connect to one of the addresses; over TLS, to who can prove to be `name`. OSError if that fails."""
        sock = await start_connection(addresses, happy_eyeballs_delay=ATTEMPT_DELAY, interleave=1)
        try:
            name = name.removesuffix(".")  # a name's final dot is DNS', and in no certificate
            return cls(*await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name if tls else None))
        except BaseException:
            sock.close()
            raise

    @property
    def open(self) -> bool:
        """Whether the next request may go over it: the last answer was whole, and neither side has closed."""
        idle = self._http.our_state is h11.IDLE
        return idle and not self._reader.at_eof() and not self._writer.is_closing()

    async def ask(self, request: h11.Request, longest: int) -> Answer:
        """Send a request and wait for the whole answer, of whose body not much more than `longest` bytes are read."""
        self._writer.write((self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b""))
        response: h11.Response | None = None
        body = bytearray()
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
            if len(body) > longest:
                break
        arrived = monotonic_ns()
        assert response  # noqa: S101 -- h11 lets no body come before it
        whole = self._http.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}
        if whole and not self._http.trailing_data[0]:  # what nobody asked for would be taken for the next answer
            self._http.start_next_cycle()
        return Answer(arrived, response.status_code, _joined(response.headers), body)

    async def _next_event(self) -> h11.Event:
        while not isinstance(event := self._http.next_event(), h11.Event):
            data = await self._reader.read(CHUNK)
            self._http.receive_data(data)
            if not data:
                return self._last_event()
        return event

    def _last_event(self) -> h11.Event:
        """The end of the connection ends a body of unknown length; anything else it cuts off."""
        try:
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise ClosedError("closed before the answer was whole") from error
        if isinstance(event, h11.EndOfMessage):
            return event
        raise ClosedError("closed without an answer")

    async def close(self) -> None:
        """Close it, after the other side if that said that it would: then its port is not kept waiting at this end."""
        with suppress(OSError):
            try:
                async with asyncio.timeout(LEAVE):
                    while self._http.their_state is h11.MUST_CLOSE and await self._reader.read(CHUNK):
                        pass
                    self._writer.close()
                    await self._writer.wait_closed()
            finally:
                self._writer.transport.abort()


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers by name; lines of one name are one list (RFC 9110, section 5.3)."""
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined
