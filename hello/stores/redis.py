"""The count in Redis, shared by every pod: one Lua script a trip, called by its hash."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha1
from importlib.resources import files
from typing import Any, NoReturn

import hiredis
from redis.asyncio import Connection
from redis.exceptions import NoScriptError, RedisError, ResponseError

from hello.stores import (
    DistrustedError,
    ExhaustedError,
    ForgottenError,
    LostError,
    OtherEpochError,
    OutdatedError,
    Range,
    Reading,
    Trip,
    UnavailableError,
    WipedError,
)
from hello.stores.connection import PATIENCE, connection_maker, explain
from hello.stores.rules import WENT_BACK, epoch_of, number

GRACE = 1.0
"""Seconds after a restart of Redis in which nobody counts or reads: each process can say first what it has seen.

A process that saw the last numbers may be slower to come back than one that did not, and only it can tell that they
are missing.
"""

# A closed connection can look like a TypeError on some CPython (redis-py #4287), and like a RuntimeError in uvloop.
LOST = RedisError, OSError, TypeError, RuntimeError

COUNTER = "{hello}"
PODS = "{hello}:pods"
PROCESS = "{hello}:process:"


class Script:
    """A Lua script and the hash by which Redis knows it."""

    def __init__(self, name: str, purpose: str = "") -> None:
        self.text = purpose + files(__package__).joinpath(name).read_text("utf-8")
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


TAKE, READ, RESET = Script("take.lua"), Script("read.lua"), Script("reset.lua")

# A script of its own: Redis knows a script once it has run it, and must not know READ before the time of grace is over.
SAY = Script("read.lua", purpose="-- Says after a restart what was seen.\n")


class RedisStore:
    """A Store in Redis 7 or later. A connection for trips, one for readings, and one that tells when Redis is gone."""

    def __init__(self, url: str, password: Callable[[], str] | None = None) -> None:
        """Connect with the first trip, and ask for the password each time; ValueError if the URL is no Redis URL."""
        make = connection_maker(url, password)
        self._trips, self._readings, self._silent = make(), make(), make()
        self._trips.register_connect_callback(self._follow)

    async def _follow(self, _: Connection) -> None:
        """Let the silent connection go where the trips go: an old one may lead to a Redis that counts no more."""
        await self._silent.disconnect(nowait=True)

    async def take(self, trip: Trip) -> Range:
        """Count a trip; see Store."""
        answer = await _run(self._trips, TAKE, _words(trip), trip.epoch, trip.seen)
        match answer:
            case [trip.process, sequence, what, *rest] if sequence == str(trip.sequence):
                if what == "range":
                    return _range(*rest)
                _refuse(what, *rest)
        await self._trips.disconnect(nowait=True)
        raise LostError(f"Redis answered another question: {answer!r}")

    async def read(self, epoch: str, seen: int) -> Reading:
        """Read the count; see Store."""
        return _reading(await _run(self._readings, READ, _seen_words(epoch, seen), epoch, seen))

    async def reset(self, epoch: str, to: int) -> None:
        """Begin a new epoch; see Store."""
        await _call(self._readings, RESET, 2, COUNTER, PODS, epoch, to, known=False)

    async def until_lost(self) -> None:
        """Return when Redis has ended a connection over which nothing is ever sent."""
        while True:
            try:
                await _connect(self._silent)
                break
            except UnavailableError:  # trips may go through all the same: Redis has a limit of clients
                await asyncio.sleep(PATIENCE)
        with suppress(*LOST):
            await self._silent.read_response(timeout=math.inf)

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._trips, self._readings, self._silent:
            await connection.disconnect()


Words = tuple[str | int, ...]


def _words(trip: Trip) -> Words:
    numbers = trip.sequence, trip.answered, trip.n, trip.seen
    keys = COUNTER, PODS, PROCESS + trip.process
    return 3, *keys, trip.epoch, trip.process, *numbers, trip.pod, trip.new_epoch, WENT_BACK


def _seen_words(epoch: str, seen: int) -> Words:
    return 2, COUNTER, PODS, epoch, seen, WENT_BACK


def _range(epoch: str, top: str, time: str) -> Range:
    try:
        return Range(epoch_of(epoch), number(top), number(time))
    except ValueError as error:
        raise LostError(f"Redis: what it holds is not a counter's: {error}") from error


def _reading(answer: Any) -> Reading:
    try:
        epoch, count, began, distrusted, now, pods = answer
        shares = {pod: share.split() for pod, share in zip(pods[::2], pods[1::2], strict=True)}
        visitors, seen = ({pod: number(share[i]) for pod, share in shares.items()} for i in (0, 1))
        return Reading(epoch and epoch_of(epoch), number(count), number(began), distrusted, visitors, seen, number(now))
    except (IndexError, TypeError, ValueError) as error:
        raise UnavailableError(f"Redis: what it holds is not a counter's: {error}") from error


def _refuse(what: str, detail: str = "") -> NoReturn:
    match what:
        case "distrusted":
            raise DistrustedError(detail)
        case "wiped":
            raise WipedError("the store is empty")
        case "other epoch":
            try:
                raise OtherEpochError(epoch_of(detail))
            except ValueError as error:
                raise UnavailableError(f"Redis: what it holds is not a counter's: {error}") from error
        case "forgotten":
            raise ForgottenError(int(detail))
        case "outdated":
            raise OutdatedError("a later trip was counted before this one")
        case "exhausted":
            raise ExhaustedError("the count has reached its limit")
    raise LostError(f"Redis answered {what!r}")


async def _run(connection: Connection, script: Script, words: Words, epoch: str, seen: int) -> Any:
    """Run a script by its hash. Redis has begun anew if it does not know it: say what was seen, and let all say it."""
    try:
        return await _call(connection, script, *words)
    except NoScriptError:
        said = _reading(await _call(connection, SAY, *_seen_words(epoch, seen), known=False))
        if said.epoch:
            await asyncio.sleep(GRACE)
        return await _call(connection, script, *words, known=False)


async def _call(connection: Connection, script: Script, *words: str | int, known: bool = True) -> Any:
    """Run a script, by its hash if Redis is thought to know it; raises NoScriptError, or an UnavailableError."""
    await _connect(connection)
    name = ("EVALSHA", script.sha) if known else ("EVAL", script.text)
    try:
        async with asyncio.timeout(PATIENCE):
            # hiredis packs in C what redis-py would pack in Python.
            command = hiredis.pack_command((*name, *words))  # type: ignore[arg-type]  # its stub takes one word
            await connection.send_packed_command(command, check_health=False)
            return await connection.read_response()
    except NoScriptError:
        raise
    except LOST as error:
        await connection.disconnect(nowait=True)  # a new one may lead to a Redis that can do it
        if isinstance(error, ResponseError) or getattr(error, "status_code", None):
            raise UnavailableError(f"Redis: {explain(error)}") from error
        raise LostError(f"Redis: {explain(error) or 'no answer in time'}") from error


async def _connect(connection: Connection) -> None:
    """Make sure that the connection is open, and holds nothing unread that would be taken for the next answer."""
    try:
        if connection.is_connected:
            if not await connection.can_read():
                return
            await connection.disconnect(nowait=True)
        async with asyncio.timeout(PATIENCE):
            await connection.connect()
    except LOST as error:
        await connection.disconnect(nowait=True)
        raise UnavailableError(f"Redis: {explain(error) or 'no connection in time'}") from error
