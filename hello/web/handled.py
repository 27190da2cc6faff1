"""The half of the server that is aiohttp's: whatever is not a plain visit."""

import asyncio

from aiohttp.web import BaseRequest, Server, StreamResponse

from hello.web.connections import BODY_SIZE, Connections
from hello.web.header import Connection

HANDLER_SIZE, FIELD_SIZE = 1800, 40
"""Bytes for which aiohttp's handler of a connection counts, and each field that it has parsed.

They take four times that, as does what else is held, at the most: a header of 15 kB in 62 fields took 45 kB.
"""


class Handled(Connection):
    """Gives aiohttp's handler one header after another, each when the last request is answered."""

    __slots__ = ("_body", "_handler", "_request", "_size")

    def __init__(self, connections: Connections, server: Server) -> None:
        super().__init__(connections)
        self._handler = server()
        self._request: BaseRequest | None = None
        """The request under way."""
        self._body = 0
        """Bytes of a body that are to come."""
        self._size = HANDLER_SIZE
        """Bytes that the handler holds."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self._is_last:
            self._handler.connection_made(transport)

    def take_over(self, transport: asyncio.Transport, held: bytes, is_half_closed: bool) -> None:
        """Go on with a connection that began in the other half."""
        self._transport, self._held, self._is_half_closed = transport, held, is_half_closed
        transport.set_protocol(self)
        self._handler.connection_made(transport)
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """Pass a body on; what is behind it, or comes without one, waits for its turn."""
        if self._body and not self._is_last:
            self._handler.data_received(data[: self._body])
            data, self._body = data[self._body :], max(0, self._body - len(data))
        if data:
            super().data_received(data)

    def eof_received(self) -> bool:
        """Close at once if an answer has begun: whoever hangs up on the stream is gone."""
        return not (self._request and self._request.writer.output_size) and super().eof_received()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._request = None
        self._handler.connection_lost(exc)

    def begin(self, request: BaseRequest) -> None:
        """Note that a request has begun: after a body without a known length, or a long one, nothing more is taken."""
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

    def _advance(self) -> None:
        if self._held and not self._is_busy and (header := self._cut_header()):
            self._is_busy = True
            if not self._is_last:
                self._await(None)
            self._size = HANDLER_SIZE + len(header) + FIELD_SIZE * header.count(b"\r\n")
            self._handler.data_received(header)
        self._account()
        if self._is_busy and self._held:
            self._transport.pause_reading()

    def _account(self, more: int = 0) -> None:
        super()._account(self._size + more)
