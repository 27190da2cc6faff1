"""The count in a file: WAL, an fsync before each answer, one transaction a trip."""

import asyncio
import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from hello.stores import EARLIER_PODS, MEMORY, BrokenError, DistrustedError, LostError, Range, Reading, Trip
from hello.stores.rules import Record, State, count, goes_back, repeat

T = TypeVar("T")

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), epoch TEXT NOT NULL,"
    " count INTEGER NOT NULL, began INTEGER NOT NULL, distrusted TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS pods (pod TEXT PRIMARY KEY, count INTEGER NOT NULL, seen INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS processes (process TEXT PRIMARY KEY, epoch TEXT NOT NULL, sequence INTEGER NOT NULL,"
    " top INTEGER NOT NULL, time INTEGER NOT NULL)",
)
OURS = 0x48656C6F
"""The application id in the file's header, by which it is known as a counter's."""

# What passes by itself (a full disk, a lock); every other error is for a person. https://www.sqlite.org/rescode.html
PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM}


class SqliteStore:
    """A Store in a SQLite file, used from a thread of its own; processes on one machine may share the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection | None = None

    async def take(self, trip: Trip) -> Range:
        """Count a trip; see Store."""
        return await self._run(lambda connection: _take(connection, trip))

    async def read(self, epoch: str, seen: int) -> Reading:
        """Read the count; see Store."""
        return await self._run(lambda connection: _read(connection, epoch, seen))

    async def reset(self, epoch: str, to: int) -> None:
        """Begin a new epoch; see Store."""
        await self._run(lambda connection: _reset(connection, State(epoch, to, to)))

    async def until_lost(self) -> None:
        """Wait for ever: a file sends no word."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Close the file, after the trip that is under way."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = _connect(self.path)
            return work(self._connection)
        except (sqlite3.Error, OSError) as error:
            self._disconnect()
            if _passes(error):
                raise LostError(f"{self.path}: {error}") from error
            raise BrokenError(f"{self.path}: {error}{_missing_rights(self.path)}") from error

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _missing_rights(path: Path) -> str:
    """Whose the file or the directory is and who runs, where this process may not write there; else nothing."""
    there = [path, next(parent for parent in path.parents if parent.exists())]
    if hasattr(os, "getuid"):
        for place in filter(Path.exists, there):
            if not os.access(place, os.W_OK):
                owner, own = place.stat(), f"user {os.getuid()}, group {os.getgid()}"
                return f" ({place} is of user {owner.st_uid}, group {owner.st_gid}; this process runs as {own})"
    return ""


def _passes(error: sqlite3.Error | OSError) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOSPC
    return error.sqlite_errorcode & 0xFF in PASSING


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
    try:
        _refuse_others(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        with _transaction(connection):
            for statement in SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {OURS}")  # a write: a file that is read-only says so now
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_others(connection: sqlite3.Connection, path: Path) -> None:
    with _transaction(connection):
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != OURS:
        raise BrokenError(f"{path}: a database of something else")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _take(connection: sqlite3.Connection, trip: Trip) -> Range:
    now = int(time.time())
    with _transaction(connection):
        state = _state(connection)
        row = connection.execute(
            "SELECT epoch, sequence, top, time FROM processes WHERE process = ? AND time > ?",
            (trip.process, now - MEMORY),
        ).fetchone()
        try:
            repeated = repeat(trip, state, Record(*row) if row else None, now)
        except DistrustedError as error:
            refusal = error
        else:
            return repeated or _count(connection, trip, state, now)
        _write(connection, state)
    raise refusal


def _count(connection: sqlite3.Connection, trip: Trip, state: State, now: int) -> Range:
    count(trip, state, time.time_ns())
    _write(connection, state)
    if trip.sequence == 1:
        _fold(connection, now - MEMORY)
    connection.execute(
        "INSERT INTO pods VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET count = count + excluded.count, seen = excluded.seen",
        (trip.pod, trip.n, now),
    )
    connection.execute(
        "INSERT OR REPLACE INTO processes VALUES (?, ?, ?, ?, ?)",
        (trip.process, state.epoch, trip.sequence, state.count, now),
    )
    return Range(state.epoch, state.count, now)


def _fold(connection: sqlite3.Connection, before: int) -> None:
    """Forget what was last seen before then; new pods come with a first trip, so this keeps the tables small."""
    connection.execute("DELETE FROM processes WHERE time <= ?", (before,))
    (earlier,) = connection.execute("SELECT sum(count) FROM pods WHERE seen <= ?", (before,)).fetchone()
    if earlier is not None:
        connection.execute("DELETE FROM pods WHERE seen <= ?", (before,))
        connection.execute("INSERT INTO pods VALUES (?, ?, ?)", (EARLIER_PODS, earlier, before))


def _read(connection: sqlite3.Connection, epoch: str, seen: int) -> Reading:
    with _transaction(connection):
        state = _state(connection)
        if goes_back(state, epoch, seen):
            _write(connection, state)
        pods = connection.execute("SELECT pod, count, seen FROM pods ORDER BY count DESC").fetchall()
    visitors, last_seen = {pod: count for pod, count, _ in pods}, {pod: then for pod, _, then in pods}
    return Reading(state.epoch, state.count, state.began, state.distrusted, visitors, last_seen, int(time.time()))


def _reset(connection: sqlite3.Connection, state: State) -> None:
    with _transaction(connection):
        _write(connection, state)
        connection.execute("DELETE FROM pods")


def _state(connection: sqlite3.Connection) -> State:
    row = connection.execute("SELECT epoch, count, began, distrusted FROM counter").fetchone()
    return State(*row) if row else State()


def _write(connection: sqlite3.Connection, state: State) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO counter VALUES (1, ?, ?, ?, ?)",
        (state.epoch, state.count, state.began, state.distrusted),
    )
