"""Logs: for people on a terminal, one JSON object a line elsewhere; the standard library's loggers go the same way."""

import logging
import sys
from socket import gaierror

import structlog
from aiohttp.http_exceptions import HttpProcessingError


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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering()))
    handler.addFilter(_is_ours)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(max(logging.INFO, logging.root.level))


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
