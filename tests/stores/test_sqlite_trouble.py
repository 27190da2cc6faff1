"""SQLite in trouble: a file that cannot work is one line, one that cannot work now is waited for."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hello.stores.sqlite import SqliteStore
from tests.support.client import request, until_up
from tests.support.linux import Trace, mounted, require, seen_from_outside
from tests.support.processes import PATIENCE, Hello, until
from tests.support.witness import Witness


async def refused(server: Hello) -> str:
    """The one line that a server leaves with."""
    async with asyncio.timeout(PATIENCE):
        assert await server.launch().exit() == 1
    (line,) = [line for line in server.log if not line.startswith("{")]
    assert line.startswith("hello: ")
    return line


async def test_a_directory_is_refused(hello: Callable[..., Hello], tmp_path: Path) -> None:
    assert str(tmp_path) in await refused(hello("--store", f"sqlite:{tmp_path}"))


async def test_a_path_through_a_file_is_refused(hello: Callable[..., Hello], tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert "file/hello.db" in await refused(hello("--store", f"sqlite:{tmp_path / 'file' / 'hello.db'}"))


async def test_what_is_no_database_is_refused_and_left_alone(hello: Callable[..., Hello], tmp_path: Path) -> None:
    path = tmp_path / "hello.db"
    path.write_text("Dear diary, " * 100)

    assert "not a database" in await refused(hello("--store", f"sqlite:{path}"))
    assert path.read_text() == "Dear diary, " * 100


@pytest.mark.parametrize("schema", ["CREATE TABLE diary (day TEXT)", "CREATE TABLE counter (visitors INTEGER)"])
async def test_somebody_else_s_database_is_refused_and_left_alone(
    hello: Callable[..., Hello], tmp_path: Path, schema: str
) -> None:
    path = tmp_path / "hello.db"
    with sqlite3.connect(path) as database:
        database.execute(schema)
    database.close()
    before = path.read_bytes()

    assert str(path) in await refused(hello("--store", f"sqlite:{path}"))
    assert path.read_bytes() == before


@pytest.mark.parametrize("exists", [False, True])
async def test_a_read_only_disk_is_refused(hello: Callable[..., Hello], tmp_path: Path, exists: bool) -> None:
    store = f"sqlite:{tmp_path / 'hello.db'}"
    if exists:
        await (await hello("--store", store).start()).stop()
    read_only = mounted(f"mount --bind {tmp_path} {tmp_path}\nmount -o remount,bind,ro {tmp_path}")

    assert "hello.db" in await refused(hello("--store", store, command=read_only))


async def test_a_directory_out_of_reach_is_refused_and_named(hello: Callable[..., Hello], tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    store = f"sqlite:{locked / 'data' / 'hello.db'}"
    # Root would go anywhere.
    command: tuple[str, ...] = ()
    if os.getuid() == 0:  # who may go anywhere
        command = "setpriv", "--bounding-set=-dac_override,-dac_read_search"
        require(*command, "true")

    assert f"({locked} is of user {os.getuid()}, " in await refused(hello("--store", store, command=command))
    reset = [*command, sys.executable, "-m", "hello", "reset", "--store", store, "--yes"]
    ran = subprocess.run(reset, capture_output=True, text=True)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert "Permission denied" in line


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


async def test_a_disk_that_is_full_at_the_start_is_waited_for(hello: Callable[..., Hello], tmp_path: Path) -> None:
    disk = Disk(tmp_path, full=True)
    store = f"sqlite:{tmp_path / 'hello.db'}"
    server = await hello("--store", store, "--deadline", "0.3", command=disk.command).start()

    refusal = await request(server.url)
    assert refusal.status == 503
    assert refusal.headers["retry-after"].isdecimal()
    assert refusal.body == "The store did not answer in time.\n"
    assert (await request(server.url, path="/readyz")).status == 503
    assert (await request(server.url, path="/healthz")).status == 200

    disk.clear(server)
    await server.ready()
    assert await server.visit() in (1, 2)  # who was refused may have been counted


async def test_a_disk_that_fills_up_is_waited_for(hello: Callable[..., Hello], tmp_path: Path) -> None:
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


async def test_no_number_is_forgotten_by_servers_that_are_killed(hello: Callable[..., Hello], tmp_path: Path) -> None:
    witness = Witness()
    server = hello("--store", f"sqlite:{tmp_path / 'hello.db'}")
    for _ in range(3):
        await server.start()
        async with witness.crowd(server):
            await witness.more()
            await server.kill()

    await server.start()
    await witness.ask(server)
    await witness.judge(server)


async def test_two_servers_count_in_one_file(hello: Callable[..., Hello], tmp_path: Path) -> None:
    witness, store = Witness(), f"sqlite:{tmp_path / 'hello.db'}"
    servers = [hello("--store", store, "--pod", pod) for pod in ("a", "b")]
    await asyncio.gather(*(server.start() for server in servers))
    async with witness.crowd(*servers):
        await witness.more(300)

    await witness.judge(servers[0])
    assert set(witness.statuses()) == {200}
    for server in servers:
        assert await server.stop() == 0
        assert "store is lost" not in server.events()


async def test_each_reply_waits_for_the_disk(hello: Callable[..., Hello], tmp_path: Path) -> None:
    trace = Trace(tmp_path / "trace")
    server = await hello("--store", f"sqlite:{tmp_path / 'hello.db'}", command=trace.command).start()
    for _ in range(5):
        await server.visit()
    await server.kill()

    assert await trace.replies_behind_a_sync("Hello-Count") == 5


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("epoch", "CAST(x'ff' AS TEXT)"),
        ("epoch", "x'00'"),
        ("epoch", "'two words'"),
        ("epoch", "'rubbish'"),
        ("epoch", "''"),
        ("count", "'nan'"),
        ("count", "CAST(x'ff' AS TEXT)"),
        ("count", "-5"),
        ("count", "1.5"),
        ("count", "9007199254740993"),
        ("began", "'rubbish'"),
    ],
)
async def test_a_counter_that_is_none_is_refused_until_it_is_one(
    hello: Callable[..., Hello], tmp_path: Path, column: str, value: str
) -> None:
    path = tmp_path / "hello.db"
    server = await hello("--store", f"sqlite:{path}", "--deadline", "0.3").start()
    assert await server.visit() == 1
    database = sqlite3.connect(path, isolation_level=None)
    (before,) = database.execute(f"SELECT {column} FROM counter").fetchone()

    database.execute(f"UPDATE counter SET {column} = {value}")
    for asked in "/", "/count":
        assert (await request(server.url, path=asked)).status == 503
    late = await hello("--store", f"sqlite:{path}", "--deadline", "0.3").start()
    assert (await request(late.url)).status == 503

    database.execute(f"UPDATE counter SET {column} = ?", (before,))
    database.close()
    last = 1
    for one in server, late:
        await until_up(one.url)
        number = await one.visit()
        assert number > last  # who was refused may have been counted
        last = number
        assert await one.stop() == 0
        assert "Traceback" not in "".join(one.log)
        assert one.events().count("store is lost") == 1
        assert "not a counter's" in "".join(one.log)


@pytest.mark.parametrize("value", ["CAST(x'ff' AS TEXT)", "-5", "1.5"])
@pytest.mark.parametrize("column", ["epoch", "sequence", "top", "number", "time", "total", "pod"])
async def test_no_rubbish_in_a_record_ends_a_server(
    hello: Callable[..., Hello], tmp_path: Path, column: str, value: str
) -> None:
    path = tmp_path / "hello.db"
    server = await hello("--store", f"sqlite:{path}", "--deadline", "0.3").start()
    assert await server.visit() == 1
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"UPDATE sessions SET {column} = {value}")
    for asked in "/", "/count":
        assert (await request(server.url, path=asked)).status in (200, 503)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DELETE FROM sessions")
    assert (await request(server.url)).status in (200, 503)
    assert await server.stop() == 0
    assert "Traceback" not in "".join(server.log)


async def test_the_data_is_flushed_through_the_drive_s_own_cache_too(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "hello.db")
    await store.read("", 0)
    assert store._connection  # noqa: SLF001
    assert store._connection.execute("PRAGMA fullfsync").fetchone() == (1,)  # noqa: SLF001
    await store.close()
