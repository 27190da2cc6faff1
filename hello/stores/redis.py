"""The count in Redis, shared by every pod: one Lua script a trip, called by its hash."""

import asyncio
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

PATIENCE = 1.0
"""Seconds to wait for a connection, and again for an answer, before the connection is given up."""

COUNTER = "{hello}"
PODS = "{hello}:pods"
PROCESS = "{hello}:process:"


class Script:
    """A Lua script and the hash by which Redis knows it."""

    def __init__(self, name: str) -> None:
        self.text = files(__package__).joinpath(name).read_text("utf-8")
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


TAKE, READ, RESET = Script("take.lua"), Script("read.lua"), Script("reset.lua")


class RedisStore:
    """A Store in Redis 7 or later. Trips go over a connection of their own, so that no reading delays them."""

    def __init__(self, url: str, password: str | None = None) -> None:
        """Raise a ValueError or a TypeError if the URL is no Redis URL; connect with the first trip."""
        secret = {} if password is None else {"password": password}
        pool = ConnectionPool.from_url(
            url,
            **secret,
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

    async def take(self, trip: Trip) -> Range:
        """Count a trip; see Store."""
        keys = COUNTER, PODS, PROCESS + trip.process
        numbers = trip.sequence, trip.answered, trip.n, trip.seen
        answer = await _call(
            self._trips, TAKE, keys, trip.epoch, trip.process, *numbers, trip.pod, trip.new_epoch, WENT_BACK
        )
        match answer:
            case [trip.process, sequence, what, *rest] if sequence == str(trip.sequence):
                if what == "range":
                    return Range(rest[0], int(rest[1]), int(rest[2]))
                _refuse(what, *rest)
        await self._trips.disconnect(nowait=True)
        raise LostError(f"Redis answered another question: {answer!r}")

    async def read(self, epoch: str, seen: int) -> Reading:
        """Read the count; see Store."""
        current, count, began, distrusted, pods = await _call(
            self._readings, READ, (COUNTER, PODS), epoch, seen, WENT_BACK
        )
        shares = {pod: int(share.split()[0]) for pod, share in zip(pods[::2], pods[1::2], strict=True)}
        return Reading(current, int(count), int(began), distrusted, shares)

    async def reset(self, epoch: str, to: int) -> None:
        """Begin a new epoch; see Store."""
        await _call(self._trips, RESET, (COUNTER, PODS), epoch, to)

    async def close(self) -> None:
        """Close both connections."""
        await self._trips.disconnect()
        await self._readings.disconnect()


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


async def _call(connection: Connection, script: Script, keys: tuple[str, ...], *args: str | int) -> Any:
    await _connect(connection)
    rest = len(keys), *keys, *args
    try:
        async with asyncio.timeout(PATIENCE):
            try:
                return await _exchange(connection, "EVALSHA", script.sha, *rest)
            except NoScriptError:
                return await _exchange(connection, "EVAL", script.text, *rest)
    except ResponseError as error:
        raise UnavailableError(f"Redis: {error}") from error
    # A TypeError is how a closed connection can look on some CPython (redis-py #4287).
    except (RedisError, OSError, TypeError) as error:
        await connection.disconnect(nowait=True)
        raise LostError(f"Redis: {error or 'no answer in time'}") from error


async def _connect(connection: Connection) -> None:
    """Make sure that the connection is open, and holds nothing unread that would be taken for the next answer."""
    try:
        async with asyncio.timeout(PATIENCE):
            if connection.is_connected and await connection.can_read():
                await connection.disconnect(nowait=True)
            await connection.connect()
    except (RedisError, OSError, TypeError) as error:
        await connection.disconnect(nowait=True)
        raise UnavailableError(f"Redis: {error or 'no connection in time'}") from error


async def _exchange(connection: Connection, *command: str | int) -> Any:
    await connection.send_command(*command)
    return await connection.read_response()
