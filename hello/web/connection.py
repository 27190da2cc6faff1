"""One connection: its requests are answered one after the other."""

import asyncio
from typing import cast

from aiohttp.web import BaseRequest, RequestHandler, Server, StreamResponse

from hello.web.connections import BODY_SIZE, Connections, Wait
from hello.web.header import HeaderError, cut_header

HANDLER_SIZE, FIELD_SIZE = 1800, 40
"""Bytes for which aiohttp's handler of a connection counts, and each field that it has parsed.

They take four times that, as does what else is held, at the most: a header of 15 kB in 62 fields took 45 kB.
"""


class Bounded(asyncio.Protocol):
    """A connection within the limits of its port."""

    __slots__ = ("_connections", "_held", "_size", "_transport", "_wait")

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._transport: asyncio.Transport
        self._wait: Wait | None = None
        self._held = b""
        """Bytes not processed yet: an incomplete header, or what follows the request under way."""
        self._size = 0
        """Bytes that aiohttp's handler holds."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._connections.admit(self._transport):
            self._transport.set_write_buffer_limits(0)
            self._await(self._connections.reading)
        else:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(None)
        self._connections.forget(self._transport)

    def pause_writing(self) -> None:
        """Give the client a limited time to read."""
        self._transport.pause_reading()
        self._await(self._connections.sending)
        self._account()

    def _await(self, wait: Wait | None) -> None:
        if self._wait:
            self._wait.end(self._transport)
        self._wait = wait
        if wait:
            wait.begin(self._transport)

    def _account(self) -> None:
        """Count the bytes that are held until the client sends the rest, or reads its answer."""
        size = len(self._held) + self._transport.get_write_buffer_size() + self._size
        self._connections.hold(self._transport, size)


class Connection(Bounded):
    """Passes requests, one at a time, to a handler of aiohttp's, which is made for the first one."""

    __slots__ = ("_body", "_handler", "_is_busy", "_is_half_closed", "_is_last", "_request", "_server")

    def __init__(self, connections: Connections, server: Server) -> None:
        super().__init__(connections)
        self._server = server
        self._handler: RequestHandler | None = None
        self._request: BaseRequest | None = None
        """The request that the handler has begun to answer."""
        self._body = 0
        """Bytes of the body still to come."""
        self._is_busy = False
        """Whether a request is under way."""
        self._is_last = False
        """Whether further input is ignored."""
        self._is_half_closed = False
        """Whether the client has closed its side."""

    def data_received(self, data: bytes) -> None:
        """Pass on the body of the request under way; keep what follows."""
        if self._is_last:
            return
        if self._handler and self._body:
            self._handler.data_received(data[: self._body])
            data, self._body = data[self._body :], max(0, self._body - len(data))
        self._held += data
        self._advance()

    def eof_received(self) -> bool:
        """Give a request without an answer a moment, since the client may still read; end a stream."""
        if not self._is_busy or (self._request and self._request.writer.output_size):
            return False
        self._is_half_closed = True
        self._await(self._connections.lingering)
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._handler:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        if self._handler:
            self._handler.resume_writing()
        self._await(None if self._is_busy else self._connections.resting)
        self._account()
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._request = None
        if self._handler:
            self._handler.connection_lost(exc)

    def begin(self, request: BaseRequest) -> None:
        """Note that a request has begun. If its body is long, or of unknown length, it is the last one."""
        self._request = request
        length = 0 if request.content.is_eof() else request.content_length
        held, self._held = self._held, b""
        if length is None or length > BODY_SIZE:
            self._is_last = True
        else:
            self._body = length
            self._size += length
            self.data_received(held)
        if not self._held:
            self._transport.resume_reading()

    def end(self, response: StreamResponse) -> None:
        if self._is_last or (self._is_half_closed and not self._held):
            response.force_close()
        self._is_busy, self._request = False, None
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """Process what is held, unless the connection is closing or the client must read first."""
        if self._is_last or self._transport.is_closing() or self._wait is self._connections.sending:
            return
        if not (self._is_busy or self._wait):
            self._await(self._connections.resting)
        self._transport.resume_reading()
        self._advance()

    def _advance(self) -> None:
        """Process what is held, or stop reading while a request is under way."""
        if self._held and not self._is_busy and (header := self._cut_header()):
            self._handle(header)
        self._account()
        if self._is_busy and self._held:
            self._transport.pause_reading()

    def _cut_header(self) -> bytes:
        """Cut off a complete header; time an incomplete one; refuse a bad one."""
        try:
            header, self._held = cut_header(self._held)
        except HeaderError as error:
            self._transport.write(error.answer)
            self._transport.resume_reading()
            self._await(self._connections.lingering)
            self._is_last, self._held = True, b""
            return b""
        if self._held and not header and self._wait is not self._connections.reading:
            self._await(self._connections.reading)
        return header

    def _handle(self, header: bytes) -> None:
        if not self._handler:
            self._handler = self._server()
            self._handler.connection_made(self._transport)
        self._is_busy = True
        self._await(None)
        self._size = HANDLER_SIZE + len(header) + FIELD_SIZE * header.count(b"\r\n")
        self._handler.data_received(header)
