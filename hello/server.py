"""The life of the server: start, serve, leave."""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import structlog
from aiohttp import web_response
from aiohttp.log import access_logger

from hello import logs
from hello.counting.counter import Counter
from hello.limits import port_limits, raise_file_limit
from hello.metrics import Metrics
from hello.settings import Settings
from hello.stores import Store, UnavailableError
from hello.stores.url import without_password
from hello.web.connections import LINGERING
from hello.web.greeting import Greetings
from hello.web.listening import BACKLOG, close, listen
from hello.web.page import Greeter
from hello.web.port import Port
from hello.web.routes import Routes, add_admin_routes, public_routes
from hello.web.visits import Visits

# The header `Server` of aiohttp's answers. Some are made without a handler, so no handler can set it.
web_response.SERVER_SOFTWARE = "hello"  # type: ignore[attr-defined]

log = structlog.get_logger()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Use uvloop, which is faster, if it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def serve(settings: Settings, store: Store) -> None:
    """Serve until SIGTERM or SIGINT; raises BrokenError or ListenError."""
    logs.configure(settings.log)
    raise_file_limit()
    signals = Signals()
    await _ask_once(store)
    counter = Counter(store, settings.pod, Metrics(), settings.deadline)
    ports = _ports(settings, counter, signals.leaving)
    ending = asyncio.create_task(_leave_at_once(signals.at_once, counter, ports.values()))
    async with counter.running(), AsyncExitStack() as stack:
        for number, port in ports.items():
            await stack.enter_async_context(_listening(port, settings, number))
        log.info("serving", port=settings.port, store=without_password(settings.store), pod=settings.pod)
        if sys.stderr.isatty():
            log.info(f"open {settings.url}")
        if settings.store == "memory:":
            log.warning("the count is in memory: other pods do not share it, and it ends with this process")
        await signals.leaving.wait()
        log.info("leaving", drain=0 if signals.at_once.is_set() else settings.drain)
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.drain):
                await signals.at_once.wait()
        if not signals.at_once.is_set():
            counter.leaving.begin()
    ending.cancel()


class Signals:
    """SIGTERM means leave gracefully; SIGINT, or a second SIGTERM, leave at once."""

    def __init__(self) -> None:
        self.leaving = asyncio.Event()
        self.at_once = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in signal.SIGTERM, signal.SIGINT:
            loop.add_signal_handler(number, self._arrive, number)

    def _arrive(self, number: signal.Signals) -> None:
        if number == signal.SIGINT or self.leaving.is_set():
            self.at_once.set()
        self.leaving.set()


async def _leave_at_once(signal: asyncio.Event, counter: Counter, ports: Iterable[Port]) -> None:
    """On the signal, end all waits, and soon after close the connections, however slowly clients read."""
    await signal.wait()
    counter.leaving.at_once()
    while True:
        await asyncio.sleep(LINGERING)
        for port in ports:
            port.connections.abort()


async def _ask_once(store: Store) -> None:
    """Raise the error of a store that can never work; one that is merely unavailable is waited for later."""
    try:
        await store.read("", 0)
    except UnavailableError:
        return
    except BaseException:
        await store.close()
        raise


def _ports(settings: Settings, counter: Counter, leaving: asyncio.Event) -> dict[int, Port]:
    """The ports by number. They close in reverse order: the public one first."""
    kind = settings.store.partition(":")[0]
    greeter = Greeter(settings.pod, kind, settings.version, settings.node)
    visits = Visits(counter, greeter)
    public, admin = public_routes(counter, greeter, visits, leaving), Routes(leaving)
    add_admin_routes(public if settings.admin_port is None else admin, counter)
    public_limits, admin_limits = port_limits()
    access_log = access_logger if logging.root.isEnabledFor(logging.DEBUG) else None
    ports = {}
    if settings.admin_port is not None:
        ports[settings.admin_port] = Port(admin, admin_limits, None, access_log)
    ports[settings.port] = Port(public, public_limits, Greetings(counter, visits, leaving), access_log)
    return ports


@asynccontextmanager
async def _listening(port: Port, settings: Settings, number: int) -> AsyncIterator[None]:
    """Serve on a port; at the end, close it and finish what is in flight."""
    loop = asyncio.get_running_loop()
    listeners = await listen(settings.host, number, reuse_port=settings.reuse_port)
    servers = [await loop.create_server(port, sock=listener, backlog=BACKLOG) for listener in listeners]
    try:
        yield
    finally:
        await close(servers, listeners, port)
        await port.finish(settings.deadline + LINGERING)
