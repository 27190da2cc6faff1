"""SQLite in trouble: a file that cannot work is one line, one that cannot work now is waited for."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from hello.stores import StoreError, UnavailableError
from hello.stores.sqlite import SqliteStore
from tests.support.client import request
from tests.support.linux import Trace, mounted, require, seen_from_outside
from tests.support.processes import PATIENCE, Hello, MakeHello, until
from tests.support.stores import FIRST, following
from tests.support.troubles import AWAY, recovered, refusal, reset, until_store_is
from tests.support.witness import Witness


async def refused(server: Hello) -> str:
    """The one line that a server leaves with."""
    async with asyncio.timeout(PATIENCE):
        assert await server.launch().exit() == 1
    (line,) = [line for line in server.log if not line.startswith("{")]
    assert line.startswith("hello: ")
    return line


async def test_a_path_that_no_file_can_have_is_refused(hello: MakeHello, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in tmp_path, tmp_path / "file" / "hello.db":
        assert str(path) in await refused(hello("--store", f"sqlite:{path}"))


@pytest.mark.parametrize("schema", ["", "CREATE TABLE diary (day TEXT)", "CREATE TABLE counter (visitors INTEGER)"])
async def test_what_is_no_counter_s_database_is_refused_and_left_alone(
    hello: MakeHello, tmp_path: Path, schema: str
) -> None:
    path = tmp_path / "hello.db"
    if schema:
        with closing(sqlite3.connect(path)) as database:
            database.execute(schema)
    else:
        path.write_text("Dear diary, " * 100)
    before = path.read_bytes()

    assert str(path) in await refused(hello("--store", f"sqlite:{path}"))
    assert path.read_bytes() == before


@pytest.mark.parametrize("exists", [False, True])
async def test_a_read_only_disk_is_refused(hello: MakeHello, tmp_path: Path, exists: bool) -> None:
    store = f"sqlite:{tmp_path / 'hello.db'}"
    if exists:
        await (await hello("--store", store).start()).stop()
    read_only = mounted(f"mount --bind {tmp_path} {tmp_path}\nmount -o remount,bind,ro {tmp_path}")

    assert "hello.db" in await refused(hello("--store", store, command=read_only))


async def test_a_directory_out_of_reach_is_refused_and_named(hello: MakeHello, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    store = f"sqlite:{locked / 'data' / 'hello.db'}"
    # Root would go anywhere.
    command: tuple[str, ...] = ()
    if os.getuid() == 0:  # who may go anywhere
        command = "setpriv", "--bounding-set=-dac_override,-dac_read_search"
        require(*command, "true")

    assert f"({locked} is owned by user {os.getuid()}, " in await refused(hello("--store", store, command=command))
    resets = [*command, sys.executable, "-m", "hello", "reset", "--store", store, "--yes"]
    ran = subprocess.run(resets, capture_output=True, text=True)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert "Permission denied" in line


@pytest.mark.parametrize("name", ["hello.db", "my \\ own.db"])
async def test_a_file_that_is_mounted_alone_is_refused(hello: MakeHello, tmp_path: Path, name: str) -> None:
    host, file = tmp_path / "host.db", tmp_path / name
    host.touch()
    file.touch()
    alone = mounted(f"mount --bind '{host}' '{file}'")

    assert "mount the directory" in await refused(hello("--store", f"sqlite:{file}", command=alone))
    assert host.stat().st_size == 0


async def test_a_file_with_two_hard_links_is_refused(hello: MakeHello, tmp_path: Path) -> None:
    file, link = tmp_path / "hello.db", tmp_path / "link.db"
    file.touch()
    link.hardlink_to(file)

    for name in file, link:
        assert "hard links" in await refused(hello("--store", f"sqlite:{name}"))


async def test_a_symbolic_link_leads_to_the_file_and_its_log(hello: MakeHello, tmp_path: Path) -> None:
    directory, link = tmp_path / "data", tmp_path / "hello.db"
    directory.mkdir()
    link.symlink_to(directory / "hello.db")
    for number, store in enumerate((link, directory / "hello.db", link), 1):
        server = await hello("--store", f"sqlite:{store}").start()
        assert await server.visit() == number
        await server.kill()


def fuse(directory: Path) -> str:
    """Mount a directory over itself by a file system that cannot share memory, as 9p and some network shares cannot."""
    both = f"{directory} {directory}"
    # The latter is for bindfs before 1.17.
    mount = f"{{ bindfs --direct-io {both} 2>/dev/null || bindfs -o direct_io {both}; }}"
    require(*mounted(mount), "true")
    return mount


def no_locks(file: Path) -> str:
    """Let there be no locks, as on NFS without its lock daemon."""
    require("strace", "-D", "-o", os.devnull, "true")
    return f'set -- strace -D -f -o /dev/null -e trace=fcntl -e inject=fcntl:error=ENOLCK -P {file} "$@"'


@pytest.mark.parametrize("fault", ["memory", "locks"])
async def test_a_file_system_without_shared_memory_or_locks_is_refused(
    hello: MakeHello, tmp_path: Path, fault: str
) -> None:
    file = tmp_path / "data" / "hello.db"
    file.parent.mkdir()
    unfit = mounted(fuse(file.parent) if fault == "memory" else no_locks(file))

    assert "this file system (NFS, for one): use a local disk" in await refused(
        hello("--store", f"sqlite:{file}", command=unfit)
    )


@pytest.fixture
async def counted(hello: MakeHello, tmp_path: Path) -> Hello:
    """A server that has counted to 2 in `hello.db`."""
    server = await hello("--store", f"sqlite:{tmp_path / 'hello.db'}").start()
    assert [await server.visit(), await server.visit()] == [1, 2]
    return server


async def test_a_copy_without_the_log_counts_nobody_until_it_is_reset(
    hello: MakeHello, counted: Hello, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(tmp_path / "hello.db", copy)
    server = await hello("--store", f"sqlite:{copy}").start()

    for _ in range(2):
        assert "lost its log" in await refusal(server)
        await server.kill()
        await server.start()
    reset(f"sqlite:{copy}", 2)
    await until_store_is("up", server)
    assert await server.visit() == 3
    assert await counted.visit() == 3


async def test_a_file_whose_log_was_deleted_counts_nobody(hello: MakeHello, counted: Hello, tmp_path: Path) -> None:
    await counted.kill()
    (tmp_path / "hello.db-wal").unlink()

    assert (await request((await counted.start()).url)).status == 503


async def test_a_copy_is_noticed_after_another_process_has_left_the_file(
    hello: MakeHello, counted: Hello, tmp_path: Path
) -> None:
    other = await hello("--store", f"sqlite:{tmp_path / 'hello.db'}").start()
    assert await other.stop() == 0
    assert await counted.visit() == 3
    with closing(sqlite3.connect(tmp_path / "hello.db")) as database:
        database.execute("PRAGMA wal_checkpoint(PASSIVE)")
    assert await counted.visit() == 4
    shutil.copy(tmp_path / "hello.db", tmp_path / "copy.db")

    late = await hello("--store", f"sqlite:{tmp_path / 'copy.db'}").start()
    assert (await request(late.url)).status == 503


@pytest.mark.parametrize("end", [Hello.stop, Hello.kill])
async def test_what_a_server_left_can_be_moved(
    hello: MakeHello, counted: Hello, tmp_path: Path, end: Callable[[Hello], Awaitable[int | None]]
) -> None:
    """One file after a server that left, and its log besides after one that was killed."""
    await end(counted)
    assert (tmp_path / "hello.db-wal").exists() == (end is Hello.kill)
    (tmp_path / "moved").mkdir()
    subprocess.run(f"mv {tmp_path}/hello.db* {tmp_path}/moved", shell=True, check=True)

    moved = await hello("--store", f"sqlite:{tmp_path / 'moved' / 'hello.db'}").start()
    assert await moved.visit() == 3


FILLS = """
import asyncio, sys
from contextlib import suppress
from pathlib import Path
from hello.stores import LostError
from hello.stores.sqlite import SqliteStore
from tests.support.stores import FIRST, following

async def main(directory):
    store, ballast = SqliteStore(directory / "hello.db"), directory / "ballast"
    given = await store.commit(FIRST)
    with suppress(OSError):
        ballast.write_bytes(bytes(1 << 20))
    try:
        for sequence in range(2, 100):
            given = await store.commit(following(FIRST, given, sequence=sequence))
    except LostError:
        await store.close()
    ballast.unlink()
    store = SqliteStore(directory / "hello.db")
    reading = await store.read(given.epoch, given.top)
    assert (reading.count, reading.distrusted) == (given.top, ""), reading
    await store.close()

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_file_that_is_closed_while_the_disk_is_full_is_no_copy(tmp_path: Path) -> None:
    small = mounted(f"mount -t tmpfs -o size=256k none {tmp_path}")
    ran = subprocess.run([*small, sys.executable, "-c", FILLS, tmp_path], capture_output=True, text=True)
    assert (ran.stderr, ran.returncode) == ("", 0)


class Disk:
    """A small disk of a server's own, which can be filled."""

    def __init__(self, directory: Path, *, full: bool = False) -> None:
        self.directory = directory
        mount = f"mount -t tmpfs -o size=256k none {directory}\ntouch {directory}/ballast"
        fill = f"cat /dev/zero >{directory}/ballast 2>/dev/null || true" if full else ""
        self.command = mounted(f"{mount}\n{fill}")

    def fill(self, server: Hello) -> None:
        assert server.process
        ballast = seen_from_outside(server.process, self.directory / "ballast")
        assert subprocess.run(["dd", "if=/dev/zero", f"of={ballast}"], capture_output=True).returncode != 0

    def clear(self, server: Hello) -> None:
        assert server.process
        seen_from_outside(server.process, self.directory / "ballast").write_bytes(b"")


async def test_a_disk_that_is_full_at_the_start_is_waited_for(hello: MakeHello, tmp_path: Path) -> None:
    disk = Disk(tmp_path, full=True)
    store = f"sqlite:{tmp_path / 'hello.db'}"
    server = await hello("--store", store, "--deadline", "0.3", command=disk.command).start()

    assert await refusal(server) == AWAY
    assert (await request(server.url, path="/readyz")).status == 503

    disk.clear(server)
    await server.ready()
    assert await recovered(server) in (1, 2)  # who was refused may have been counted


async def test_a_disk_that_fills_up_is_waited_for(hello: MakeHello, tmp_path: Path) -> None:
    disk, witness = Disk(tmp_path), Witness()
    store = f"sqlite:{tmp_path / 'hello.db'}"
    server = await hello("--store", store, "--deadline", "0.3", command=disk.command).start()
    for _ in range(3):
        await witness.ask(server)

    disk.fill(server)

    async def is_refused() -> bool:
        return (await witness.ask(server)).status == 503

    await until(is_refused, "refused")
    assert (await request(server.url, path="/readyz")).status == 200
    disk.clear(server)
    await witness.recovered(server)

    await witness.judge(server)
    assert set(witness.statuses()) == {200, 503}
    assert await server.stop() == 0
    assert server.events().count("store is lost") == 1
    assert server.events().count("store is up") == 2


async def test_each_reply_waits_for_the_disk(hello: MakeHello, tmp_path: Path) -> None:
    trace = Trace(tmp_path / "trace")
    server = await hello("--store", f"sqlite:{tmp_path / 'hello.db'}", command=trace.command).start()
    for _ in range(5):
        await server.visit()
    await server.kill()

    assert await trace.replies_behind_a_sync("Hello-Count") == 5


@contextmanager
def changed(path: Path, statement: str) -> Iterator[None]:
    """Another process changes a file, and later changes it back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        before = database.execute("SELECT * FROM counter").fetchone()
        database.execute(statement)
        yield
        database.execute("DELETE FROM counter")
        database.execute(f"INSERT INTO counter VALUES ({', '.join('?' * len(before))})", before)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "hello.db")
    yield store
    await store.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *[("epoch", value) for value in ("CAST(x'ff' AS TEXT)", "x'00'", "'two words'", "'rubbish'", "''")],
        *[("count", value) for value in ("'nan'", "CAST(x'ff' AS TEXT)", "-5", "1.5", "9007199254740993")],
        ("began", "'rubbish'"),
    ],
)
async def test_what_is_no_counter_is_broken_until_it_is_one(store: SqliteStore, column: str, value: str) -> None:
    given = await store.commit(FIRST)
    with changed(store.path, f"UPDATE counter SET {column} = {value}"):
        with pytest.raises(UnavailableError, match="not a counter's"):
            await store.read(given.epoch, given.top)
        with pytest.raises(UnavailableError, match="not a counter's"):
            await store.commit(following(FIRST, given))
    assert (await store.commit(following(FIRST, given))).top == 6


@pytest.mark.parametrize("value", ["CAST(x'ff' AS TEXT)", "-5", "1.5"])
@pytest.mark.parametrize("column", ["epoch", "sequence", "top", "number", "time", "total", "pod"])
async def test_rubbish_in_a_record_is_an_error_that_is_known(store: SqliteStore, column: str, value: str) -> None:
    given = await store.commit(FIRST)
    with changed(store.path, f"UPDATE sessions SET {column} = {value}"):
        for request in store.read(given.epoch, given.top), store.commit(following(FIRST, given)):
            with suppress(StoreError):
                await request


async def test_the_data_is_flushed_through_the_drive_s_own_cache_too(store: SqliteStore) -> None:
    await store.read("", 0)
    assert store._connection  # noqa: SLF001
    assert store._connection.execute("PRAGMA fullfsync").fetchone() == (1,)  # noqa: SLF001
