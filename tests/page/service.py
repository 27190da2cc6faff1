"""A Service of Kubernetes, in small."""

import asyncio
from contextlib import suppress
from typing import Self

from tests.support.processes import Hello
from tests.support.proxy import Proxy


class Service(Proxy):
    """One address for several servers, which take turns: each connection goes to the next that accepts it."""

    def __init__(self, *servers: Hello) -> None:
        super().__init__(0)
        self.servers = list(servers)
        self.accepted = 0
        """Connections so far."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.accepted += 1
        for _ in self.servers:
            server = self.servers.pop(0)
            self.servers.append(server)
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", server.port)
        raise ConnectionRefusedError
