"""One HTTP/1.1 connection, over which a request goes once or not at all."""

import asyncio
import ssl
from contextlib import suppress
from time import monotonic_ns
from typing import Self

import h11

from hello.check.answer import Answer

CHUNK = 65536
LARGEST_BODY = 65536  # bytes; a hello's is some hundred
LEAVE = 1.0  # seconds for the other side to close its end


class ClosedError(Exception):
    """The other side closed the connection before its answer was whole."""


class Connection:
    """One HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)

    @classmethod
    async def to(cls, address: str, port: int, tls: ssl.SSLContext | None, name: str) -> Self:
        """Connect to an address; over TLS, to who can prove to be `name`. OSError if that fails."""
        server = name if tls else None
        return cls(*await asyncio.open_connection(address, port, ssl=tls, server_hostname=server))

    @property
    def open(self) -> bool:
        """Whether the next request may go over it: the last answer was whole, and neither side has closed."""
        idle = self._http.our_state is h11.IDLE
        return idle and not self._reader.at_eof() and not self._writer.is_closing()

    async def ask(self, request: h11.Request) -> Answer:
        """Send a request and wait for the whole answer, of which no more than LARGEST_BODY is read."""
        self._writer.write((self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b""))
        response: h11.Response | None = None
        body = b""
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
            if len(body) > LARGEST_BODY:
                break
        arrived = monotonic_ns()
        assert response  # noqa: S101 -- h11 lets no body come before it
        if self._http.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            self._http.start_next_cycle()
        return Answer(arrived, response.status_code, dict(response.headers), body)

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
