"""`hello check` as a user meets it: real servers, its words, its exit status."""

import asyncio
import json
import os
import pty
import re
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from signal import SIGINT
from typing import Any

import pytest

from tests.check.commands import COMMAND, check, result, start
from tests.check.servers import Counter, Skipped, http, serving
from tests.processes import Hello, free_port, until

ANSWERED = '{"sent":0,"answered":1,"outcome":"answered","status":200,"number":1,"pod":"hello-a","epoch":"e"}\n'


@asynccontextmanager
async def service(*pods: Hello) -> AsyncIterator[str]:
    """One address for several pods, each connection to the next one; its URL."""
    turns = cycle(pods)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", next(turns).port)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@pytest.mark.parametrize("connections", ["fresh", "kept", "both"])
async def test_hello_keeps_its_promise(hello: Callable[..., Hello], tmp_path: Path, connections: str) -> None:
    server = await hello("--store", f"sqlite:{tmp_path}/hello.db").start()
    outcome = await check(server.url, "--requests", "300", "--alone", "--connections", connections)
    assert outcome.status == 0, outcome
    exact, lost, enough, last = outcome.output.splitlines()[-4:]
    assert exact.startswith(
        "Exact?   Yes: each visitor got a number of its own, in order under load, none forgotten, none skip"
    )
    assert lost.startswith("Lost?    Nothing: each of 300 visits got a number. The longest time without an answer: ")
    assert enough.startswith(
        "Enough?  Yes: 300 answers without a fault exclude, at 95 %, faults more frequent than 1 in 100."
    )
    assert enough.endswith("Not seen: more than one pod.")
    assert last == "Promise kept: 300 visitors counted by 1 pod, none lost."
    assert outcome.errors == ""


async def test_pods_on_the_memory_store_count_each_for_itself_and_it_says_so(hello: Callable[..., Hello]) -> None:
    pods = [await hello("--store", "memory:", "--pod", f"hello-{name}").start() for name in "abc"]
    async with service(*pods) as url:
        outcome = await check(url, "--requests", "60")
    assert outcome.status == 1
    assert "5. One counter" in outcome.output
    assert "The pods count each for itself" in outcome.output.splitlines()[-1]


async def test_one_that_does_not_answer_cannot_be_judged() -> None:
    outcome = await check(f"http://127.0.0.1:{free_port()}/")
    assert outcome.status == 2
    assert one_line(outcome.errors)
    assert "no answer" in outcome.errors


@pytest.mark.parametrize(
    "answer", [http(404, b"nothing here"), http(200, b"<h1>It works!</h1>"), b"SSH-2.0-OpenSSH\r\n\r\n"]
)
async def test_what_is_not_a_hello_cannot_be_judged(answer: bytes) -> None:
    class Stranger(Counter):
        def read(self) -> bytes:
            return answer

    async with serving(Stranger()) as url:
        outcome = await check(url)
    assert outcome.status == 2
    assert one_line(outcome.errors)
    assert "not a hello" in outcome.errors


async def test_a_counter_that_refuses_everybody_cannot_be_judged() -> None:
    class Busy(Counter):
        def visit(self) -> bytes:
            return http(503, b"", Retry_After="1")

    async with serving(Busy()) as url:
        outcome = await check(url, "--requests", "5", "--clients", "5")
    assert outcome.status == 2
    assert "Nothing could be judged: no visit got a number (5 unavailable (503))." in outcome.output


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("ftp://example.org/",),
        ("http://",),
        ("http://[::1/",),
        ("http://example.org:port/",),
        ("http://example.org:0/",),
        ("http://example.org/?a=b",),
        ("http://user@example.org/",),
        ("http://example.org/a b",),
        ("http://example.org/", "--requests", "0"),
        ("http://example.org/", "--requests", "5", "--duration", "5"),
        ("http://example.org/", "--judge", os.devnull),
        ("http://example.org/", "--rate", "nan"),
        ("http://example.org/", "--rate", "inf"),
        ("http://example.org/", "--duration", "nan"),
        ("http://example.org/", "--timeout", "nan"),
        ("http://example.org/", "--log", "/nowhere/log"),
        ("--judge", "/nowhere/log"),
        ("--judge", __file__),
        ("http://host.invalid/",),
        ("http://a..b/",),
    ],
)
async def test_bad_input_is_told_apart_from_a_broken_promise(arguments: tuple[str, ...]) -> None:
    outcome = await check(*arguments)
    assert outcome.status == 2
    assert outcome.errors
    assert "Traceback" not in outcome.errors
    assert not outcome.output


async def test_a_disk_that_is_full_is_told_after_the_verdict() -> None:
    async with serving(Counter()) as url:
        outcome = await check(url, "--log", "/dev/full")
    assert outcome.status == 2
    assert outcome.output.splitlines()[-1].startswith("Promise kept: 1,000 visitors")
    assert one_line(outcome.errors)
    assert "/dev/full" in outcome.errors


@pytest.mark.parametrize("arguments", [("--judge", "LOG", "--log", "LOG"), ("--log", "LOG")])
async def test_a_log_is_not_emptied_by_a_command_that_cannot_be_run(arguments: tuple[str, ...], tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(ANSWERED)
    outcome = await check(*(str(log) if argument == "LOG" else argument for argument in arguments))
    assert outcome.status == 2
    assert log.read_text() == ANSWERED


async def test_a_run_that_is_killed_leaves_its_log(tmp_path: Path) -> None:
    counter, log = Counter(), tmp_path / "log"

    async def visited() -> bool:
        return counter.visits > 60

    async with serving(counter) as url:
        process = await start(url, "--duration", "600", "--log", str(log))
        await until(visited, "visits")
        process.kill()
        await result(process)
    assert (await check("--judge", str(log), "--json")).report["visits"]["answered"] >= 40  # up to 20 were under way


async def test_a_report_that_nobody_got_is_no_verdict(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(ANSWERED)
    to_a_full_disk = ("sh", "-c", 'exec "$@" >/dev/full', "sh")
    process = await asyncio.create_subprocess_exec(
        *to_a_full_disk, *COMMAND, "--judge", str(log), stdout=PIPE, stderr=PIPE
    )
    outcome = await result(process)
    assert outcome.status == 2
    assert one_line(outcome.errors)
    assert "the report could not be written" in outcome.errors

    reading, writing = os.pipe()
    os.close(reading)
    process = await asyncio.create_subprocess_exec(*COMMAND, "--judge", str(log), stdout=writing, stderr=PIPE)
    os.close(writing)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (2, b"")


async def test_ctrl_c_while_it_judges_is_no_verdict(tmp_path: Path) -> None:
    log = tmp_path / "log"
    os.mkfifo(log)
    process = await start("--judge", str(log))
    with await asyncio.to_thread(log.open, "w") as writing:
        await asyncio.to_thread(writing.write, 10_000 * ANSWERED)  # far more than a pipe holds: it is reading
        process.send_signal(SIGINT)
        outcome = await result(process)
    assert outcome.status == 2
    assert one_line(outcome.errors)
    assert "interrupted" in outcome.errors


async def test_more_clients_than_files_are_let_in_as_far_as_the_system_allows() -> None:
    soft_limit = ("sh", "-c", 'ulimit -Sn 64; exec "$@"', "sh")
    async with serving(Counter()) as url:
        process = await asyncio.create_subprocess_exec(
            *soft_limit, *COMMAND, url, "--clients", "100", "--connections=kept", "--json", stdout=PIPE, stderr=PIPE
        )
        outcome = await result(process)
    assert outcome.report["visits"] == {"answered": 1000}


async def test_a_visit_for_which_there_was_no_file_was_not_sent() -> None:
    hard_limit = ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh")
    async with serving(Counter()) as url:
        process = await asyncio.create_subprocess_exec(
            *hard_limit, *COMMAND, url, "--clients", "100", "--connections=kept", "--json", stdout=PIPE, stderr=PIPE
        )
        outcome = await result(process)
    assert outcome.report["visits"].keys() == {"answered", "not sent"}
    assert outcome.report["unknown"] == 0


async def test_a_log_is_judged_as_the_run_was(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    async with serving(Skipped()) as url:
        ran = await check(url, "--requests", "5100", "--connections=kept", "--alone", "--json", "--log", log)
    again = await check("--judge", log, "--alone", "--json")
    assert ran.status == again.status == 1
    assert again.report == ran.report
    assert (await check("--judge", log)).status == 0


async def test_ctrl_c_judges_what_was_seen() -> None:
    counter = Counter()

    async def visited() -> bool:
        return counter.visits > 100

    async with serving(counter) as url:
        process = await start(url, "--duration", "600", "--json")
        await until(visited, "visits")
        process.send_signal(SIGINT)
        outcome = await result(process)
    assert outcome.status == 0
    assert outcome.report["visits"]["answered"] >= 80  # of over 100, up to 20 were under way
    assert one_line(outcome.errors)


async def test_a_duration_ends() -> None:
    async with serving(Counter()) as url:
        outcome = await check(url, "--duration", "0.3", "--json")
    assert outcome.status == 0
    assert 0.3e9 <= outcome.report["nanoseconds"] < 30e9


async def test_a_terminal_shows_the_rate_and_the_failures_so_far() -> None:
    master, slave = pty.openpty()
    async with serving(Counter()) as url:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, url, "--requests", "2000", stdout=asyncio.subprocess.DEVNULL, stderr=slave
        )
        os.close(slave)
        shown = await asyncio.to_thread(read_terminal, master)
        assert await process.wait() == 0
    assert re.search(r"100%.*\d/s, 0 failed", shown)


def read_terminal(terminal: int) -> str:
    shown = b""
    try:
        while data := os.read(terminal, 65536):
            shown += data
    except OSError:  # Linux' way to say that the other end is closed
        pass
    finally:
        os.close(terminal)
    return shown.decode()


def one_line(text: str) -> bool:
    return bool(text) and text.count("\n") == 1


async def test_the_report_says_what_was_wrong_and_proves_it(tmp_path: Path) -> None:
    told = [(0, 7, "hello-a"), (2 * 10**9, 7, "hello-b"), (4 * 10**9, 5, "hello-b")]
    records: list[dict[str, Any]] = [
        {"sent": at, "answered": at + 10**9, "outcome": "answered", "number": number, "pod": pod, "epoch": "e"}
        for at, number, pod in told
    ]
    records.append({"sent": 0, "answered": 5 * 10**9, "outcome": "timeout"})
    log = tmp_path / "log"
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    outcome = await check("--judge", str(log))
    assert outcome.status == 1
    assert (
        "BROKEN   1. Distinct: numbers given twice (1)\n"
        "       - 0.000000 to 1.000000 s: 7 by hello-a\n"
        "         2.000000 to 3.000000 s: 7 by hello-b\n"
    ) in outcome.output
    assert "BROKEN   4. In order: numbers out of order (1)" in outcome.output
    assert "missing  1, of which 0 not accounted for" in outcome.output
    assert "up to as many skips could hide behind them" in outcome.output
    assert outcome.output.splitlines()[-1].startswith("Promise broken: ")
