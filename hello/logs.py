"""Logs, also of the standard library's loggers: readable on a terminal, JSON lines elsewhere."""

import logging
import os
import sys
from contextlib import suppress
from queue import Full, Queue
from socket import gaierror
from threading import Thread

import structlog
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import BaseRequest, StreamResponse

LINE_LIMIT = 10_000
"""Most lines queued for writing; further lines are dropped."""

FLUSH_TIMEOUT = 1.0
"""Seconds to wait at exit for the last lines to be written."""

PATH_LIMIT = 100
"""Logged characters of a request's path."""


def configure(level: str) -> None:
    """Log `level` (debug, info, …) and above to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = Writer()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering()))
    handler.addFilter(_is_ours)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(max(logging.INFO, logging.root.level))


class Writer(logging.Handler):
    """Writes to standard error in its own thread, so that a stalled reader delays nobody.

    It bypasses `sys.stderr`: a stalled write would hold its lock, and the process could not exit.
    """

    def __init__(self) -> None:
        self._lines: Queue[bytes] = Queue(LINE_LIMIT)
        self._thread = Thread(target=self._write, name="logs", daemon=True)
        self._thread.start()
        super().__init__()  # last: it registers what logging closes at exit, even if no thread could start

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Full):
            self._lines.put_nowait(f"{self.format(record)}\n".encode(sys.stderr.encoding, "backslashreplace"))

    def _write(self) -> None:
        while line := self._lines.get():
            while line:
                try:
                    line = line[os.write(2, line) :]
                except OSError:  # the reader is gone, or the disk is full
                    break

    def close(self) -> None:
        """Wait for the last lines to be written, unless the reader stalls."""
        with suppress(Full):
            self._lines.put_nowait(b"")
        self._thread.join(FLUSH_TIMEOUT)
        super().close()


class AccessLog(AbstractAccessLogger):
    """Logs one short line a request, whatever the client sends."""

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        path = ascii(request.raw_path[:PATH_LIMIT])[1:-1]
        self.logger.debug(f'"{request.method} {path}" {response.status} in {time:.4f} s for {request.remote}')


def _rendering() -> list[structlog.typing.Processor]:
    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if sys.stderr.isatty():
        return [clean, structlog.dev.ConsoleRenderer()]
    return [clean, structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]


def _is_ours(record: logging.LogRecord) -> bool:
    """Drop aiohttp's errors about malformed requests, which anyone can send and which were answered.

    Drop late failures of name lookups, too: the store has already been logged as lost.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], (HttpProcessingError, gaierror)))
