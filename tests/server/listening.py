"""A port of a server in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hello.web.port import Port


@asynccontextmanager
async def listening(port: Port) -> AsyncIterator[str]:
    """Serve a port; its URL."""
    listener = await asyncio.get_running_loop().create_server(port, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    listener.close()
    port.connections.abort()
    await port.finish(1)
