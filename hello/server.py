"""The life of the server: start, serve, leave."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog
from aiohttp import web
from aiohttp.log import access_logger

from hello import logs
from hello.counter import Counter
from hello.limits import raise_file_limit
from hello.metrics import Metrics
from hello.settings import Settings, without_password
from hello.stores import Store, UnavailableError
from hello.web import add_admin_routes, application, public_application

BACKLOG = 1024
"""Connections that the kernel holds for the server between two turns of its loop."""

LINGERING = 1.0
"""Seconds for which a request's body is still read after the answer to it."""

log = structlog.get_logger()


class ListenError(Exception):
    """A port cannot be had."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Choose uvloop where there is one: it is faster."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def serve(settings: Settings, store: Store) -> None:
    """Serve what the store counts until SIGTERM or SIGINT; raises BrokenError, or ListenError."""
    logs.configure(settings.log)
    raise_file_limit()
    signals = Signals()
    await _ask_once(store)
    counter = Counter(store, settings.pod, Metrics(), settings.deadline)
    async with counter.running(), _hurrying(signals, counter), _listening(settings, counter, signals.leaving):
        log.info("serving", port=settings.port, store=without_password(settings.store), pod=settings.pod)
        if settings.store == "memory:":
            log.warning("this process counts for itself: no other pod shares its count, and nothing outlives it")
        await signals.leaving.wait()
        log.info("leaving", drain=0 if signals.at_once.is_set() else settings.drain)
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.drain):
                await signals.at_once.wait()


class Signals:
    """SIGTERM asks to leave gracefully; SIGINT, or SIGTERM once more, to leave at once."""

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


@asynccontextmanager
async def _hurrying(signals: Signals, counter: Counter) -> AsyncIterator[None]:
    """Keep nobody waiting any more as soon as the server is to leave at once, while it leaves already too."""

    async def hurry() -> None:
        await signals.at_once.wait()
        counter.leave()

    task = asyncio.create_task(hurry())
    yield
    task.cancel()


async def _ask_once(store: Store) -> None:
    """Let a store that can never work say so before anybody is served; one that is away is waited for later."""
    try:
        await store.read("", 0)
    except UnavailableError:
        return
    except BaseException:
        await store.close()
        raise


@asynccontextmanager
async def _listening(settings: Settings, counter: Counter, leaving: asyncio.Event) -> AsyncIterator[None]:
    """Listen on the ports; at the end close them and finish what is in flight, the public port first."""
    kind = settings.store.partition(":")[0]
    public, admin = public_application(counter, kind, leaving, settings.version, settings.node), application(leaving)
    add_admin_routes(public if settings.admin_port is None else admin, counter)
    async with _site(admin, settings, settings.admin_port), _site(public, settings, settings.port):
        yield


@asynccontextmanager
async def _site(app: web.Application, settings: Settings, port: int | None) -> AsyncIterator[None]:
    if port is None:
        yield
        return
    runner = web.AppRunner(
        app,
        handler_cancellation=True,
        access_log=access_logger if logging.root.isEnabledFor(logging.DEBUG) else None,
        lingering_time=LINGERING,
        shutdown_timeout=settings.deadline + LINGERING,
    )
    await runner.setup()
    try:
        try:
            site = web.TCPSite(runner, settings.host, port, backlog=BACKLOG, reuse_port=settings.reuse_port or None)
            await site.start()
        except (OSError, UnicodeError) as error:
            raise ListenError(f"--host {settings.host or '(every address)'}, port {port}: {error}") from error
        yield
    finally:
        await runner.cleanup()
