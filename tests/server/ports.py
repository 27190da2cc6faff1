"""A port of a server in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hello.counting.counter import Counter
from hello.limits import Limits
from hello.web.greeting import Greetings
from hello.web.page import Greeter
from hello.web.port import Port
from hello.web.routes import add_admin_routes, public_routes
from hello.web.visits import Visits


def port_over(counter: Counter, *, is_fast: bool = True, version: str | None = None) -> Port:
    """A port with or without the fast path."""
    greeter, leaving = Greeter("pod-%d<&>", "memory", version), asyncio.Event()
    visits = Visits(counter, greeter)
    routes = public_routes(counter, greeter, visits, leaving)
    add_admin_routes(routes, counter)
    return Port(routes, Limits(100, 2**20), Greetings(counter, visits, leaving) if is_fast else None)


@asynccontextmanager
async def listening(port: Port) -> AsyncIterator[str]:
    """Serve a port; its URL."""
    listener = await asyncio.get_running_loop().create_server(port, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        port.connections.abort()
        await port.finish(1)
