"""What both halves of the server do with a connection: cut a header off what comes, within the limits of it all.

A header is parsed from its beginning again with each piece of it that comes, in 20 µs at the most: what is unfinished
costs its bytes, and no parser, and what is no HTTP gets its answer at once.
"""

import asyncio
from typing import cast

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser, RawRequestMessage
from aiohttp.streams import StreamReader

from hello.web.connections import HEADER_FIELDS, HEADER_SIZE, Connections, Wait

END = b"\r\n\r\n"

REFUSAL = b"HTTP/1.1 %b\r\nServer: hello\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
URI_TOO_LONG = REFUSAL % b"414 URI Too Long"  # RFC 9110, section 15.5.15
HEADER_TOO_LARGE = REFUSAL % b"431 Request Header Fields Too Large"  # RFC 6585, section 5


def make_parser() -> HttpRequestParser:
    """Make a parser of requests: aiohttp's own, with our limits, and without a limit to what it may be fed at once."""
    loop = asyncio.get_running_loop()
    return HttpRequestParser(
        BaseProtocol(loop),
        loop,
        2**30,
        max_line_size=HEADER_SIZE,
        max_field_size=HEADER_SIZE,
        max_headers=HEADER_FIELDS,
        auto_decompress=False,
    )


def parse(header: bytes) -> list[tuple[RawRequestMessage, StreamReader]] | None:
    """The requests of which this is the beginning, as far as their headers are whole; None if it is no HTTP."""
    try:
        return list(make_parser().feed_data(header)[0])
    except HttpProcessingError:
        return None


class Connection(asyncio.Protocol):
    """One connection, which waits for one thing at a time. What becomes of a header is for each half to say."""

    __slots__ = ("_connections", "_held", "_is_busy", "_is_half_closed", "_is_last", "_transport", "_wait")

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._transport: asyncio.Transport
        self._wait: Wait | None = None
        self._held = b""
        """What has come and is not taken: an unfinished header, or what came before the last answer."""
        self._is_busy = False
        """Whether a request is under way."""
        self._is_last = False
        """Whether nothing more is taken from this client."""
        self._is_half_closed = False
        """Whether the client sends nothing more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._connections.admit(self._transport):
            self._transport.set_write_buffer_limits(0)
            self._await(self._connections.reading)
        else:
            self._is_last = True
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._is_last:
            self._held += data
            self._advance()

    def eof_received(self) -> bool:
        """Wait a moment for the answer that is under way: whether the client still listens, nobody can tell."""
        self._is_half_closed = True
        if self._is_busy:
            self._await(self._connections.lingering)
        return self._is_busy

    def pause_writing(self) -> None:
        """Wait for the client to take what is there for it, but not for ever."""
        self._transport.pause_reading()
        self._await(self._connections.sending)
        self._account()

    def resume_writing(self) -> None:
        self._await(None if self._is_busy else self._connections.resting)
        self._account()
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_last = True
        self._await(None)
        self._connections.forget(self._transport)

    def _go_on(self) -> None:
        """Take what is held, if it is its turn, and rest meanwhile."""
        if self._is_last or self._transport.is_closing() or self._wait is self._connections.sending:
            return
        if not (self._is_busy or self._wait):
            self._await(self._connections.resting)
        self._transport.resume_reading()
        self._advance()

    def _advance(self) -> None:
        """Take what is held if no request is under way, or read no more until none is."""
        raise NotImplementedError

    def _await(self, wait: Wait | None) -> None:
        if self._wait:
            self._wait.end(self._transport)
        self._wait = wait
        if wait:
            wait.begin(self._transport)

    def _account(self, more: int = 0) -> None:
        """Note how much is held: for the client to send the rest of it, to get its answer, or to take it."""
        self._connections.hold(self._transport, len(self._held) + self._transport.get_write_buffer_size() + more)

    def _cut_header(self) -> bytes:
        """Cut the next header off what is held, if it is whole and small enough: RFC 9112, section 2.1.

        All that is held if it is no HTTP: for aiohttp to say so, as the last answer.
        """
        self._held = self._held.lstrip(b"\r\n")  # section 2.2
        end = self._held.find(END) + len(END)
        size = end if end >= len(END) else len(self._held)
        if size > HEADER_SIZE or self._held.count(b"\r\n", 0, size) > HEADER_FIELDS + 2:
            self._transport.write(HEADER_TOO_LARGE if b"\r\n" in self._held[:HEADER_SIZE] else URI_TOO_LONG)
            return self._end(b"")
        header = self._held[:size]
        messages = parse(header)
        if messages:
            self._held = self._held[size:]
            return header
        if messages is None or end == size:
            return self._end(self._held)
        if header and self._wait is not self._connections.reading:
            self._await(self._connections.reading)
        return b""

    def _end(self, header: bytes) -> bytes:
        """Take nothing more, and close after a moment."""
        self._is_last, self._held = True, b""
        self._transport.resume_reading()
        self._await(self._connections.lingering)
        return header
