"""The count in a SQLite file: WAL, one transaction for each batch, an fsync before each answer."""

import asyncio
import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import astuple
from pathlib import Path
from typing import TypeVar

from hello.stores import (
    SESSION_TIMEOUT,
    Batch,
    BrokenError,
    DistrustedError,
    LostError,
    Range,
    Reading,
    Store,
    StoreError,
    UnavailableError,
    rules,
)
from hello.stores.rules import SessionRecord, State

T = TypeVar("T")

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), epoch TEXT NOT NULL,"
    " count INTEGER NOT NULL, began INTEGER NOT NULL, number INTEGER NOT NULL, forgotten INTEGER NOT NULL,"
    " distrusted TEXT NOT NULL, in_use INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO counter VALUES (1, '', 0, 0, 0, 0, '', 0)",
    "CREATE TABLE IF NOT EXISTS sessions (client TEXT PRIMARY KEY, epoch TEXT NOT NULL, sequence INTEGER NOT NULL,"
    " top INTEGER NOT NULL, number INTEGER NOT NULL, time INTEGER NOT NULL, total INTEGER NOT NULL, pod TEXT NOT NULL)",
)
OURS = 0x48656C6F
"""The application id in the header of a counter's file."""

PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM}
"""Errors that may pass, such as a full disk or a lock: https://www.sqlite.org/rescode.html."""
NO_WAL = {sqlite3.SQLITE_IOERR_LOCK, sqlite3.SQLITE_IOERR_SHMLOCK, sqlite3.SQLITE_IOERR_SHMMAP}
"""Errors of a file system without locks or shared memory."""

UNFIT = "SQLite cannot keep its log on this file system (NFS, for one): use a local disk"
LOST_LOG = "the file is a copy made while in use, or has lost its log: numbers that were given may be missing from it"


class SqliteStore(Store):
    """A Store in a SQLite file, which has a thread of its own. Processes on one machine may share the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection | None = None

    async def commit(self, batch: Batch) -> Range:
        return await self._run(lambda connection: _commit(connection, batch))

    async def read(self, epoch: str, seen: int) -> Reading:
        return await self._run(lambda connection: _read(connection, epoch, seen))

    async def reset(self, new_epoch: str, to: int) -> None:
        await self._run(lambda connection: _reset(connection, new_epoch, to))

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = _connect(self.path)
            with _transaction(self._connection):
                return work(self._connection)
        except ValueError as error:
            raise UnavailableError(f"{self.path}: what it holds is not a counter's: {error}") from error
        except (sqlite3.Error, OSError) as error:
            if _code(error) != sqlite3.SQLITE_FULL:  # a new connection would not help
                self._disconnect()
            raise _explain(error, self.path) from error

    def _disconnect(self) -> None:
        if self._connection is not None:
            _close(self._connection)
            self._connection = None


def _explain(error: sqlite3.Error | OSError, path: Path) -> StoreError:
    """Tell errors that may pass from those that somebody must mend."""
    code = _code(error)
    if code in NO_WAL or (code == sqlite3.SQLITE_BUSY and not _has_locks(path)):
        return BrokenError(f"{path}: {UNFIT} ({error})")
    if code & 0xFF in PASSING or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        return LostError(f"{path}: {error}")
    return BrokenError(f"{path}: {error}{_missing_rights(path)}")


def _code(error: sqlite3.Error | OSError) -> int:
    return getattr(error, "sqlite_errorcode", 0)


def _has_locks(path: Path) -> bool:
    """Try to lock the file, which this process has not locked. SQLite says "busy" without lock support, too."""
    try:
        with path.open("rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno != errno.ENOLCK
    return True


def _missing_rights(path: Path) -> str:
    """Name the owner of a path that this process may not write to, and the user it runs as."""
    for place in path, *path.parents:
        try:
            owner = place.stat()
        except OSError:  # it does not exist or is out of reach: a directory above tells why
            continue
        if not os.access(place, os.W_OK):
            own = f"user {os.getuid()}, group {os.getgid()}"
            return f" ({place} is owned by user {owner.st_uid}, group {owner.st_gid}; this process runs as {own})"
        if place.is_dir():
            break
    return ""


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    _refuse_lone_file(path.resolve())
    connection = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    try:
        _refuse_others(connection, path)
        _prepare(connection, path)
    except BaseException:
        _close(connection)
        raise
    return connection


def _refuse_lone_file(file: Path) -> None:
    """Refuse a file that could be separated from its log, which is another file beside it."""
    if _is_mount_point(file):
        raise BrokenError(f"{file}: a file that is mounted alone loses its log; mount the directory")
    with suppress(FileNotFoundError, NotADirectoryError):
        if file.stat().st_nlink > 1:
            raise BrokenError(f"{file}: a file with several hard links loses its log: mount the directory")


def _is_mount_point(file: Path) -> bool:
    """Whether anything is mounted there, from this disk or another: proc(5)."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:  # not Linux
        return False
    escaped = str(file).translate({ord(character): f"\\{ord(character):03o}" for character in " \t\n\\"})
    return any(line.split(" ")[4] == escaped for line in mounts.splitlines())


def _refuse_others(connection: sqlite3.Connection, path: Path) -> None:
    with _transaction(connection):
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != OURS:
        raise BrokenError(f"{path}: this database belongs to another program")


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise BrokenError(f"{path}: {UNFIT}")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # else macOS' fsync leaves the data in the drive
    with _transaction(connection):
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {OURS}")  # a write, which finds out a read-only file
        _mark_in_use(connection, Path(f"{path.resolve()}-wal"))
    (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
    if is_busy:
        raise UnavailableError(f"{path}: other processes hold its log")


def _mark_in_use(connection: sqlite3.Connection, log: Path) -> None:
    """Mark the file in use before its log has any number. A file with the mark and no log is distrusted."""
    (in_use,) = connection.execute("SELECT max(in_use) FROM counter").fetchone()
    if in_use and not log.stat().st_size:
        connection.execute("UPDATE counter SET distrusted = ?", (LOST_LOG,))
    connection.execute("UPDATE counter SET in_use = 1")


def _close(connection: sqlite3.Connection) -> None:
    """Remove the mark and close. A log that starts over has room for this even if the disk is full."""
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(RESTART)")
        connection.execute("UPDATE counter SET in_use = 0")
    connection.close()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit, even if the file turns out to be distrusted; roll back after any other error."""
    refusal = None
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except DistrustedError as error:
            refusal = error
    if refusal:
        raise refusal


def _commit(connection: sqlite3.Connection, batch: Batch) -> Range:
    state = _state(connection)
    row = connection.execute("SELECT * FROM sessions WHERE client = ?", (batch.client,)).fetchone()
    record = SessionRecord(*row[1:]) if row else None
    try:
        repeated = rules.find_duplicate(batch, state, record)
    except DistrustedError:
        _write(connection, state)
        raise
    return repeated or _count(connection, batch, state, record)


def _count(connection: sqlite3.Connection, batch: Batch, state: State, before: SessionRecord | None) -> Range:
    record = rules.count(batch, state, before, time.time_ns())
    _put(connection, batch.client, record)
    if batch.ends:
        _fold(connection, state, "client = ?", batch.client)
    elif batch.sequence == 1:  # this keeps the table small
        _fold(connection, state, "time <= ?", record.time - SESSION_TIMEOUT)
    _write(connection, state)
    return Range(record.epoch, record.top, record.index)


def _fold(connection: sqlite3.Connection, state: State, which: str, value: str | int) -> None:
    which = f"WHERE {which} OR client LIKE 'pod:%'"
    rows = connection.execute(f"SELECT * FROM sessions {which}", (value,)).fetchall()  # noqa: S608
    connection.execute(f"DELETE FROM sessions {which}", (value,))  # noqa: S608
    for share in rules.fold(state, (SessionRecord(*row[1:]) for row in rows), time.time()):
        _put(connection, f"pod:{share.pod}", share)


def _put(connection: sqlite3.Connection, key: str, record: SessionRecord) -> None:
    values = key, *astuple(record)
    connection.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def _read(connection: sqlite3.Connection, epoch: str, seen: int) -> Reading:
    state = _state(connection)
    if rules.notice_rollback(state, epoch, seen):
        _write(connection, state)
    rows = connection.execute("SELECT * FROM sessions").fetchall()
    return rules.make_reading(state, [SessionRecord(*row[1:]) for row in rows], time.time())


def _reset(connection: sqlite3.Connection, new_epoch: str, to: int) -> None:
    epoch = rules.make_epoch(time.time_ns(), _state(connection).epoch, new_epoch)
    _write(connection, State(epoch, to, to))


def _state(connection: sqlite3.Connection) -> State:
    row = connection.execute("SELECT * FROM counter").fetchone()
    return State(*row[1:-1]) if row else State()


def _write(connection: sqlite3.Connection, state: State) -> None:
    connection.execute("INSERT OR REPLACE INTO counter VALUES (1, ?, ?, ?, ?, ?, ?, 1)", astuple(state))
