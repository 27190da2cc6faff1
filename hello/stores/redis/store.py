"""The count in Redis: one Lua script for each batch, called by its hash."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from hashlib import sha1
from pathlib import Path
from typing import Any

import structlog
from redis.asyncio import Connection
from redis.exceptions import NoScriptError, RedisError, ResponseError

from hello.stores import (
    COMMAND_TIMEOUT,
    Batch,
    DistrustedError,
    ExhaustedError,
    ForgottenError,
    LostError,
    OtherEpochError,
    OutdatedError,
    Range,
    Reading,
    Store,
    StoreError,
    UnavailableError,
    WipedError,
)
from hello.stores.redis.connection import connection_maker, explain
from hello.stores.rules import SessionRecord, State, make_reading
from hello.stores.url import Password

try:
    import hiredis
except ImportError:  # no wheel for this machine
    hiredis = None  # type: ignore[assignment]

ROLL_CALL_TIMEOUT = 5.0
"""How many seconds a roll call after a restart of Redis waits for processes that counted shortly before.

Longer than a retransmitted packet, a name look-up or a busy node delays a process that is alive.
"""

ROLL_CALL_INTERVAL = 0.1
"""Seconds between two looks at which processes are missing."""

LOST = RedisError, OSError, TypeError, RuntimeError
"""A closed connection is a TypeError on some CPython (redis-py #4287), and a RuntimeError in uvloop."""

REFUSALS: dict[str, type[StoreError]] = {
    "distrusted": DistrustedError,
    "wiped": WipedError,
    "other epoch": OtherEpochError,
    "forgotten": ForgottenError,
    "outdated": OutdatedError,
    "exhausted": ExhaustedError,
}
"""What commit.lua answers to a batch that must not be counted."""

Words = tuple[str | int, ...]

COUNTER = "{hello}"
ROLL = "{hello}:roll"

log = structlog.get_logger()


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


class Script:
    """A Lua script and the hash by which Redis knows it."""

    def __init__(self, name: str) -> None:
        self.text = _text("common.lua") + _text(name)
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


COMMIT, READ, RESET, ROLL_CALL = map(Script, ("commit.lua", "read.lua", "reset.lua", "roll_call.lua"))


class RedisStore(Store):
    """A Store in Redis 7 or later. One connection commits, and one reads."""

    def __init__(self, url: str, password: Password | None = None) -> None:
        """Connect with the first batch; raises ValueError for a bad URL."""
        make = connection_maker(url, password)
        self._commits, self._readings = make(), make()
        self._waits_in = ""
        """The run of Redis whose roll call this process waits for. Another run may have older data."""
        self._wait_end = 0.0
        self._commits.register_connect_callback(self._follow)

    async def _follow(self, _: Connection) -> None:
        """Let readings follow the batches: an old connection may lead to a Redis that was replaced."""
        self._readings.mark_for_reconnect()

    async def commit(self, batch: Batch) -> Range:
        said = batch.epoch, batch.seen, DistrustedError.message, batch.client, batch.answered
        answer = await self._run(self._commits, COMMIT, _words(batch), said)
        match answer:
            case [batch.client, sequence, what, *rest] if sequence == str(batch.sequence):
                if what in REFUSALS:
                    raise REFUSALS[what](*rest)
                epoch, top, index = rest
                return Range(epoch, int(top), int(index))
        await self._commits.disconnect(nowait=True)
        raise LostError(f"Redis answered another question: {answer!r}")

    async def read(self, epoch: str, seen: int) -> Reading:
        said = epoch, seen, DistrustedError.message
        return _reading(await self._run(self._readings, READ, (1, COUNTER, *said), (*said, "", 0)))

    async def reset(self, new_epoch: str, to: int) -> None:
        await _connect(self._readings)
        await _call(self._readings, "EVAL", RESET.text, 1, COUNTER, new_epoch, to)

    async def is_lost(self) -> bool:
        return await _has_ended(self._commits)

    async def _run(self, connection: Connection, script: Script, words: Words, said: Words) -> Any:
        """Run a script by its hash. If Redis does not know it, Redis has restarted, and the roll call comes first.

        The script is loaded over the connection that saw the end of the roll call: a new connection may lead to another
        run of Redis, whose roll call is not over.
        """
        await _connect(connection)
        try:
            return await _call(connection, "EVALSHA", script.sha, *words)
        except NoScriptError:
            await self._answer_roll_call(connection, said)
            return await _call(connection, "EVAL", script.text, *words)

    async def _answer_roll_call(self, connection: Connection, said: Words) -> None:
        """Report what was seen, and wait until all who counted shortly before the restart have, or time is up."""
        while True:
            over = self._waits_in if time.monotonic() >= self._wait_end else ""
            run, missing = await _call(connection, "EVAL", ROLL_CALL.text, 2, COUNTER, ROLL, *said, over)
            if not missing:
                return
            if run == over:
                log.warning("roll call timed out: some processes did not report", missing=missing)
                return
            if run != self._waits_in:
                self._waits_in, self._wait_end = run, time.monotonic() + ROLL_CALL_TIMEOUT
            await asyncio.sleep(ROLL_CALL_INTERVAL)

    async def close(self) -> None:
        for connection in self._commits, self._readings:
            await connection.disconnect()


def _words(batch: Batch) -> Words:
    numbers = batch.sequence, batch.answered, batch.n, batch.seen
    ends = "ends" if batch.ends else ""
    return 1, COUNTER, batch.epoch, batch.client, *numbers, batch.pod, batch.new_epoch, DistrustedError.message, ends


def _reading(answer: Any) -> Reading:
    try:
        epoch, count, began, distrusted, now, *records = answer
        state = State(epoch, int(count), int(began), distrusted=distrusted)
        return make_reading(state, map(_record, records), int(now))
    except (IndexError, TypeError, ValueError) as error:
        raise UnavailableError(f"Redis: what it holds is not a counter's: {error}") from error


def _record(text: str) -> SessionRecord:
    epoch, sequence, top, index, time, total, pod = text.split(" ")
    return SessionRecord(epoch, int(sequence), int(top), int(index), int(time), int(total), pod)


async def _call(connection: Connection, *words: str | int) -> Any:
    """Send a command over an open connection; raises NoScriptError or UnavailableError."""
    async with _exchange(connection, LostError):
        if not connection.is_connected:  # redis-py would connect again
            raise ConnectionError("the connection ended")
        # redis-py packs in Python.
        packed = hiredis.pack_command(words) if hiredis else connection.pack_command(*words)  # type: ignore[arg-type]
        await connection.send_packed_command(packed, check_health=False)
        return await connection.read_response()


async def _connect(connection: Connection) -> None:
    """Open a connection that is not open, or that holds an answer to an earlier command."""
    if connection.should_reconnect() or await _has_ended(connection):
        async with _exchange(connection, UnavailableError):
            await connection.disconnect(nowait=True)
            await connection.connect()


async def _has_ended(connection: Connection) -> bool:
    """Whether a connection has ended or has unread data."""
    with suppress(*LOST):
        return not connection.is_connected or await connection.can_read()
    return True


@asynccontextmanager
async def _exchange(connection: Connection, lost: type[UnavailableError]) -> AsyncIterator[None]:
    """Bound the time of an exchange, and close the connection if it fails.

    A new connection may lead to a Redis that works, and gets no late answer to an earlier command.
    """
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT):
            yield
    except NoScriptError:
        raise
    except asyncio.CancelledError:
        await connection.disconnect(nowait=True)
        raise
    except LOST as error:
        await connection.disconnect(nowait=True)
        is_answer = isinstance(error, ResponseError) or getattr(error, "status_code", None)
        kind = UnavailableError if is_answer else lost
        raise kind(f"Redis: {explain(error) or 'no answer in time'}") from error
