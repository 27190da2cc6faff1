"""An HTTP/1.1 connection that sends each request at most once."""

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
    """The server closed the connection before its answer was complete."""


class Connection:
    """One HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pod: str | None = None
        """The pod that answered last."""
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)

    @classmethod
    async def to(cls, addresses: Sequence[Address], tls: ssl.SSLContext | None, name: str) -> Self:
        """Connect to one of the addresses; over TLS, the server must prove that it is `name`. May raise OSError."""
        sock = await start_connection(addresses, happy_eyeballs_delay=ATTEMPT_DELAY, interleave=1)
        try:
            name = name.removesuffix(".")  # a name's final dot is DNS', and in no certificate
            return cls(*await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name if tls else None))
        except BaseException:
            sock.close()
            raise

    @property
    def open(self) -> bool:
        """Whether another request may be sent: the last answer was complete, and neither side has closed."""
        idle = self._http.our_state is h11.IDLE
        return idle and not self._reader.at_eof() and not self._writer.is_closing()

    async def ask(self, request: h11.Request, longest: int) -> Answer:
        """Send a request and wait for the answer; of its body, read little more than `longest` bytes."""
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
        """The end of the connection completes a body of unknown length; any other answer is cut off."""
        try:
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise ClosedError("closed before the answer was whole") from error
        if isinstance(event, h11.EndOfMessage):
            return event
        raise ClosedError("closed without an answer")

    async def close(self) -> None:
        """Close the connection, after the server if it said that it would: then no port here is left in TIME_WAIT."""
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
    """The headers by name; repeated lines are one list (RFC 9110, section 5.3)."""
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined
