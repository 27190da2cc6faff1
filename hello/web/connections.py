"""What a connection may cost: its number, its header, its time. HTTP itself is aiohttp's."""

import asyncio
from enum import Enum, auto
from logging import Logger
from typing import Any, cast

import structlog
from aiohttp import StreamReader
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.web import BaseRequest, RequestHandler, Server

from hello.logs import AccessLog
from hello.web.routes import Handler

HEADER_SIZE = 16_384
"""Bytes of a request's header, at the most."""

HEADER_FIELDS = 64
"""Fields of a request's header, at the most."""

HEADER_TIMEOUT = 10.0
"""Seconds from a connection's start, or from the first byte of a later request, until the header is whole."""

KEEPALIVE_TIMEOUT = 75.0
"""Seconds for which a connection may rest between two requests. Balancers rest theirs 60 s, and would lose requests."""

SEND_TIMEOUT = 10.0
"""Seconds after which a client is dropped that takes nothing of the answers that wait for it."""

LINGERING = 1.0
"""Seconds for which a request's body is still read, and thrown away, after the answer to it."""

TOO_LARGE = (  # RFC 6585, section 5
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nServer: hello\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)

END = b"\r\n\r\n"
HTTP_2 = b"PRI * HTTP/2.0\r\n"  # RFC 9113, section 3.4

log = structlog.get_logger()


class Connections:
    """The connections of one port, `limit` at the most; what makes one is the port's protocol factory."""

    def __init__(self, handler: Handler, limit: int, access_log: Logger | None = None) -> None:
        self.server = Server(
            handler,
            request_factory=self._begin,
            handler_cancellation=True,
            keepalive_timeout=KEEPALIVE_TIMEOUT,
            lingering_time=LINGERING,
            max_headers=HEADER_FIELDS,
            auto_decompress=False,  # a body is nobody's
            access_log=access_log,
            access_log_class=AccessLog,
        )
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._open: set[Connection] = set()
        self._is_full = False

    def __call__(self) -> asyncio.Protocol:
        """Make the protocol of a new connection."""
        return Connection(self)

    def admit(self, connection: "Connection") -> bool:
        """Take a new connection among the open ones, if there is room; tell the log when there is none any more."""
        if len(self._open) < self._limit:
            self._open.add(connection)
            return True
        if not self._is_full:
            self._is_full = True
            log.warning("as many connections are open as may be: others are closed at once", limit=self._limit)
        return False

    def forget(self, connection: "Connection") -> None:
        """Make room for another connection."""
        self._open.discard(connection)
        if len(self._open) < self._limit / 2:
            self._is_full = False

    def abort(self) -> None:
        """Close all connections at once, whoever still reads."""
        for connection in list(self._open):
            connection.abort()

    def _begin(
        self,
        message: RawRequestMessage,
        body: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> BaseRequest:
        """Make a request as aiohttp would, and note that it has begun."""
        if protocol.transport:
            connection: Any = protocol.transport.get_protocol()
            connection.begin(body)
        return BaseRequest(message, body, protocol, writer, task, self._loop)


class Awaited(Enum):
    """What is to come over a connection next."""

    HEADER = auto()
    BEGINNING = auto()
    """Nothing: of the last header, a request has yet to begin. What comes all the same is held."""
    BODY = auto()


HEADER, BEGINNING, BODY = Awaited  # to look a member up in its class takes longer


class Connection(asyncio.Protocol):
    """Stands between a transport and aiohttp's protocol, and ends what takes too much."""

    __slots__ = ("_awaited", "_connections", "_held", "_inner", "_last", "_sending", "_size", "_transport", "_waiting")

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._inner: RequestHandler | None = None
        self._transport: asyncio.Transport
        self._waiting: asyncio.TimerHandle | None = None
        """Ends the wait for a header."""
        self._sending: asyncio.TimerHandle | None = None
        """Ends the wait for a client that takes nothing."""
        self._awaited = HEADER
        self._size = 0
        """Bytes of the header so far."""
        self._last = b""
        self._held = b""
        """What came too early, with the reading paused: of many requests sent at once, aiohttp gets one by one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Await a header, if there is room for the connection."""
        self._transport = cast(asyncio.Transport, transport)
        if self._connections.admit(self):
            self._inner = self._connections.server()
            self._inner.connection_made(transport)
            self._waiting = self._later(HEADER_TIMEOUT)
        else:
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Pass on what comes, unless it is too much of a header, or too early."""
        if self._awaited is BEGINNING:
            self._hold(data)
            return
        if self._awaited is HEADER:
            data = self._measured(data)
            if self._size > HEADER_SIZE:
                self._transport.write(TOO_LARGE)
                self._transport.close()
                return
        if self._inner:
            self._inner.data_received(data)

    def _measured(self, data: bytes) -> bytes:
        """Measure a piece of a header, and hold what is behind its end: RFC 9112, section 2.1."""
        if not self._size:
            data = data.lstrip(b"\r\n")  # section 2.2
            if data.startswith(HTTP_2):  # has an empty line in its midst; aiohttp refuses it
                return data
        text = self._last + data
        end = text.find(END)
        if end < 0:
            self._size += len(data)
            self._last = text[1 - len(END) :]
            if self._size and not self._waiting:
                self._waiting = self._later(HEADER_TIMEOUT)
            return data
        length = end + len(END) - len(self._last)
        self._size += length
        self._awaited = BEGINNING
        if length < len(data):
            self._hold(data[length:])
            data = data[:length]
        return data

    def _hold(self, data: bytes) -> None:
        self._held += data
        self._transport.pause_reading()

    def begin(self, body: StreamReader) -> None:
        """Note that a request has begun; after its body, another header is awaited."""
        if self._waiting:
            self._waiting.cancel()
            self._waiting = None
        self._size, self._last = 0, b""
        if body.is_eof():
            self._awaited = HEADER
        else:
            self._awaited = BODY
            body.on_eof(self._await_header)
        if self._held:
            asyncio.get_running_loop().call_soon(self._release)

    def _await_header(self) -> None:
        self._awaited = HEADER

    def _release(self) -> None:
        """Pass on what was held, up to the end of the next header."""
        held, self._held = self._held, b""
        if not self._transport.is_closing():
            self.data_received(held)
            if not self._held:
                self._transport.resume_reading()

    def eof_received(self) -> None:
        """Pass it on; the transport closes then."""
        if self._inner:
            self._inner.eof_received()

    def pause_writing(self) -> None:
        """Wait for the client to take what is there for it, but not for ever."""
        self._sending = self._later(SEND_TIMEOUT)
        if self._inner:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._sending:
            self._sending.cancel()
        if self._inner:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on, and make room."""
        for timer in self._waiting, self._sending:
            if timer:
                timer.cancel()
        self._connections.forget(self)
        if self._inner:
            self._inner.connection_lost(exc)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _later(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self.abort)
