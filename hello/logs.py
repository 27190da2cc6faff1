"""Logs: for people on a terminal, one JSON object a line elsewhere; the standard library's loggers go the same way."""

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

UNWRITTEN = 10_000
"""Lines that may wait for a reader of standard error; what comes then is dropped."""

FAREWELL = 1.0
"""Seconds for which the end of the process waits for its last lines to be read."""

LONGEST = 100
"""Characters of a request's path that are logged."""


def configure(level: str) -> None:
    """Send all logs of `level` (debug, info, …) and above to standard error; a line a request at debug only."""
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
    """Writes to standard error from a thread of its own, so that a reader who stalls holds nobody up.

    It writes past Python's stream, whose lock a stalled write would hold up to the end of the process, and beyond.
    """

    def __init__(self) -> None:
        self._lines: Queue[bytes] = Queue(UNWRITTEN)
        self._thread = Thread(target=self._write, name="logs", daemon=True)
        self._thread.start()
        super().__init__()  # only now: the standard library closes every handler that came so far

    def emit(self, record: logging.LogRecord) -> None:
        """Have a line written, if there is room for it."""
        with suppress(Full):
            self._lines.put_nowait(f"{self.format(record)}\n".encode(sys.stderr.encoding, "backslashreplace"))

    def _write(self) -> None:
        while line := self._lines.get():
            while line:
                try:
                    line = line[os.write(2, line) :]
                except OSError:  # nobody reads any more, or the disk is full
                    break

    def close(self) -> None:
        """Let the last lines be read, by a reader who does not stall."""
        with suppress(Full):
            self._lines.put_nowait(b"")
        self._thread.join(FAREWELL)
        super().close()


class AccessLog(AbstractAccessLogger):
    """One short line for each request, whatever a client sends."""

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """Log a request that was answered after `time` seconds."""
        path = ascii(request.raw_path[:LONGEST])[1:-1]
        self.logger.debug(f'"{request.method} {path}" {response.status} in {time:.4f} s for {request.remote}')


def _rendering() -> list[structlog.typing.Processor]:
    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if sys.stderr.isatty():
        return [clean, structlog.dev.ConsoleRenderer()]
    return [clean, structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]


def _is_ours(record: logging.LogRecord) -> bool:
    """Leave out what aiohttp says of a request that is no HTTP: the client was told, and anyone can send it.

    And what becomes of a look-up of Redis' name that was given up before: the store was said to be lost.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], (HttpProcessingError, gaierror)))
