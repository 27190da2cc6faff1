"""The count in Redis, shared by every pod: one Lua script a trip, called by its hash."""

import asyncio
import math
from contextlib import suppress
from hashlib import sha1
from importlib.resources import files
from typing import Any, NoReturn

from redis.asyncio import Connection, ConnectionPool
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

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
from hello.stores.rules import WENT_BACK

try:
    import hiredis
except ImportError:  # no wheel for this machine
    hiredis = None  # type: ignore[assignment]

PATIENCE = 1.0
"""Seconds to wait for a connection, and again for an answer, before the connection is given up."""

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

    def __init__(self, url: str, password: str | None = None) -> None:
        """Raise a ValueError if the URL is no Redis URL; connect with the first trip."""
        options: dict[str, Any] = {} if password is None else {"password": password}
        if not url.startswith("unix:"):
            options["socket_keepalive"] = True
        try:
            pool = ConnectionPool.from_url(
                url,
                **options,
                protocol=2,
                decode_responses=True,
                encoding_errors="replace",
                driver_info=None,
                socket_timeout=None,
                socket_connect_timeout=PATIENCE,
                maint_notifications_config=MaintNotificationsConfig(enabled=False),
            )
            self._trips: Connection = pool.make_connection()
            self._readings: Connection = pool.make_connection()
            self._silent: Connection = pool.make_connection()
        except (RedisError, TypeError) as error:
            raise ValueError(str(error)) from error

    async def take(self, trip: Trip) -> Range:
        """Count a trip; see Store."""
        answer = await _run(self._trips, TAKE, _words(trip), trip.epoch, trip.seen)
        match answer:
            case [trip.process, sequence, what, *rest] if sequence == str(trip.sequence):
                if what == "range":
                    return Range(rest[0], int(rest[1]), int(rest[2]))
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


def _reading(answer: Any) -> Reading:
    try:
        epoch, count, began, distrusted, now, pods = answer
        shares = {pod: share.split() for pod, share in zip(pods[::2], pods[1::2], strict=True)}
        visitors, seen = ({pod: int(share[i]) for pod, share in shares.items()} for i in (0, 1))
        return Reading(epoch, int(count), int(began), distrusted, visitors, seen, int(now))
    except (IndexError, TypeError, ValueError) as error:
        raise UnavailableError(f"Redis: what it holds is not a counter's: {error}") from error


def _refuse(what: str, detail: str = "") -> NoReturn:
    match what:
        case "distrusted":
            raise DistrustedError(detail)
        case "wiped":
            raise WipedError("the store is empty")
        case "other epoch":
            raise OtherEpochError(detail)
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
            await connection.send_packed_command(_packed(connection, *name, *words), check_health=False)
            return await connection.read_response()
    except NoScriptError:
        raise
    except ResponseError as error:
        raise UnavailableError(f"Redis: {error}") from error
    except LOST as error:
        await connection.disconnect(nowait=True)
        raise LostError(f"Redis: {str(error) or 'no answer in time'}") from error


def _packed(connection: Connection, *words: str | int) -> Any:
    """Put a command into Redis' protocol, in C where hiredis is there: redis-py does it in Python."""
    return hiredis.pack_command(words) if hiredis else connection.pack_command(*words)  # type: ignore[arg-type]


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
        raise UnavailableError(f"Redis: {str(error) or 'no connection in time'}") from error
