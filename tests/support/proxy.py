"""A network of which a test has control: a proxy that loses commands and answers, and cuts connections."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self


class Proxy:
    """Passes the TCP connections of a store's client on to a port of this machine; it can speak TLS with the client."""

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self.target = target
        self.tls = tls
        self.lose_every = 0
        """One answer in so many is lost, and its connection cut; half of every second one still comes through."""
        self.lost = 0
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        """What happens before an answer is lost."""
        self._answers = 0
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening, and cut what is open."""
        self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """Cut all connections."""
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._pass_on(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                target_reader, target_writer = await self.connect()
                try:
                    await self._pass_both_ways(reader, writer, target_reader, target_writer)
                finally:
                    target_writer.close()
        finally:
            writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.target)

    async def _pass_both_ways(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target_reader: asyncio.StreamReader,
        target_writer: asyncio.StreamWriter,
    ) -> None:
        """Pass on until one side closes."""
        ways = {
            asyncio.create_task(self._pass_commands(reader, target_writer)),
            asyncio.create_task(self._pass_answers(target_reader, writer)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()

    async def _pass_commands(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while command := await reader.read(1 << 16):
                writer.write(command)

    async def _pass_answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while answer := await reader.read(1 << 16):
                self._answers += 1
                if self.lose_every and self._answers % self.lose_every == 0:
                    self.lost += 1
                    if self.meanwhile:
                        await self.meanwhile()
                    writer.write(answer[: len(answer) // 2 * (self.lost % 2)])
                    return
                writer.write(answer)
