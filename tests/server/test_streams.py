"""Standard streams that are closed or unread."""

import asyncio
import subprocess
import sys
from signal import SIGTERM

import pytest

from tests.support.client import Connection
from tests.support.processes import PATIENCE, MakeHello

MANY = 3000
"""Lines, of which an unread pipe takes only a few."""


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-", "<&-"])
async def test_a_server_needs_no_standard_stream(hello: MakeHello, closed: str) -> None:
    server = hello("--store", "memory:", command=("sh", "-c", f'exec "$@" {closed}', "sh"))
    await server.start()

    assert await server.visit() == 1
    assert await server.stop() == 0


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["serve", "--port", "0"], 2), ([], 2)])
def test_a_command_ends_well_without_standard_streams(arguments: list[str], code: int) -> None:
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]

    assert subprocess.run([*shell, sys.executable, "-m", "hello", *arguments]).returncode == code


@pytest.mark.long
async def test_an_unread_log_delays_nobody(hello: MakeHello) -> None:
    server = await hello("--store", "memory:", "--log", "debug").start()
    with await Connection.open(server.url) as connection:
        for number in range(1, MANY + 1):
            connection.send()
            assert (await connection.receive()).headers["hello-count"] == str(number)
    server.signal(SIGTERM)

    assert server.process
    assert await asyncio.to_thread(server.process.wait, PATIENCE) == 0
    assert await server.exit() == 0
    assert 0 < len(server.log) < MANY
    assert all(line.endswith("}") for line in server.log[:-1])


@pytest.mark.long
async def test_the_log_is_complete(hello: MakeHello) -> None:
    server = await hello("--store", "memory:", "--log", "debug").start()
    reading = asyncio.create_task(server.exit())
    with await Connection.open(server.url) as connection:
        for _ in range(MANY):
            connection.send()
            await connection.receive()
    server.signal(SIGTERM)

    assert await reading == 0
    assert sum('"GET /' in event for event in server.events()) == MANY
    assert server.events()[-1] == "leaving"


async def test_a_closed_log_delays_nobody(hello: MakeHello) -> None:
    server = await hello("--store", "memory:", "--log", "debug").start()
    assert server.process
    assert server.process.stderr
    server.process.stderr.close()

    assert [await server.visit() for _ in range(3)] == [1, 2, 3]
    server.signal(SIGTERM)
    assert await asyncio.to_thread(server.process.wait, PATIENCE) == 0
