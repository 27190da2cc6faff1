"""Limits on what strangers may cost, over the wire."""

import asyncio
import json
import resource
import select
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from itertools import chain
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals
from urllib.parse import urlsplit
from zlib import compress

import pytest
from aiohttp.web import BaseRequest, Response

from hello import limits
from hello.counting.counter import Counter
from hello.limits import BASE, HELD_BYTES, MEMORY, Limits
from hello.metrics import Metrics
from hello.stores.memory import MemoryStore
from hello.web import connections
from hello.web.connections import BODY_SIZE, HEADER_FIELDS, HEADER_SIZE, KEEPALIVE_TIMEOUT
from hello.web.greeting import Greetings
from hello.web.listening import close, listen
from hello.web.page import Greeter
from hello.web.port import Port
from hello.web.visits import Visits
from tests.page.stream import watch
from tests.server.ports import listening
from tests.support.client import Connect, Connection, figure, request
from tests.support.processes import PATIENCE, Hello, MakeHello, free_port, until

HEAD = b"GET / HTTP/1.1\r\nHost: hello\r\n"
GET = HEAD + b"\r\n"
LONG = b"GET /long HTTP/1.1\r\nHost: hello\r\n\r\n"
PAGE = HEAD + b"Accept: text/html\r\n\r\n"


def fields(number: int, size: int) -> bytes:
    """`number` fields of a header, of `size` bytes together."""
    return b"".join(b"X-%02d: %s\r\n" % (i, b"a" * (size // number - 8)) for i in range(number))


async def statuses(url: str, *pieces: bytes) -> list[int]:
    """Send bytes piece by piece, and receive answers until the server closes."""
    received = []
    with await Connection.open(url) as connection, suppress(ConnectionError, EOFError):
        async with asyncio.timeout(PATIENCE):
            for piece in pieces:
                connection.writer.write(piece)
                await asyncio.sleep(0.05)
            while True:
                received.append((await connection.receive()).status)
    return received


LAST = b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("pieces", "answers"),
    [
        ([LAST + fields(10, HEADER_SIZE - 100) + b"\r\n"], [200]),
        ([LAST, fields(5, 8000), fields(5, 8000), b"\r\n"], [200]),
        ([GET, GET, LAST + fields(10, HEADER_SIZE - 100) + b"\r\n"], [200, 200, 200]),
        ([(LAST + b"\r\n")[:-3], b"\n\r", b"\n"], [200]),
        ([b"\r\n\r\n" + LAST + b"\r\n"], [200]),
        ([LAST + fields(HEADER_FIELDS - 2, 2000) + b"\r\n"], [200]),
        ([GET * 100 + LAST + b"\r\n"], [200] * 101),
        ([(HEAD + b"Content-Length: 3\r\n\r\nabc") * 20 + GET * 10 + LAST + b"\r\n"], [200] * 31),
        ([GET * 5 + HEAD, b"\r", b"\n" + GET * 5 + LAST, b"\r\n"], [200] * 12),
        ([LAST + fields(10, HEADER_SIZE) + b"\r\n"], [431]),
        ([LAST + fields(10, HEADER_SIZE)], [431]),
        ([LAST, fields(5, 10_000), fields(5, 10_000)], [431]),
        ([GET, GET, LAST + fields(10, HEADER_SIZE)], [200, 200, 431]),
        ([HEAD + b"Content-Length: 3\r\n\r\na", b"bc", LAST + fields(10, HEADER_SIZE)], [200, 431]),
        ([LAST + fields(HEADER_FIELDS + 1, 2000) + b"\r\n"], [431]),
        ([LAST + fields(HEADER_FIELDS + 1, 2000)], [431]),
        ([LAST + b"X: " + b"a" * (HEADER_SIZE - len(LAST) - 7) + b"\r\n\r\n"], [200]),
        ([LAST + b"X: " + b"a" * (HEADER_SIZE - len(LAST) - 6) + b"\r\n\r\n"], [431]),
        ([LAST + b"X: " + b"a" * 300_000], [431]),
        ([b"GET /" + b"a" * 16_000 + b" HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"], [404]),
        ([b"GET /" + b"a" * HEADER_SIZE], [414]),
        ([b"GET /", b"a" * HEADER_SIZE + b" HTTP/1.1\r\nHost: hello\r\n\r\n"], [414]),
    ],
)
async def test_a_header_has_at_most_16_kb_and_64_fields(server: Hello, pieces: list[bytes], answers: list[int]) -> None:
    assert await statuses(server.url, *pieces) == answers


BODIES = [
    (f"Content-Length: {len(GET)}", [GET], True),
    (f"Content-Length: {BODY_SIZE}", [b"a" * (BODY_SIZE // 2)] * 2, True),
    (f"Content-Length: {BODY_SIZE}", [GET * (BODY_SIZE // len(GET) + 1), b""], True),
    (f"Content-Length: {BODY_SIZE + 1}", [b"a" * BODY_SIZE, b"a"], False),
    (f"Content-Length: {10 * BODY_SIZE}", [b"a" * BODY_SIZE] * 10, False),
    ("Transfer-Encoding: chunked", [b"1\r\na\r\n0\r\n\r\n"], False),
    ("Transfer-Encoding: chunked", [b"zz\r\n"], False),
    ("Transfer-Encoding: chunked", [b"0\r\n", b"X: a\r\n" * 100], False),
]
"""The header with a body's length, the body, and whether the connection survives it."""


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("length", "body", "goes_on"), BODIES)
async def test_a_connection_survives_only_a_short_body_of_known_length(
    server: Hello, method: str, length: str, body: list[bytes], goes_on: bool
) -> None:
    head = f"{method} / HTTP/1.1\r\nHost: hello\r\n{length}\r\n\r\n".encode()
    if goes_on:
        text = b"".join(body)[: int(length.split()[1])]
        body = [text[:100], text[100:] + LAST, b"\r\n"]

    assert await statuses(server.url, head, *body) == [200 if method == "GET" else 405] + [200] * goes_on


async def test_bytes_after_a_malformed_body_cost_nothing(hello: MakeHello) -> None:
    server = await hello("--store", "memory:").start()
    before = await figure(server.url, "process_resident_memory_bytes")
    head = b"GET /count HTTP/1.1\r\nHost: hello\r\nTransfer-Encoding: chunked\r\n\r\n"
    for text in b"zz\r\n", b"0\r\n" + b"X: " + b"a" * 100_000:
        await asyncio.gather(*(asyncio.to_thread(pours, server.url, head + text) for _ in range(16)))
    assert await figure(server.url, "process_resident_memory_bytes") - before < 16 * 2**20


def pours(url: str, text: bytes) -> None:
    """Send a text, and then as much as is accepted, up to 10 MB."""
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 80), PATIENCE) as client, suppress(OSError):
        client.sendall(text)
        for _ in range(40):
            client.sendall(b"a" * 2**18)


async def test_an_overlong_accept_is_not_read_to_its_end(server: Hello) -> None:
    accept = ", ".join([f"text/x-{number}" for number in range(500)])

    for text, content_type in ((f"text/html, {accept}", "text/html"), (f"{accept}, text/html", "text/plain")):
        headers = (await request(server.url, Accept=text)).headers
        assert headers["content-type"] == f"{content_type}; charset=utf-8"


GARBAGE = [
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\nthis is no gzip here",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\nContent-Length: 20\r\n\r\nthis is no brotli...",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Encoding: deflate\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 99999\r\n\r\n" + compress(bytes(10**6)),
    b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nExpect: something-else\r\nContent-Length: 10\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x00\x01\x02",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key1: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nAccept: \xff\xfe\r\nSec-Purpose: \xff\r\nUser-Agent: \xff\r\n\r\n",
    b"GET /\xff\xfe%ff%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /" + b"%1b" * 2000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://[::1/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a:99999/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET //[ HTTP/1.1\r\nHost: [\r\n\r\n",
    b"GET /?" + b"a" * 5000 + b" HTTP/1.1\r\nHost: a\r\nReferer: " + b"b" * 5000 + b"\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\nabc",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"GET /events HTTP/1.0\r\n\r\n",
]


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_any_input_is_at_most_one_short_line_in_the_log(hello: MakeHello, level: str) -> None:
    server = await hello("--store", "memory:", "--log", level).start()
    for garbage in GARBAGE:
        with await Connection.open(server.url) as connection:
            connection.writer.write(garbage)
            async with asyncio.timeout(PATIENCE):
                assert (await connection.reader.readline()).split(b" ")[0].startswith(b"HTTP/1."), garbage
    assert await server.stop() == 0

    told = [line for line in server.log if json.loads(line)["event"] not in OWN]
    assert len(told) <= (2 * len(GARBAGE) if level == "debug" else 0)  # what follows a request may be another one
    assert max(map(len, told), default=0) < 300


OWN = (
    "serving",
    "leaving",
    "store is up",
    "the count is in memory: other pods do not share it, and it ends with this process",
)


@pytest.fixture
async def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A port with one short time limit, which the test names; it answers `/slow` after a second."""
    monkeypatch.setattr(connections, *request.param)

    async with limited(Limits(100, 2**20)) as url:
        yield url


@asynccontextmanager
async def limited(few: Limits) -> AsyncIterator[str]:
    """A port with limits of its own."""

    async def answer(asked: BaseRequest) -> Response:
        if asked.path == "/slow":
            await asyncio.sleep(1)
        is_long = asked.path == "/long" or asked.headers.get("Accept") == "text/html"
        return Response(text="a" * 20_000 if is_long else "short")

    async with Counter(MemoryStore(), "pod", Metrics(), deadline=10).running() as counter:
        visits = Visits(counter, Greeter("pod", "memory"))
        async with listening(Port(answer, few, Greetings(counter, visits, asyncio.Event()))) as url:
            yield url


HEADER = pytest.mark.parametrize("url", [("HEADER_TIMEOUT", 0.3)], indirect=True)
KEEPALIVE = pytest.mark.parametrize("url", [("KEEPALIVE_TIMEOUT", 0.9)], indirect=True)
SEND = pytest.mark.parametrize("url", [("SEND_TIMEOUT", 1)], indirect=True)


@HEADER
@pytest.mark.parametrize("requests", [0, 2], ids=["new", "kept"])
@pytest.mark.parametrize("piece", [b"GET /", HEAD, HEAD + b"X: a"])
@pytest.mark.usefixtures("both_paths")
async def test_a_header_must_be_complete_in_time(url: str, connect: Connect, requests: int, piece: bytes) -> None:
    connection = await connect(url)
    for _ in range(requests):
        connection.send()
        await connection.receive()
    connection.writer.write(piece)
    dribbling = asyncio.create_task(dribble(connection))  # a byte now and then does not prolong it
    await hung_up(connection)
    dribbling.cancel()


async def dribble(connection: Connection) -> None:
    while True:
        connection.writer.write(b"a")
        await asyncio.sleep(0.02)


async def hung_up(connection: Connection) -> None:
    """Wait until the server closes without an answer."""
    async with asyncio.timeout(PATIENCE):
        assert await connection.closed()


@HEADER
async def test_a_silent_client_is_disconnected(url: str, connect: Connect) -> None:
    await hung_up(await connect(url))


@HEADER
@pytest.mark.usefixtures("both_paths")
async def test_the_time_for_headers_limits_neither_idle_connections_nor_answers(url: str) -> None:
    with await Connection.open(url) as connection:
        for path in "/", "/slow", "/":
            connection.send(path=path)
            assert (await connection.receive()).status == 200
            await asyncio.sleep(0.5)


@KEEPALIVE
@pytest.mark.usefixtures("both_paths")
async def test_an_idle_connection_is_closed_in_the_end(url: str, connect: Connect) -> None:
    connection = await connect(url)
    for path in "/", "/slow", "/":
        connection.send(path=path)
        assert (await connection.receive()).status == 200
    await hung_up(connection)


def test_connections_may_idle_longer_than_those_of_balancers() -> None:
    assert KEEPALIVE_TIMEOUT > 3600


@SEND
async def test_a_client_that_pipelines_and_does_not_read_is_dropped(url: str) -> None:
    with await asyncio.to_thread(choked, url, LONG) as client:
        assert await asyncio.to_thread(is_reset, client)


@SEND
async def test_a_visitor_that_does_not_read_is_dropped(url: str) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", urlsplit(url).port))
        for _ in range(400):
            with suppress(OSError):
                client.send(PAGE)
            await asyncio.sleep(0.002)
        assert await asyncio.to_thread(is_reset, client)


@SEND
async def test_a_slow_reader_gets_everything(url: str) -> None:
    with await Connection.open(url) as connection:
        connection.writer.write(LONG * 1000)
        for _ in range(1000):
            assert (await connection.receive()).status == 200
            await asyncio.sleep(0.002)


def choked(url: str, text: bytes) -> socket.socket:
    """A client that sends a request until no more is accepted, and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", urlsplit(url).port))
    client.settimeout(0.2)
    with suppress(TimeoutError):
        while True:
            client.send(text * 1000)
    return client


def is_reset(client: socket.socket) -> bool:
    """Wait for a reset: poll(2) always reports that, even if no event is asked for."""
    poll = select.poll()
    poll.register(client, 0)
    return bool(poll.poll(1000 * PATIENCE))


async def test_pipelined_requests_are_read_one_at_a_time(hello: MakeHello) -> None:
    server = await hello("--store", "memory:").start()
    before = await figure(server.url, "process_resident_memory_bytes")
    large = HEAD + b"Accept: text/html\r\n" + fields(10, 16_000) + b"\r\n"
    with ExitStack() as stack:
        for client in await asyncio.gather(*(asyncio.to_thread(choked, server.url, large) for _ in range(20))):
            stack.enter_context(client)
        grown = await figure(server.url, "process_resident_memory_bytes") - before
    assert grown / 20 < 800_000


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
@pytest.mark.long
async def test_clients_that_do_not_read_do_not_delay_the_shutdown(hello: MakeHello, number: Signals) -> None:
    server = await hello("--store", "memory:").start()
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(await asyncio.to_thread(choked, server.url, PAGE))
        server.signal(number)
        async with asyncio.timeout(PATIENCE):
            assert await server.exit() == 0
    assert server.events()[-1] == "leaving"


async def test_the_admin_port_answers_when_all_connections_are_taken(hello: MakeHello, connect: Connect) -> None:
    admin = free_port()
    few = "sh", "-c", 'ulimit -n 128; exec "$@"', "sh"
    server = await hello("--store", "memory:", "--admin-port", str(admin), command=few).start()
    for _ in range(2):
        taken = [await taken_connections(server, connect, f"127.0.0.{number}") for number in range(2, 20)]
        assert len(taken[0]) > len(taken[1]) > len(taken[2]) > 1
        assert not await has_room(server)
        for path in "/healthz", "/readyz":
            assert (await request(f"http://127.0.0.1:{admin}", path=path)).status == 200
        for connection in chain.from_iterable(taken):
            connection.close()
        await until(lambda: has_room(server), "there is room again")
    assert await server.stop() == 0
    assert sum("connection limit reached" in event for event in server.events()) == 2


async def taken_connections(server: Hello, connect: Connect, source: str) -> list[Connection]:
    """Watch the stream over as many connections as an address may have; that leaves room for another address."""
    taken = []
    with suppress(ConnectionError, EOFError):
        while True:
            connection = await connect(server.url, source)
            connection.send(path="/events")
            await connection.reader.readuntil(b"\r\n\r\n")
            taken.append(connection)
    assert len(taken) < 3 or await has_room(server)
    return taken


async def has_room(server: Hello) -> bool:
    try:
        return (await request(server.url, path="/healthz")).status == 200
    except (ConnectionError, EOFError):
        return False


FEW = 20
"""Most connections to a small port."""


@pytest.fixture
async def port_of_few() -> AsyncIterator[str]:
    """A port with FEW connections, which may hold six headers of 15 kB together."""
    async with limited(Limits(FEW, 100_000)) as url:
        yield url


async def goes_on(connection: Connection) -> bool:
    """Whether a request over a connection is answered."""
    try:
        connection.send()
        return (await connection.receive()).status == 200
    except (ConnectionError, EOFError):
        return False


@pytest.mark.usefixtures("both_paths")
async def test_the_longest_idle_connection_makes_room_for_a_new_one(port_of_few: str, connect: Connect) -> None:
    first = [await connect(port_of_few) for _ in range(FEW)]
    assert [await goes_on(connection) for connection in first] == [False] * (FEW // 2) + [True] * (FEW // 2)
    assert await goes_on(first[FEW // 2])
    then = [await connect(port_of_few) for _ in range(FEW // 2 - 1)]

    assert [await goes_on(connection) for connection in first[FEW // 2 :] + then] == [True] + (
        [False] * (FEW // 2 - 1) + [True] * (FEW // 2 - 1)
    )


@pytest.mark.parametrize("text", [b"", b"GET /", GET], ids=["nothing", "unfinished", "kept"])
@pytest.mark.usefixtures("both_paths")
async def test_the_address_with_most_connections_makes_room(port_of_few: str, connect: Connect, text: bytes) -> None:
    others = [await connect(port_of_few, "127.0.0.2") for _ in range(FEW // 4)]
    for _ in range(2 * FEW):
        (await connect(port_of_few, "127.0.0.3")).writer.write(text)
    others += [await connect(port_of_few, f"127.0.0.{number}") for number in range(4, 4 + FEW // 4)]

    assert [await goes_on(connection) for connection in others] == [True] * len(others)


async def test_the_bytes_of_all_connections_together_are_limited(port_of_few: str, connect: Connect) -> None:
    resting = await connect(port_of_few)
    begun = [await connect(port_of_few) for _ in range(9)]
    for connection in begun:
        connection.writer.write(HEAD + fields(10, 15_000))
        await asyncio.sleep(0.02)

    for connection in begun[:3]:
        await hung_up(connection)
    for connection in begun[-2:]:
        connection.writer.write(b"\r\n")
        assert (await connection.receive()).status == 200
    assert await goes_on(resting)


async def test_a_visit_in_pieces_holds_nothing_once_it_is_answered(port_of_few: str, connect: Connect) -> None:
    kept = [await connect(port_of_few) for _ in range(FEW // 2)]
    for connection in kept:
        connection.writer.write(HEAD + fields(10, 15_000))
        await asyncio.sleep(0.02)
        connection.writer.write(b"\r\n")
        assert (await connection.receive()).status == 200

    assert [await goes_on(connection) for connection in kept] == [True] * len(kept)


@pytest.mark.parametrize(("end", "number"), [(b"", 10), (b"\r\n", 62)], ids=["unfinished", "kept"])
async def test_large_headers_of_many_connections_fit_in_memory(hello: MakeHello, end: bytes, number: int) -> None:
    server = await hello("--store", "memory:").start()
    before = await figure(server.url, "process_resident_memory_bytes")
    header = b"GET /count HTTP/1.1\r\nHost: hello\r\n" + fields(number, 15_000) + end
    with ExitStack() as stack:
        for _ in range(3000):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), PATIENCE))
            client.sendall(header)
        grown = await figure(server.url, "process_resident_memory_bytes") - before
    assert grown < 5 * HELD_BYTES


def test_a_small_container_has_small_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "half").write_text(str((MEMORY + BASE) // 2))
    (tmp_path / "tiny").write_text("1000")
    connections = []
    for name in "none", "max", "half", "tiny":
        monkeypatch.setattr(limits, "CGROUP_LIMITS", [str(tmp_path / name)])
        monkeypatch.setattr(resource, "getrlimit", lambda _: (10**6, 10**6))
        connections.append(limits.port_limits()[0].connections)

    assert connections[0] == connections[1] == 2 * connections[2] == limits.CONNECTIONS
    assert 0 < connections[3] < 1000


async def test_connections_in_the_accept_queue_are_served_after_the_listener_closes() -> None:
    async def answer(_: BaseRequest) -> Response:
        return Response(text="served")

    port = Port(answer, Limits(100, 2**20))
    listeners = await listen("127.0.0.1", free_port(), reuse_port=True)
    server = await asyncio.get_running_loop().create_server(port, sock=listeners[0])
    with ExitStack() as stack:
        address = listeners[0].getsockname()
        clients = [stack.enter_context(socket.create_connection(address)) for _ in range(10)]
        await close([server], listeners, port)
        for client in clients[5:]:
            client.send(GET)
        leaving = asyncio.create_task(port.finish(1))
        await asyncio.sleep(0.01)
        for client in clients[:5]:
            client.send(GET)
        await leaving
        assert {await asyncio.to_thread(client.recv, 15) for client in clients} == {b"HTTP/1.1 200 OK"}
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


def test_a_system_may_have_no_limits() -> None:
    without = "import sys; sys.modules['resource'] = None; import hello.limits as l; l.raise_file_limit()"
    subprocess.run([sys.executable, "-c", f"{without}; print(l.port_limits())"], check=True)


async def test_only_the_log_says_where_the_store_is(hello: MakeHello) -> None:
    port = free_port()
    server = await hello("--store", f"redis://127.0.0.1:{port}", "--deadline", "0.3").start()
    for path, accept in ("/", "*/*"), ("/", "text/html"), ("/count", "*/*"):
        refused = await request(server.url, path=path, Accept=accept)
        assert refused.status == 503
        assert str(port) not in refused.body
        assert "127.0.0.1" not in refused.body
    async with watch(server.url) as stream:
        told = await stream.next()
        assert told["state"] != "up"
        assert "127.0.0.1" not in json.dumps(told)
    await server.stop()
    assert str(port) in json.loads(next(line for line in server.log if "store is lost" in line))["error"]
