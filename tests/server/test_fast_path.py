"""The fast path answers as the other one does."""

import asyncio
import gc
import re
import socket
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hello.counting.counter import Counter
from hello.counting.queue import RefusedError, Visit
from hello.metrics import Metrics
from hello.server import loop_factory
from hello.stores import Store
from hello.stores.memory import MemoryStore
from hello.web.port import Port
from tests.server.gate import Gate
from tests.server.ports import listening, port_over
from tests.support.client import Connect, Connection, request
from tests.support.processes import PATIENCE, until

HTML, JSON = "text/html", "application/json"


HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
PIECES = [
    HEAD + b"\r\n",
    HEAD + b"Accept: text/html\r\n\r\n",
    HEAD + b"accept: application/json\r\nX:\t odd \t\r\n\r\n",
    HEAD + b"Accept: */*;q=0.1\r\nAccept: application/json\r\nContent-Length: 0\r\n\r\n",
    HEAD + b"Accept: \xff\xfe\r\nCookie: a=b\r\n\r\n",
    b"\r\n\r\n" + HEAD + b"Connection: keep-alive\r\nTE: trailers\r\n\r\n",
    HEAD + b"Connection: close\r\n\r\n",
    HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    HEAD + b"Upgrade: h2c\r\n\r\n",
    HEAD + b"Expect: 100-continue\r\n\r\n",
    HEAD + b"Sec-Purpose: prefetch;prerender\r\n\r\n",
    HEAD + b"Sec-Purpose: other\r\n\r\n",
    HEAD + b"Hello-Connection: close\r\n\r\n",
    HEAD + b"Hello-Connection: open\r\n\r\n",
    HEAD + b"Content-Length: 5\r\n\r\nhello",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    HEAD + b"Host: b\r\n\r\n",
    HEAD + b"X: folded\r\n here\r\n\r\n",
    HEAD + b"X" * 20_000,
    HEAD + b"no colon\r\n\r\n",
    HEAD.replace(b"\r\n", b"\n") + b"\n",
    HEAD + b"\n",
    HEAD + b"X: \x00\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    b"GET /?a=b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /# HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET // HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\nabc",
    b"PRI * HTTP/2.0\r\n\r\n",
    b"SM\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
    b"\r\n",
]

TEXTS = st.lists(st.one_of(st.just(PIECES[0]), st.sampled_from(PIECES)), min_size=1, max_size=4).map(b"".join)


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """A client's input, in pieces."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.sets(st.integers(1, len(text)), max_size=4)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True) if start < end]


class Client(asyncio.Protocol):
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.received = b""
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, _: Exception | None) -> None:
        self.ended.set()


async def answers(port: Port, pieces: Sequence[bytes]) -> bytes:
    """The answers to some pieces, and to a last request, which shows the state of the connection."""
    async with listening(port) as url:
        host, _, number = url.removeprefix("http://").partition(":")
        transport, client = await asyncio.get_running_loop().create_connection(Client, host, int(number))
        for piece in [*pieces, b"GET /healthz HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n"]:
            if not transport.is_closing():
                transport.write(piece)
                await asyncio.sleep(0.001)
                await asyncio.sleep(0)  # a timer that is due comes before what has arrived

        async def is_over() -> bool:
            """The server has closed, or waits for the client."""
            waiting = {*port.connections.resting, *port.connections.reading, *port.connections.lingering}
            return client.ended.is_set() or waiting.issuperset(port.connections)

        await until(is_over, "all is answered")
        if not transport.is_closing():
            transport.write_eof()
        await asyncio.wait_for(client.ended.wait(), PATIENCE)
    return re.sub(rb"Date: [^\r]*", b"Date: now", re.sub(rb"\b1\d{6}\b", b"NUMBER", client.received))


def test_with_and_without_the_fast_path_any_input_gets_the_same_bytes() -> None:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:

        @settings(max_examples=80, database=None)
        @given(conversations())
        def alike(pieces: list[bytes]) -> None:
            runner.run(compare(pieces))

        for piece in PIECES:
            runner.run(compare([piece]))
        alike()


async def compare(pieces: list[bytes]) -> None:
    """Have the same conversation with both servers, over one counter."""
    store = MemoryStore()
    await store.reset("epoch", 1_000_000)  # so that all numbers have as many digits
    metrics = Metrics()
    seen = []
    async with Counter(store, "pod-%d<&>", metrics, deadline=10).running() as counter:
        for is_fast in True, False:
            before = counted(metrics)
            text = await answers(port_over(counter, is_fast=is_fast, version="1.2"), pieces)
            seen.append((text, counted(metrics) - before))
            assert text.count(b"Hello-Count: ") == counted(metrics) - before
    assert seen[0] == seen[1], pieces


def counted(metrics: Metrics) -> int:
    """The visitors counted, by the metrics."""
    return figure(metrics, "hello_visitors_total")


def figure(metrics: Metrics, name: str) -> int:
    found = re.search(rf"^{re.escape(name)} (\S+)$", metrics.text().decode(), re.MULTILINE)
    return int(float(found[1])) if found else 0


def counter_over(store: Store, metrics: Metrics, deadline: float = 10, queue_limit: int = 10) -> Counter:
    return Counter(store, "pod-%d<&>", metrics, deadline, queue_limit)


@pytest.mark.usefixtures("both_paths")
async def test_only_visitors_who_stay_get_the_answers(connect: Connect) -> None:
    store, metrics = Gate(), Metrics()
    async with counter_over(store, metrics).running() as counter, listening(port_over(counter)) as url:
        assert (await request(url)).status == 200
        store.open.clear()
        connections = [await connect(url) for _ in range(6)]
        for connection in connections[:3]:
            connection.send()
        await until(lambda: has_batches(store, 2), "three are in flight")
        for connection in connections[3:]:
            connection.send()
        await asyncio.sleep(0.05)
        for connection in (connections[0], connections[3]):
            own = connection.writer.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # gone, not half-closed
            connection.writer.transport.abort()
        await asyncio.sleep(0.05)
        store.open.set()

        stayed = [await connections[index].receive() for index in (1, 2, 4, 5)]
    assert [int(response.headers["hello-count"]) for response in stayed] == [3, 4, 5, 6]
    assert counted(metrics) == 6
    assert figure(metrics, "hello_abandoned_numbers_total") == 1


@pytest.mark.parametrize("refused", [False, True])
async def test_an_outcome_for_a_connection_that_was_just_lost_goes_to_nobody(
    connect: Connect, caplog: pytest.LogCaptureFixture, refused: bool
) -> None:
    store = Gate()
    async with counter_over(store, Metrics()).running() as counter:
        port = port_over(counter)
        async with listening(port) as url:
            assert (await request(url)).status == 200
            store.open.clear()
            (await connect(url)).send()
            await until(lambda: has_batches(store, 2), "it is in flight")
            (transport,) = port.connections
            protocol: Any = transport.get_protocol()
            if refused:
                protocol.visit.set_exception(RefusedError("unavailable", "away"))
            transport.abort()
            if not refused:
                protocol.visit.set_result(Visit(2, "epoch"))
            del protocol
            await asyncio.sleep(0.01)
            store.open.set()
        assert not any(port.connections.resting)
    gc.collect()
    assert "never retrieved" not in caplog.text


async def has_batches(store: Gate, number: int) -> bool:
    """Whether so many batches with visitors were sent."""
    return sum(batch.n > 0 for batch in store.batches) >= number


@pytest.mark.usefixtures("both_paths")
@pytest.mark.parametrize("reason", ["unavailable", "busy", "distrusted", "leaving"])
@pytest.mark.parametrize("accept", ["*/*", HTML, JSON])
async def test_a_refusal_is_the_same_on_both_paths(reason: str, accept: str) -> None:
    store, metrics = Gate(), Metrics()
    limit, deadline = (2 if reason == "busy" else 10), (0.3 if reason == "unavailable" else 10)
    async with counter_over(store, metrics, deadline, limit).running() as counter, listening(port_over(counter)) as url:
        assert (await request(url)).status == 200
        if reason == "distrusted":
            restore = store.copy()
            await request(url)
            restore()
        before = counted(metrics)
        if reason in ("unavailable", "busy"):
            store.open.clear()
        waiting = [asyncio.create_task(request(url)) for _ in range(2 if reason == "busy" else 0)]
        if waiting:
            await until(lambda: has_batches(store, 2), "the queue is full")
            await asyncio.sleep(0.05)
        if reason == "leaving":
            counter.leaving.at_once()
        refused = [await request(url, Accept=accept) for _ in range(2)]
        store.open.set()
        answered = await asyncio.gather(*waiting)

    for response in refused:
        assert response.status == 503
        assert list(response.headers)[:5] == ["content-type", "cache-control", "retry-after", "hello-pod"] + (
            ["content-security-policy"] if accept == HTML else ["content-length"]
        )
        assert ("<!doctype html>" in response.body) == (accept == HTML)
    assert [response.status for response in answered] == [200] * len(answered)
    assert figure(metrics, f'hello_refused_total{{reason="{reason}"}}') == 2
    abandoned = figure(metrics, "hello_abandoned_numbers_total")
    assert counted(metrics) == before + len(answered) + abandoned


@pytest.mark.usefixtures("both_paths")
@pytest.mark.parametrize("accept", ["*/*", HTML, JSON])
async def test_the_first_answer_in_a_new_epoch_names_it(accept: str) -> None:
    store = MemoryStore()
    async with counter_over(store, Metrics()).running() as counter, listening(port_over(counter)) as url:
        with await Connection.open(url) as connection:
            seen = []
            for to in (99, 9_998, 0):
                for _ in range(2):
                    connection.send(Accept=accept)
                    response = await connection.receive()
                    assert response.status == 200
                    assert response.headers["hello-count"] in response.body
                    seen.append((response.headers["hello-count"], response.headers["hello-epoch"]))
                await store.reset(f"{to:08}", to)
    assert [number for number, _ in seen] == ["1", "2", "100", "101", "9999", "10000"]
    assert len({epoch for _, epoch in seen}) == 3
