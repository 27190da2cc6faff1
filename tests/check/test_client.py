"""Whatever happens to its connections, a client sends each request once, and says what became of it."""

import asyncio
import socket
import ssl
import struct
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from hello.check.history import Labels, Outcome, Record
from hello.check.visiting.client import Client
from hello.check.visiting.load import BOTH, FRESH, KEPT, CheckError, Load, Plan
from hello.check.visiting.site import Site
from hello.check.visiting.under_way import UnderWay
from tests.check.servers import Counter, http
from tests.support.processes import PATIENCE

EXPECTED = {
    "answer": Outcome.ANSWERED,
    "answer until the end": Outcome.ANSWERED,
    "answer twice": Outcome.ANSWERED,
    "continue": Outcome.ANSWERED,
    "close": Outcome.CLOSED,
    "close in the headers": Outcome.CLOSED,
    "close in the body": Outcome.CLOSED,
    "reset": Outcome.RESET,
    "reset in the body": Outcome.RESET,
    "noise": Outcome.MALFORMED,
    "greeting without number": Outcome.MALFORMED,
    "endless body": Outcome.MALFORMED,
    "busy": Outcome.UNAVAILABLE,
    "error": Outcome.STATUS,
    "silence": Outcome.TIMEOUT,
}
UNHARMED = ("answer", "continue", "busy", "error", "greeting without number")


class Cutter:
    """A counter that cuts connections, each time after it has received a request; `behaviour` says how."""

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
        for part in self.parts(behaviour, answer):
            writer.write(part)
        if behaviour.startswith("reset"):
            await writer.drain()
            reset(writer)
        if behaviour in ("silence", "endless body"):
            await reader.read()
        return behaviour in UNHARMED and b"Connection: close" not in head

    def parts(self, behaviour: str, answer: bytes) -> list[bytes]:
        return {
            "answer": [answer],
            "answer and close": [answer],
            "answer twice": [answer * 2],
            "answer until the end": [answer.replace(b"Content-Length", b"X-Length")],
            "continue": [b"HTTP/1.1 103 Early Hints\r\n\r\n", answer],
            "close in the headers": [answer[:40]],
            "close in the body": [answer[:-1]],
            "reset in the body": [answer[:-1]],
            "noise": [b"SSH-2.0-OpenSSH\r\n\r\n"],
            "greeting without number": [http(200, b"Hello, world!")],
            "endless body": [b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100_000)],
            "busy": [http(503, b"", Retry_After="0")],
            "error": [http(500, b"")],
        }.get(behaviour, [])


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


def plan(
    requests: int | None = 100,
    duration: float | None = None,
    rate: float | None = None,
    clients: int = 4,
    keep_alive: bool = False,
) -> Plan:
    return Plan(
        requests, duration, rate, None if rate else clients, connections=KEPT if keep_alive else FRESH, timeout=5.0
    )


def keeper(records: list[Record]) -> UnderWay:
    return UnderWay(lambda record, *_: records.append(record))


def load(site: Site, how: Plan, records: list[Record]) -> Load:
    """A load whose requests are recorded; that a slow machine stood still is none."""

    def keep(record: Record, *_: int) -> None:
        if record.outcome is not Outcome.STOOD_STILL:
            records.append(record)

    return Load([site], how, keep)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def run(site: Site, how: Plan) -> list[Record]:
    records: list[Record] = []
    await load(site, how, records).run()
    return records


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("behaviour", EXPECTED)
async def test_each_way_to_fail_has_its_name(behaviour: str, keep_alive: bool) -> None:
    cutter, records = Cutter(lambda: behaviour), list[Record]()
    async with serving(cutter) as site:
        timeout = 2.0 if behaviour == "silence" else 5.0
        client = Client(site, await site.resolve(), keeper(records), keep_alive=keep_alive, timeout=timeout)
        await client.visit()
        await client.visit()
        await client.close()
    assert [record.outcome for record in records] == [EXPECTED[behaviour]] * 2
    assert len(cutter.received) == 2


async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_one() -> None:
    async with serving(Cutter(lambda: "answer twice")) as site:
        records = await run(site, plan(50, keep_alive=True))
    assert sorted(record.number or 0 for record in records if not record.read) == list(range(1, 51))


async def test_a_connection_that_nobody_takes_is_refused() -> None:
    async with serving(Cutter(lambda: "answer")) as site:
        pass
    client = Client(site, await site.resolve(), keeper([]), keep_alive=False, timeout=5)
    assert (await client.visit()).outcome is Outcome.REFUSED


def now_and_then(bad: list[str], share: float) -> Callable[[], str]:
    """Behave well at first, then badly in a share of the cases."""

    def behaviours() -> Iterator[str]:
        random = Random(3)
        yield "answer"
        while True:
            yield random.choice(bad) if random.random() < share else "answer"

    return behaviours().__next__


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_requests_sent_are_requests_received_though_connections_are_cut(keep_alive: bool) -> None:
    cutter = Cutter(now_and_then(sorted(set(EXPECTED) - {"silence"}), 0.2))
    async with serving(cutter) as site:
        records = await run(site, plan(1000, clients=30, keep_alive=keep_alive))
    assert len(cutter.received) == len(records)
    assert Tally(b"/count" in head for head in cutter.received) == Tally(record.read for record in records)
    assert sum(record.outcome is not Outcome.ANSWERED for record in records) > 100


async def test_a_kept_connection_closed_behind_an_answer_costs_no_second_request() -> None:
    cutter = Cutter(now_and_then(["answer and close"], 0.3))
    async with serving(cutter) as site:
        records = await run(site, plan(500, clients=10, keep_alive=True))
    assert {record.outcome for record in records} <= {Outcome.ANSWERED, Outcome.CLOSED, Outcome.RESET}
    assert sum(record.outcome is Outcome.ANSWERED for record in records) <= len(cutter.received) <= len(records)


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_every_connection_is_closed_in_the_end(keep_alive: bool) -> None:
    cutter = Cutter(lambda: "answer")
    async with serving(cutter) as site:
        records = await run(site, plan(100, clients=5, keep_alive=keep_alive))
        fresh = sum(not record.labels.kept for record in records)
        assert cutter.opened == fresh + (5 if keep_alive else 0)
        await until(lambda: cutter.open == 0)
    assert not cutter.errors


async def test_requests_under_way_when_the_run_is_stopped_are_kept_as_interrupted() -> None:
    cutter, records = Cutter(now_and_then(["silence"], 1)), list[Record]()
    async with serving(cutter) as site:
        task = asyncio.create_task(load(site, plan(clients=3), records).run())
        await until(lambda: len(cutter.received) == 4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [record.outcome for record in records] == [Outcome.ANSWERED] + [Outcome.INTERRUPTED] * 3


async def test_an_open_loop_visits_on_time_whatever_is_under_way() -> None:
    cutter, records = Cutter(now_and_then(["silence"], 1)), list[Record]()
    async with serving(cutter) as site:
        await load(site, replace(plan(None, duration=0.5, rate=100), timeout=2), records).run()
    visits = [record for record in records if not record.read]
    assert Tally(record.outcome for record in visits) == {Outcome.TIMEOUT: 50}
    assert cutter.most_open >= 50
    dues = [record.due for record in visits if record.due]
    assert [later - earlier for earlier, later in pairwise(sorted(dues))] == [10**7] * 49


async def test_what_finds_no_room_in_an_open_loop_was_due_and_is_not_made() -> None:
    cutter, records = Cutter(now_and_then(["silence"], 1)), list[Record]()
    async with serving(cutter) as site:
        await load(site, replace(plan(None, duration=0.5, rate=100), room=3, timeout=2), records).run()
    visits = [record for record in records if not record.read]
    assert Tally(record.outcome for record in visits) == {Outcome.TIMEOUT: 3, Outcome.NOT_MADE: 47}
    assert len(cutter.received) == 3 + len(records) - len(visits)


async def test_an_open_loop_takes_turns_between_fresh_connections_and_a_few_kept_ones() -> None:
    cutter, records = Cutter(lambda: "answer"), list[Record]()
    async with serving(cutter) as site:
        await load(site, replace(plan(100, rate=100), connections=BOTH), records).run()
    kept = Tally(record.labels.kept for record in records if not record.read)
    assert kept == {False: 50, True: 50}
    fresh = sum(not record.labels.kept for record in records)
    assert cutter.opened - fresh < 25, "most of the visits over kept connections found one open"


async def test_a_path_is_kept_and_count_is_beneath_it() -> None:
    cutter = Cutter(lambda: "answer")
    async with serving(cutter) as site:
        await run(replace(site, path="/hello/"), plan(1))
    assert [head.split()[1] for head in cutter.received] == [b"/hello/count", b"/hello/", b"/hello/count"]
    assert Site.parse("http://example.org/hello").path == Site.parse("http://example.org/hello/").path == "/hello/"


async def test_ipv6_is_spoken() -> None:
    cutter = Cutter(lambda: "answer")
    async with serving(cutter, "::1") as site:
        assert (await run(site, plan(1)))[1].number == 1
    assert b"Host: [::1]:" in cutter.received[0]


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_https_is_spoken(certificate: Path, keep_alive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with serving(Cutter(lambda: "answer"), tls=tls) as site:
        records = await run(site, plan(20, keep_alive=keep_alive))
    assert {record.outcome for record in records} == {Outcome.ANSWERED}


async def test_a_final_dot_is_no_part_of_the_name_in_a_certificate(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with serving(Cutter(lambda: "answer"), tls=tls) as site:
        dotted = replace(site, host=f"{site.host}.")
        client = Client(dotted, await site.resolve(), keeper([]), keep_alive=False, timeout=5)
        assert (await client.visit()).outcome is Outcome.ANSWERED


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(certificate: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with serving(Cutter(lambda: "answer"), tls=tls) as site:
        with pytest.raises(CheckError, match="certificate verify failed"):
            await run(site, plan(1))


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
    assert {record.labels.address for record in records} == {site.host}
    assert len(cutter.received) == 2


@contextmanager
def swallowing(port: int) -> Iterator[str]:
    """An address of this machine whose port takes no connection and refuses none: its queue is full."""
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


async def test_a_name_all_of_whose_addresses_refuse_is_refused() -> None:
    async with serving(Cutter(lambda: "answer")) as site:
        pass
    addresses = [
        (*address[:4], (host, site.port)) for host in ("127.0.0.1", "127.0.0.2") for address in await site.resolve()
    ]
    client = Client(site, addresses, keeper([]), keep_alive=False, timeout=5)
    assert (await client.visit()).outcome is Outcome.REFUSED


def test_of_the_pods_of_a_year_only_the_latest_are_kept() -> None:
    under_way = keeper([])
    for number in range(10_000):
        request, at = under_way.begin(number, number, read=False), number * 10**10
        labels = Labels(Outcome.ANSWERED, pod=f"hello-{number}", epoch="e")
        under_way.end(request, Record(at, at, labels, number + 1))
    assert under_way.pods == {f"hello-{number}" for number in range(9_993, 10_000)}
