"""A client sends each request once, whatever happens to its connection, and records what became of it."""

import asyncio
import socket
import ssl
import struct
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hello.check.history import Outcome, Record
from hello.check.visiting.client import Client
from hello.check.visiting.load import BOTH, FRESH, KEPT, CheckError, Load, Plan
from hello.check.visiting.site import Site
from hello.check.visiting.under_way import UnderWay
from tests.check.servers import Counter, http
from tests.support.processes import PATIENCE

BEHAVIOURS: dict[str, tuple[Outcome, Callable[[bytes], bytes]]] = {
    "answer": (Outcome.ANSWERED, lambda answer: answer),
    "answer until the end": (Outcome.ANSWERED, lambda answer: answer.replace(b"Content-Length", b"X-Length")),
    "answer twice": (Outcome.ANSWERED, lambda answer: answer * 2),
    "continue": (Outcome.ANSWERED, lambda answer: b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer),
    "close": (Outcome.CLOSED, lambda answer: b""),
    "close in the headers": (Outcome.CLOSED, lambda answer: answer[:40]),
    "close in the body": (Outcome.CLOSED, lambda answer: answer[:-1]),
    "reset": (Outcome.RESET, lambda answer: b""),
    "reset in the body": (Outcome.RESET, lambda answer: answer[:-1]),
    "noise": (Outcome.MALFORMED, lambda answer: b"SSH-2.0-OpenSSH\r\n\r\n"),
    "greeting without number": (Outcome.MALFORMED, lambda answer: http(200, b"Hello, world!")),
    "endless body": (Outcome.MALFORMED, lambda answer: b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100_000)),
    "busy": (Outcome.UNAVAILABLE, lambda answer: http(503, b"", Retry_After="0")),
    "error": (Outcome.STATUS, lambda answer: http(500, b"")),
    "silence": (Outcome.TIMEOUT, lambda answer: b""),
}
UNHARMED = ("answer", "continue", "busy", "error", "greeting without number")


class Cutter:
    """A counter that misbehaves after it has received a request; `behaviour` says how."""

    def __init__(self, behaviour: Callable[[], str]) -> None:
        self.behaviour = behaviour
        self.counter = Counter()
        self.received: list[bytes] = []
        self.open = self.opened = self.most_open = 0
        self.errors: list[Exception] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.opened += 1
        self.most_open = max(self.open, self.most_open)
        try:
            while await self.serve(reader, writer):
                pass
        except asyncio.IncompleteReadError:
            pass
        except ConnectionError as error:
            self.errors.append(error)
        finally:
            self.open -= 1
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        self.received.append(head)
        behaviour = self.behaviour()
        answer = self.counter.read() if head.startswith(b"GET /count") else self.counter.visit()
        _, change = BEHAVIOURS.get(behaviour, BEHAVIOURS["answer"])
        writer.write(change(answer))
        if behaviour.startswith("reset"):
            await writer.drain()
            reset(writer)
        if behaviour in ("silence", "endless body"):
            await reader.read()
        return behaviour in UNHARMED and b"Connection: close" not in head


def reset(writer: asyncio.StreamWriter) -> None:
    """Close the connection with a TCP reset, as a dying machine does."""
    peer: socket.socket = writer.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def serving(cutter: Cutter, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    server = await asyncio.start_server(cutter.handle, host, 0, ssl=tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        yield Site.parse(f"{'https' if tls else 'http'}://{name}:{port}")


def keeper(records: list[Record]) -> UnderWay:
    return UnderWay(lambda record, *_: records.append(record))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def run(site: Site, requests: int | None, records: list[Record] | None = None, **options: Any) -> list[Record]:
    """Run a load, by default with four clients and fresh connections; standstills of a slow machine are left out."""
    told = [] if records is None else records

    def keep(record: Record, *_: int) -> None:
        if record.outcome is not Outcome.STOOD_STILL:
            told.append(record)

    plan: dict[str, Any] = {"room": 4, "connections": FRESH, "timeout": 5.0} | options
    await Load([site], Plan(requests, **plan), keep).run()
    return told


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
async def test_each_way_to_fail_has_its_name(behaviour: str, keep_alive: bool) -> None:
    cutter, records = Cutter(lambda: behaviour), list[Record]()
    async with serving(cutter) as site:
        timeout = 2.0 if behaviour == "silence" else 5.0
        client = Client(site, await site.resolve(), keeper(records), keep_alive=keep_alive, timeout=timeout)
        await client.visit()
        await client.visit()
        await client.close()
    assert [record.outcome for record in records] == [BEHAVIOURS[behaviour][0]] * 2
    assert len(cutter.received) == 2


async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_one() -> None:
    async with serving(Cutter(lambda: "answer twice")) as site:
        records = await run(site, 50, connections=KEPT)
    assert sorted(record.number or 0 for record in records if not record.read) == list(range(1, 51))


def now_and_then(bad: list[str], share: float) -> Callable[[], str]:
    """Behave well at first, then badly in a share of cases."""

    def behaviours() -> Iterator[str]:
        random = Random(3)
        yield "answer"
        while True:
            yield random.choice(bad) if random.random() < share else "answer"

    return behaviours().__next__


@pytest.mark.parametrize("connections", [FRESH, KEPT])
async def test_requests_sent_are_requests_received_though_connections_are_cut(connections: Sequence[bool]) -> None:
    cutter = Cutter(now_and_then(sorted(set(BEHAVIOURS) - {"silence"}), 0.2))
    async with serving(cutter) as site:
        records = await run(site, 1000, room=30, connections=connections)
    assert len(cutter.received) == len(records)
    assert Tally(b"/count" in head for head in cutter.received) == Tally(record.read for record in records)
    assert sum(record.outcome is not Outcome.ANSWERED for record in records) > 100


async def test_a_kept_connection_closed_behind_an_answer_costs_no_second_request() -> None:
    cutter = Cutter(now_and_then(["answer and close"], 0.3))
    async with serving(cutter) as site:
        records = await run(site, 500, room=10, connections=KEPT)
    assert {record.outcome for record in records} <= {Outcome.ANSWERED, Outcome.CLOSED, Outcome.RESET}
    assert sum(record.outcome is Outcome.ANSWERED for record in records) <= len(cutter.received) <= len(records)


@pytest.mark.parametrize(("connections", "kept"), [(FRESH, 0), (KEPT, 5)])
async def test_every_connection_is_closed_in_the_end(connections: Sequence[bool], kept: int) -> None:
    cutter = Cutter(lambda: "answer")
    async with serving(cutter) as site:
        records = await run(site, 100, room=5, connections=connections)
        fresh = sum(not record.labels.kept for record in records)
        assert cutter.opened == fresh + kept
        await until(lambda: cutter.open == 0)
    assert not cutter.errors


async def test_requests_under_way_when_the_run_is_stopped_are_kept_as_interrupted() -> None:
    cutter, records = Cutter(now_and_then(["silence"], 1)), list[Record]()
    async with serving(cutter) as site:
        task = asyncio.create_task(run(site, 100, records, room=3))
        await until(lambda: len(cutter.received) == 4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [record.outcome for record in records] == [Outcome.ANSWERED] + [Outcome.INTERRUPTED] * 3


async def test_an_open_loop_visits_on_time_whatever_is_under_way() -> None:
    cutter = Cutter(now_and_then(["silence"], 1))
    async with serving(cutter) as site:
        records = await run(site, None, duration=0.5, rate=100, room=None, timeout=2)
    visits = [record for record in records if not record.read]
    assert Tally(record.outcome for record in visits) == {Outcome.TIMEOUT: 50}
    assert cutter.most_open >= 50
    dues = [record.due for record in visits if record.due]
    assert [later - earlier for earlier, later in pairwise(sorted(dues))] == [10**7] * 49


async def test_what_finds_no_room_in_an_open_loop_was_due_and_is_not_made() -> None:
    cutter = Cutter(now_and_then(["silence"], 1))
    async with serving(cutter) as site:
        records = await run(site, None, duration=0.5, rate=100, room=3, timeout=2)
    visits = [record for record in records if not record.read]
    assert Tally(record.outcome for record in visits) == {Outcome.TIMEOUT: 3, Outcome.NOT_MADE: 47}
    assert len(cutter.received) == 3 + len(records) - len(visits)


async def test_an_open_loop_takes_turns_between_fresh_connections_and_a_few_kept_ones() -> None:
    cutter, records = Cutter(lambda: "answer"), list[Record]()

    def found_one_open() -> int:
        """The least number of visits over kept connections that did."""
        return sum(not (record.read and record.labels.kept) for record in records) - cutter.opened

    async with serving(cutter) as site:
        visits = asyncio.create_task(run(site, None, records, rate=100, room=None, connections=BOTH))
        await until(lambda: found_one_open() > 25)
        visits.cancel()
        await asyncio.wait([visits])
    in_turn = sorted((record for record in records if record.due), key=lambda record: record.due or 0)
    assert all(earlier.labels.kept != later.labels.kept for earlier, later in pairwise(in_turn))


async def test_a_path_is_kept_and_count_is_beneath_it() -> None:
    cutter = Cutter(lambda: "answer")
    async with serving(cutter) as site:
        await run(replace(site, path="/hello/"), 1)
    assert [head.split()[1] for head in cutter.received] == [b"/hello/count", b"/hello/", b"/hello/count"]
    assert Site.parse("http://example.org/hello").path == Site.parse("http://example.org/hello/").path == "/hello/"


async def test_ipv6_is_spoken() -> None:
    cutter = Cutter(lambda: "answer")
    async with serving(cutter, "::1") as site:
        assert (await run(site, 1))[1].number == 1
    assert b"Host: [::1]:" in cutter.received[0]


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """The context of a server with this certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def test_https_is_spoken(certificate: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with serving(Cutter(lambda: "answer"), tls=tls) as site:
        records = await run(site, 20, connections=BOTH)
    assert {record.outcome for record in records} == {Outcome.ANSWERED}


async def test_a_final_dot_is_no_part_of_the_name_in_a_certificate(
    certificate: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with serving(Cutter(lambda: "answer"), tls=tls) as site:
        dotted = replace(site, host=f"{site.host}.")
        client = Client(dotted, await site.resolve(), keeper([]), keep_alive=False, timeout=5)
        assert (await client.visit()).outcome is Outcome.ANSWERED


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tls: ssl.SSLContext) -> None:
    async with serving(Cutter(lambda: "answer"), tls=tls) as site:
        with pytest.raises(CheckError, match="certificate verify failed"):
            await run(site, 1)


async def test_an_address_that_swallows_everything_costs_no_visit() -> None:
    cutter, records = Cutter(lambda: "answer"), list[Record]()
    async with serving(cutter) as site:
        with swallowing(site.port) as swallowed:
            addresses = [
                (*address[:4], (host, site.port)) for host in (swallowed, site.host) for address in await site.resolve()
            ]
            client = Client(site, addresses, keeper(records), keep_alive=False, timeout=5)
            await client.visit()
            await client.read()
    assert [record.outcome for record in records] == [Outcome.ANSWERED] * 2
    assert len(cutter.received) == 2


@contextmanager
def swallowing(port: int) -> Iterator[str]:
    """An address of this machine whose port neither accepts nor refuses connections, since its backlog is full."""
    host = "127.0.0.2"
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect((host, port))
        yield host


@pytest.mark.parametrize("hosts", [("127.0.0.1",), ("127.0.0.1", "127.0.0.2")])
async def test_a_name_all_of_whose_addresses_refuse_is_refused(hosts: Sequence[str]) -> None:
    async with serving(Cutter(lambda: "answer")) as site:
        pass
    addresses = [(*address[:4], (host, site.port)) for host in hosts for address in await site.resolve()]
    client = Client(site, addresses, keeper([]), keep_alive=False, timeout=5)
    assert (await client.visit()).outcome is Outcome.REFUSED
