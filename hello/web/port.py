"""One port: its connections, and how they end when the server leaves."""

import asyncio
from logging import Logger
from typing import Any

from aiohttp.web import BaseRequest, Server, StreamResponse

from hello.limits import Limits
from hello.logs import AccessLog
from hello.web.connection import Connection
from hello.web.connections import HEADER_SIZE, LINGERING, Connections
from hello.web.fast_path import FastConnection
from hello.web.greeting import Greetings
from hello.web.routes import Handler

NEVER = 7 * 24 * 3600.0
"""Seconds after which aiohttp would close an idle connection: ours are closed earlier."""

MOMENT = 0.2
"""Seconds within which the request of a client that has just connected arrives."""


class Port:
    """Makes the protocol of each new connection, and ends them all."""

    def __init__(
        self, handler: Handler, limits: Limits, greetings: Greetings | None = None, access_log: Logger | None = None
    ) -> None:
        """Without greetings, or with an access log, aiohttp handles every request."""
        self.connections = Connections(limits)
        self._handler = handler
        self._server = Server(
            self._answer,
            handler_cancellation=True,
            keepalive_timeout=NEVER,
            lingering_time=LINGERING,
            max_line_size=HEADER_SIZE,
            max_field_size=HEADER_SIZE,
            auto_decompress=False,  # nobody reads a body
            access_log=access_log,
            access_log_class=AccessLog,
        )
        self._greetings = None if access_log else greetings

    def __call__(self) -> Connection:
        if self._greetings:
            return FastConnection(self.connections, self._server, self._greetings)
        return Connection(self.connections, self._server)

    async def finish(self, seconds: float) -> None:
        """Close each connection once its request is answered, or after so many seconds."""
        await asyncio.sleep(MOMENT if any(self.connections.reading) else 0)
        self._server.pre_shutdown()
        connections = [transport.get_protocol() for transport in self.connections]
        if visits := [each.visit for each in connections if isinstance(each, FastConnection) and each.visit]:
            await asyncio.wait(visits, timeout=seconds)
        await self._server.shutdown(seconds)

    async def _answer(self, request: BaseRequest) -> StreamResponse:
        connection: Any = request.transport and request.transport.get_protocol()
        connection.begin(request)
        response = await self._handler(request)
        connection.end(response)
        return response
