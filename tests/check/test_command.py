"""`hello check` as a user meets it: real servers, its output, its exit status."""

import asyncio
import json
import os
import pty
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

import pytest

from hello.check.history import Kind, Outcome, line
from hello.check.reporting.watch import EVERY, Watch
from tests.check.commands import COMMAND, Result, check, result, run, start
from tests.check.servers import (
    SILENCE,
    Careless,
    Counter,
    Duplicate,
    Frozen,
    LosesOneIn200,
    Lossy,
    Skipped,
    Wiped,
    checked,
    http,
    serving,
)
from tests.support.client import request
from tests.support.processes import PATIENCE, Hello, free_port, until
from tests.support.records import fed, recorded

ANSWERED = line(recorded(0, 1, number=1, status=200, pod="hello-a", epoch="e"))
S = 10**9


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of one correct answer."""
    file = tmp_path / "log"
    file.write_text(ANSWERED)
    return file


@pytest.mark.parametrize("connections", ["fresh", "kept", "both"])
async def test_hello_keeps_its_promise(hello: Callable[..., Hello], tmp_path: Path, connections: str) -> None:
    server = await hello("--store", f"sqlite:{tmp_path}/hello.db").start()
    outcome = await check(server.url, "--requests", "300", "--alone", "--connections", connections)
    assert outcome.status == 0, outcome
    exact, lost, in_time, repeated, enough, last = outcome.output.splitlines()[-6:]
    assert exact.startswith(
        "Exact?     Yes: each visitor got a number of its own, in order under load, none forgotten, none skip"
    )
    assert lost.startswith("Lost?      Nothing: each of 300 visits got a number.")
    assert in_time.startswith("In time?   Yes: the longest wait was ")
    assert repeated == "Repeated?  Nothing: no pod counted more than it answered."
    assert enough.startswith(
        "Enough?    Yes: 300 answers without a fault exclude, at 95 %, faults more frequent than 1 in 100."
    )
    assert enough.endswith("Not seen: more than one pod.")
    assert last == "Promise kept: 300 visitors counted by 1 pod, none lost."
    assert outcome.errors == ""


async def test_pods_on_the_memory_store_count_each_for_itself_and_it_says_so(hello: Callable[..., Hello]) -> None:
    pods = [await hello("--store", "memory:", "--pod", f"hello-{name}").start() for name in "abc"]
    outcome = await check(*(pod.url for pod in pods), "--requests", "60")
    assert outcome.status == 1
    assert "5. One counter" in outcome.output
    assert "Each pod counts for itself" in outcome.output.splitlines()[-1]


async def test_each_url_must_answer() -> None:
    outcome = await checked(Counter(), f"http://127.0.0.1:{free_port()}/")
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

    outcome = await checked(Stranger())
    assert outcome.status == 2
    assert one_line(outcome.errors)
    assert "not a hello" in outcome.errors


async def test_a_counter_that_refuses_everybody_cannot_be_judged() -> None:
    class Busy(Counter):
        def visit(self) -> bytes:
            return http(503, b"<h1>full</h1>\n up", Retry_After="1")

    async with serving(Busy()) as url:
        outcome = await check(url, "--requests", "5", "--clients", "5")
    assert outcome.status == 2
    assert outcome.output.count(f"to {url}: full up, sent at ") == 5
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
        ("http://example.org/", "--rate", "5", "--clients", "5"),
        ("http://example.org/", "--metrics-port", "9090"),
        ("http://example.org/", "--allow-repeated", "1"),
        ("http://example.org/", "--allow-gap", "0"),
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
    outcome = await checked(Counter(), "--log", "/dev/full")
    assert outcome.status == 2
    assert outcome.output.splitlines()[-1].startswith("Promise kept: 1,000 visitors")
    assert one_line(outcome.errors)
    assert "/dev/full" in outcome.errors


@pytest.mark.parametrize("arguments", [("--judge", "LOG", "--log", "LOG"), ("--log", "LOG")])
async def test_a_log_is_not_emptied_by_a_command_that_cannot_be_run(arguments: tuple[str, ...], log: Path) -> None:
    outcome = await check(*(str(log) if argument == "LOG" else argument for argument in arguments))
    assert outcome.status == 2
    assert await asyncio.to_thread(log.read_text) == ANSWERED


async def test_a_run_that_is_killed_leaves_its_log(tmp_path: Path) -> None:
    counter, log = Counter(), tmp_path / "log"
    async with serving(counter) as url:
        process = await start(url, "--duration", "600", "--log", str(log))
        await counter.visited(60)
        process.kill()
        await result(process)
    assert (await check("--judge", str(log), "--json")).report["visits"]["answered"] >= 40  # up to 20 were under way


async def test_a_report_that_nobody_got_is_no_verdict(log: Path) -> None:
    outcome = await run("sh", "-c", 'exec "$@" >/dev/full', "sh", *COMMAND, "--judge", log)
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


@pytest.mark.parametrize(("limit", "outcomes"), [("-Sn", {"answered"}), ("-n", {"answered", "not sent"})])
async def test_a_visit_for_which_the_system_allows_no_file_is_not_sent(limit: str, outcomes: set[str]) -> None:
    limited = ("sh", "-c", f'ulimit {limit} 64; exec "$@"', "sh")
    async with serving(Counter()) as url:
        outcome = await run(*limited, *COMMAND, url, "--clients", "100", "--connections=kept", "--json")
    assert outcome.report["visits"].keys() == outcomes
    assert outcome.report["unknown"] == 0


async def test_a_log_is_judged_as_the_run_was(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    ran = await checked(Skipped(50), "--requests=100", "--alone", "--json", "--log", log)
    again = await check("--judge", log, "--alone", "--json")
    assert ran.status == again.status == 1
    assert again.report == ran.report
    assert (await check("--judge", log)).status == 0


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
async def test_ctrl_c_and_a_deleted_job_judge_what_was_seen(number: Signals) -> None:
    async with serving(counter := Counter()) as url:
        process = await start(url, "--duration", "600", "--json")
        await counter.visited(100)
        process.send_signal(number)
        outcome = await result(process)
    assert outcome.status == 0
    assert outcome.report["visits"]["answered"] >= 80  # of over 100, up to 20 were under way
    assert one_line(outcome.errors)


async def test_a_terminal_shows_the_answers_and_losses_so_far() -> None:
    master, slave = pty.openpty()
    async with serving(Counter()) as url:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, url, "--requests", "2000", stdout=asyncio.subprocess.DEVNULL, stderr=slave
        )
        os.close(slave)
        shown = await asyncio.to_thread(read_terminal, master)
        assert await process.wait() == 0
    assert shown.endswith("2,000 answered, 0 lost\r\n")


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
    told = [(0, 7, "hello-a"), (2 * S, 7, "hello-b"), (4 * S, 5, "hello-b")]
    records = [recorded(at, at + S, number=number, pod=pod, epoch="e") for at, number, pod in told]
    log = tmp_path / "log"
    log.write_text("".join(map(line, [*records, recorded(0, 5 * S, Outcome.TIMEOUT)])))
    outcome = await check("--judge", str(log))
    assert outcome.status == 1
    assert (
        "BROKEN   1. Distinct: numbers given twice (1)\n"
        "       - 0.000000 to 1.000000 s: 7 by hello-a\n"
        "         2.000000 to 3.000000 s: 7 by hello-b\n"
    ) in outcome.output
    assert "BROKEN   4. In order: numbers out of order (1)" in outcome.output
    assert "missing  1, of which 0 not accounted for by failed requests" in outcome.output
    assert "up to as many skips could hide behind them" in outcome.output
    assert outcome.output.splitlines()[-1].startswith("Promise broken: ")


# ---- an exit status of 1 is a verdict, and nothing else


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
async def test_closed_standard_streams_change_no_verdict(closed: str) -> None:
    for server, status in (Counter(), 0), (Duplicate(50), 1):
        async with serving(server) as url:
            command = ("sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, url, "--requests=200")
            assert (await run(*command)).status == status
    command = ("sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "--judge", "/nowhere/log")
    assert (await run(*command)).status == 2


async def test_errors_that_nobody_hears_are_no_verdict() -> None:
    for arguments in ("ftp://example.org/",), ("--judge", "/nowhere/log"), ("http://host.invalid/",):
        outcome = await run("sh", "-c", 'exec "$@" 2>/dev/full', "sh", *COMMAND, *arguments)
        assert outcome.status == 2


async def test_a_system_without_resource_limits_will_do() -> None:
    windows = "import sys; sys.modules['resource'] = None; from hello.__main__ import main; main()"
    async with serving(Counter()) as url:
        outcome = await run(sys.executable, "-c", windows, "check", url, "--requests=50")
    assert outcome.status == 0, outcome


@pytest.mark.parametrize("text", ["[", 100_000 * '"sent":', 5_000 * "9", "\0", "\ud800"])
async def test_a_log_of_anything_is_told_apart_from_a_broken_promise(text: str, log: Path) -> None:
    await asyncio.to_thread(log.write_bytes, ANSWERED.encode() + text.encode("utf-8", "surrogatepass"))
    outcome = await check("--judge", str(log))
    assert outcome.status == 2
    assert one_line(outcome.errors)


async def test_a_fault_of_its_own_is_no_verdict(log: Path) -> None:
    faulty = (
        "import hello.check.command as c; c.Judge = lambda *a, **b: 1 // 0; from hello.__main__ import main; main()"
    )
    outcome = await run(sys.executable, "-c", faulty, "check", "--judge", log)
    assert outcome.status == 2
    assert one_line(outcome.errors)
    assert "a fault of its own" in outcome.errors
    assert "ZeroDivisionError" in outcome.errors


# ---- lost, and enough


@pytest.mark.parametrize(
    ("allowed", "status"), [("0", 1), ("4", 1), ("5", 0), ("0.4%", 1), ("0.5%", 0), ("100%", 0), ("0%", 1)]
)
async def test_what_may_be_lost_can_be_told(allowed: str, status: int) -> None:
    outcome = await checked(LosesOneIn200(), "--allow-lost", allowed)
    assert outcome.status == status
    assert ("more than the" if status else "within the") in outcome.output
    assert f"5 of 1,000 visits (0.5 %){'' if status else ', as allowed'}" in outcome.output.splitlines()[-1]


@pytest.mark.parametrize("allowed", ["-1", "101%", "nan%", "x", "", "%", "1.5"])
async def test_an_allowance_that_is_none_is_refused(allowed: str) -> None:
    outcome = await check("http://127.0.0.1/", "--allow-lost", allowed)
    assert outcome.status == 2
    assert "neither a number of visits nor a share" in outcome.errors


async def test_too_few_answers_are_no_verdict() -> None:
    enough = await checked(Counter(), "--requests=100", "--at-least=100")
    too_few = await checked(Counter(), "--requests=99", "--at-least=100")
    assert enough.status == 0
    assert too_few.status == 2
    assert too_few.output.splitlines()[-1] == "Too little seen: 99 answers, and 100 were asked for."


async def test_of_one_visit_no_more_is_claimed_than_it_shows() -> None:
    outcome = await checked(Counter(), "--requests=1")
    assert outcome.status == 0
    exact, lost, _, repeated, enough, last = outcome.output.splitlines()[-6:]
    assert [exact, lost, repeated, enough, last] == [
        "Exact?     Yes: each visitor got a number of its own, none forgotten, none skipped.",
        "Lost?      Nothing: the one visit got a number.",
        "Repeated?  Not known: others may have visited (tell with --alone).",
        "Enough?    Yes: 1 answer, too few to exclude any fault. Not seen: two visits at once, more than one pod.",
        "Promise kept: 1 visitor counted by 1 pod, none lost.",
    ]


async def test_what_was_not_read_at_the_end_is_not_said_to_be_remembered(log: Path) -> None:
    outcome = await check("--judge", str(log))
    assert "none forgotten" not in outcome.output
    assert "the count at the end" in outcome.output


async def until_visited(server: Hello) -> None:
    async def visited() -> bool:
        return int((await request(server.url, path="/count")).body) > 10

    await until(visited, "visits")


async def test_a_killed_server_has_lost_what_it_did_not_answer(hello: Callable[..., Hello]) -> None:
    server = await hello("--store", "memory:").start()
    process = await start(server.url, "--duration=3", "--json")
    await until_visited(server)
    await server.kill()
    outcome = await result(process)
    assert outcome.status == 1
    assert outcome.report["lost_by_kind"]["refused"] > 20
    assert outcome.report["silences"][-1]["after"] is None
    assert "Visits lost: " in outcome.report["summary"]


async def test_three_thousand_pods_of_a_day_are_read() -> None:
    class Old(Counter):
        def reading(self, number: int) -> bytes:
            pods = {f"hello-world-7d9c8b6f5d-{index:05}": 1 for index in range(5_000)}
            body = {"count": number, "epoch": self.epoch, "pods": pods}
            return http(200, json.dumps(body).encode(), Cache_Control="no-store")

    outcome = await checked(Old(), "--requests=20")
    assert outcome.status == 0, outcome


# ---- several URLs, several kinds of connection


async def test_several_urls_are_one_counter_and_each_has_its_share(hello: Callable[..., Hello], tmp_path: Path) -> None:
    pods = [await hello("--store", f"sqlite:{tmp_path}/db", "--pod", f"hello-{name}").start() for name in "abc"]
    # At a rate that all servers can bear, none is asked more often for being faster.
    outcome = await check(*(pod.url for pod in pods), "--requests=300", "--rate=100", "--alone", "--json")
    assert outcome.status == 0, outcome
    assert outcome.report["urls"].keys() == {pod.url for pod in pods}
    assert sum(share["answered"] for share in outcome.report["urls"].values()) == 300
    assert all(share["answered"] > 30 for share in outcome.report["urls"].values())
    assert outcome.report["connections"].keys() == {"fresh", "kept"}
    assert outcome.report["reads"]["answered"] >= 30 + 3 + 3, "one from each at the start and at the end"


async def test_a_url_that_loses_visits_is_named() -> None:
    counter = Counter()

    class Sharing(Counter):
        """Shares the other's count, and loses every other visit before it is counted."""

        def visit(self) -> bytes:
            self.visits += 1
            return counter.visit() if self.visits % 2 else SILENCE

        def read(self) -> bytes:
            return counter.read()

    async with serving(counter) as good, serving(Sharing()) as bad:
        outcome = await check(good, bad, "--duration=1", "--json")
    assert outcome.status == 1
    assert outcome.report["urls"][good]["lost"] == 0
    assert outcome.report["urls"][bad]["lost"] == outcome.report["lost"] > 0
    assert [line for line in outcome.report["details"] if re.fullmatch(rf"url      {bad}: .* lost", line)]


async def test_on_a_kept_connection_a_loss_is_that_of_the_pod_that_had_answered() -> None:
    outcome = await checked(LosesOneIn200(), "--connections=kept", "--json")
    assert outcome.report["pods"] == {"hello-a": {"made": 1000, "answered": 995, "lost": 5}}


# ---- --watch


async def watch_until(url: str, words: str, *options: str) -> Result:
    """Watch until a line has these words, then press Ctrl-C."""
    process = await start(url, "--watch", *options)
    assert process.stdout
    seen = b""
    async with asyncio.timeout(PATIENCE):
        while words not in seen.decode():
            line = await process.stdout.readline()
            assert line, seen
            seen += line
    process.send_signal(SIGINT)
    outcome = await result(process)
    return outcome._replace(output=seen.decode() + outcome.output)


async def test_a_watch_tells_of_each_loss_as_it_happens() -> None:
    async with serving(LosesOneIn200()) as url:
        outcome = await watch_until(url, "lost", "--connections=kept")
    first = outcome.output.splitlines()[0]
    clock = r"\d\d:\d\d:\d\d\.\d\d\d"
    assert re.fullmatch(
        rf"{clock}  lost     1 closed without an answer over a kept connection to {url}, on hello-a", first
    )
    assert outcome.status == 1
    assert outcome.output.splitlines()[-1].startswith("Visits lost: 1 of ")


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (Duplicate(50), "1. Distinct: numbers given twice (1): 50 by hello-a; 50 by hello-a"),
        (
            Wiped(55),
            "2. Durable: times the count started over (1): 55 by hello-a in 0123456789abcdef; 1 by hello-a in fed",
        ),
        (Frozen(50), "until hello-a did"),
    ],
)
async def test_a_watch_tells_of_each_broken_promise_and_each_silence(server: Counter, words: str) -> None:
    async with serving(server) as url:
        outcome = await watch_until(url, words, "--connections=kept", "--clients=1")
    assert outcome.status == 0 if isinstance(server, Frozen) else outcome.status in (1, 2)


async def test_a_watch_of_what_is_well_says_nothing_until_its_end() -> None:
    async with serving(counter := Counter()) as url:
        process = await start(url, "--watch")
        await counter.visited(60)
        process.send_signal(SIGINT)
        outcome = await result(process)
    assert outcome.status == 0
    assert outcome.output.startswith("visits ")
    assert "none forgotten" in outcome.output, "it was read after Ctrl-C"


async def test_a_watch_that_nobody_reads_ends() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    async with serving(Lossy()) as url:
        process = await asyncio.create_subprocess_exec(*COMMAND, url, "--watch", stdout=writing, stderr=PIPE)
        os.close(writing)
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (2, b"")


async def test_a_watch_says_how_it_goes_now_and_then() -> None:
    said: list[str] = []
    judge = fed(
        [recorded(0, 1, number=1, epoch="e"), recorded(2, 3, Outcome.RESET), recorded(4, 5, Outcome.INTERRUPTED)]
    )
    Watch(judge, said.append, EVERY).sum_up()
    assert re.fullmatch(r"\S+  so far   Visits lost: 1 of 2 visits .* were right\. Latency: p50 .* ms\.", said[0])


# ---- only what is proved to be the counter's own


async def test_answers_that_are_not_as_they_should_be_are_found() -> None:
    outcome = await checked(Careless(50), "--requests=100", "--connections=kept", "--json")
    assert outcome.status == 1
    assert outcome.kinds == {Kind.CONTRADICTION, Kind.CACHED, Kind.STORABLE, Kind.NO_NUMBER, Kind.NO_RETRY_AFTER}


class BehindProxy(Counter):
    """An honest counter behind a proxy that answers some visits itself and adds headers."""

    def visit(self) -> bytes:
        answer = super().visit()
        match self.visits % 4:
            case 0:
                return http(503, b"<html><h1>503 Service Unavailable</h1>No server is available.</html>")
            case 1:
                return http(200, b"<h1>Maintenance</h1>")
        return answer.replace(b"Cache-Control: no-store", b"Cache-Control: no-store\r\nCache-Control: private")


async def test_what_a_proxy_says_itself_breaks_no_promise_and_is_told() -> None:
    async with serving(BehindProxy()) as url:
        outcome = await check(url, "--requests=100", "--allow-lost=100%")
    assert outcome.status == 0
    assert ": 25 malformed, 25 unavailable (503)." in outcome.output
    assert f"to {url}: 503 Service Unavailable No server is available., sent at " in outcome.output


async def test_an_age_of_thousands_of_digits_is_above_0() -> None:
    class Aged(Counter):
        def greeting(self, number: int, **headers: str) -> bytes:
            return super().greeting(number, Age="9" * 5_000, **headers)

    outcome = await checked(Aged(), "--requests=20", "--json")
    assert outcome.status == 1
    assert outcome.kinds == {Kind.CACHED}


async def test_a_run_that_nobody_answers_ends_early() -> None:
    class Away(Counter):
        def visit(self) -> bytes:
            return SILENCE

    outcome = await checked(Away(), "--duration=600", "--rate=20", "--timeout=1")
    assert outcome.status == 2
    assert one_line(outcome.errors)
    assert "ended early" in outcome.errors
