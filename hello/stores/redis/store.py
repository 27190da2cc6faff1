"""The count in Redis, shared by every pod: one Lua script a batch, called by its hash."""

import asyncio
import math
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import structlog
from redis.asyncio import Connection
from redis.exceptions import NoScriptError, RedisError, ResponseError

from hello.stores import (
    Batch,
    DistrustedError,
    ExhaustedError,
    ForgottenError,
    LostError,
    OtherEpochError,
    OutdatedError,
    Range,
    Reading,
    UnavailableError,
    WipedError,
)
from hello.stores.redis.connection import COMMAND_TIMEOUT, connection_maker, explain
from hello.stores.rules import ROLLED_BACK, SessionRecord, State, make_reading, word
from hello.stores.url import Password

try:
    import hiredis
except ImportError:  # no wheel for this machine
    hiredis = None  # type: ignore[assignment]

ROLL_CALL_TIMEOUT = 5.0
"""Seconds for which those who counted shortly before a restart of Redis are waited for, at the most.

Well above what a packet's repetition, a look-up of a name or a busy node delay a process that lives.
"""

ROLL_CALL_INTERVAL = 0.1
"""Seconds between two looks at who has yet to speak."""

LOST = RedisError, OSError, TypeError, RuntimeError
"""A closed connection can be a TypeError on some CPython (redis-py #4287), and a RuntimeError in uvloop."""

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


@dataclass(slots=True)
class Wait:
    """How long this process waits in a roll call: in one run of Redis. Another run may hold older data."""

    run: str = ""
    end: float = math.inf

    def begin(self, run: str) -> None:
        """Begin to wait, unless this process waits in that run already."""
        if run != self.run:
            self.run, self.end = run, time.monotonic() + ROLL_CALL_TIMEOUT

    def over(self) -> str:
        """The run in which the wait is over; empty if there is none."""
        return self.run if time.monotonic() >= self.end else ""


class RedisStore:
    """A Store in Redis 7 or later. One connection commits, one reads, and one tells when Redis is gone."""

    def __init__(self, url: str, password: Password | None = None) -> None:
        """Connect with the first batch, and ask for the password each time; ValueError if the URL is no Redis URL."""
        make = connection_maker(url, password)
        self._commits, self._readings, self._silent = make(), make(), make()
        self._silence: asyncio.Timeout | None = None
        """Ends when the silent connection is to end."""
        self._wait = Wait()
        self._commits.register_connect_callback(self._follow)

    async def _follow(self, _: Connection) -> None:
        """Let the other connections go where the batches go: an old one may lead to a Redis that counts no more."""
        self._readings.mark_for_reconnect()
        if self._silence:
            self._silence.reschedule(asyncio.get_running_loop().time())

    async def commit(self, batch: Batch) -> Range:
        said = batch.epoch, batch.seen, ROLLED_BACK, batch.client, batch.answered
        answer = await self._run(self._commits, COMMIT, _words(batch), said)
        match answer:
            case [batch.client, sequence, what, *rest] if sequence == str(batch.sequence):
                if what == "range":
                    return _range(*rest)
                _refuse(what, *rest)
        await self._commits.disconnect(nowait=True)
        raise LostError(f"Redis answered another question: {answer!r}")

    async def read(self, epoch: str, seen: int) -> Reading:
        said = epoch, seen, ROLLED_BACK
        return _reading(await self._run(self._readings, READ, (1, COUNTER, *said), (*said, "", 0)))

    async def reset(self, new_epoch: str, to: int) -> None:
        await _connect(self._readings)
        await _call(self._readings, "EVAL", RESET.text, 1, COUNTER, new_epoch, to)

    async def wait_for_loss(self) -> None:
        """Return when Redis has ended a connection over which nothing is ever sent."""
        while True:
            try:
                await _connect(self._silent)
                break
            except UnavailableError:  # batches may go through all the same: Redis has a limit of clients
                await asyncio.sleep(COMMAND_TIMEOUT)
        try:
            with suppress(*LOST):
                async with asyncio.timeout(None) as self._silence:
                    await self._silent.read_response(timeout=math.inf)
        finally:
            self._silence = None

    async def _run(self, connection: Connection, script: Script, words: Words, said: Words) -> Any:
        """Run a script by its hash. If Redis does not know it, this is another run of Redis: the roll is called first.

        The script is loaded over the connection that learned of the end of the roll call: a new one may lead to yet
        another run, whose roll call is not over.
        """
        await _connect(connection)
        try:
            return await _call(connection, "EVALSHA", script.sha, *words)
        except NoScriptError:
            await self._answer_roll_call(connection, said)
            return await _call(connection, "EVAL", script.text, *words)

    async def _answer_roll_call(self, connection: Connection, said: Words) -> None:
        """Say what was seen, and wait until all who counted shortly before the restart have said it, or time is up."""
        while True:
            over = self._wait.over()
            run, missing = await _call(connection, "EVAL", ROLL_CALL.text, 2, COUNTER, ROLL, *said, over)
            if not missing:
                return
            if run == over:
                log.warning("roll call timed out: some processes did not report", missing=missing)
                return
            self._wait.begin(run)
            await asyncio.sleep(ROLL_CALL_INTERVAL)

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._commits, self._readings, self._silent:
            await connection.disconnect()


def _words(batch: Batch) -> Words:
    numbers = batch.sequence, batch.answered, batch.n, batch.seen
    ends = "ends" if batch.ends else ""
    return 1, COUNTER, batch.epoch, batch.client, *numbers, batch.pod, batch.new_epoch, ROLLED_BACK, ends


def _range(epoch: str, top: str, index: str) -> Range:
    try:
        return Range(word(epoch), int(top), int(index))
    except ValueError as error:
        raise LostError(f"Redis: what it holds is not a counter's: {error}") from error


def _reading(answer: Any) -> Reading:
    try:
        epoch, count, began, distrusted, now, records, shares = answer
        state = State(epoch, int(count), int(began), distrusted=distrusted)
        known = chain(map(_record, records), map(_share, shares))
        return make_reading(state, ((record, int(now) - record.time) for record in known))
    except (IndexError, TypeError, ValueError) as error:
        raise UnavailableError(f"Redis: what it holds is not a counter's: {error}") from error


def _record(text: str) -> SessionRecord:
    epoch, sequence, top, index, time, total, pod = text.split(" ")
    return SessionRecord(epoch, int(sequence), int(top), int(index), int(time), int(total), pod)


def _share(text: str) -> SessionRecord:
    epoch, total, time, pod = text.split(" ")
    return SessionRecord(epoch, time=int(time), total=int(total), pod=pod)


def _refuse(what: str, detail: str = "") -> NoReturn:
    match what:
        case "distrusted":
            raise DistrustedError(detail)
        case "wiped":
            raise WipedError("the store is empty")
        case "other epoch":
            raise OtherEpochError(_range(detail, "0", "0").epoch)
        case "forgotten":
            raise ForgottenError("the store has forgotten this session")
        case "outdated":
            raise OutdatedError("a later batch was counted before this one")
        case "exhausted":
            raise ExhaustedError("the count has reached its limit")
    raise LostError(f"Redis answered {what!r}")


async def _call(connection: Connection, *words: str | int) -> Any:
    """Send a command over an open connection; raises NoScriptError, or an UnavailableError."""
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT):
            if not connection.is_connected:  # it would connect again by itself
                raise ConnectionError("the connection ended")
            await connection.send_packed_command(_packed(connection, *words), check_health=False)
            return await connection.read_response()
    except NoScriptError:
        raise
    except asyncio.CancelledError:
        await connection.disconnect(nowait=True)  # an answer may still come, and would be taken for the next one
        raise
    except LOST as error:
        await connection.disconnect(nowait=True)  # a new one may lead to a Redis that can do it
        if isinstance(error, ResponseError) or getattr(error, "status_code", None):
            raise UnavailableError(f"Redis: {explain(error)}") from error
        raise LostError(f"Redis: {explain(error) or 'no answer in time'}") from error


def _packed(connection: Connection, *words: str | int) -> Any:
    """Put a command into Redis' protocol, in C where hiredis is there: redis-py does it in Python."""
    return hiredis.pack_command(words) if hiredis else connection.pack_command(*words)  # type: ignore[arg-type]


async def _connect(connection: Connection) -> None:
    """Make sure that the connection is open, and holds nothing unread that would be taken for the next answer."""
    try:
        if connection.is_connected:
            if not connection.should_reconnect() and not await connection.can_read():
                return
            await connection.disconnect(nowait=True)
        async with asyncio.timeout(COMMAND_TIMEOUT):
            await connection.connect()
    except asyncio.CancelledError:
        await connection.disconnect(nowait=True)
        raise
    except LOST as error:
        await connection.disconnect(nowait=True)
        raise UnavailableError(f"Redis: {explain(error) or 'no connection in time'}") from error
