"""The lean half of the server does what the other one does."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from hello.counting.counter import Counter
from hello.limits import Limits
from hello.metrics import Metrics
from hello.server import loop_factory
from hello.stores.memory import MemoryStore
from hello.web.lean import Visitors
from hello.web.page import Greeter
from hello.web.port import Port
from hello.web.routes import public_routes
from hello.web.visits import Visits

HTML, JSON = "text/html", "application/json"


@asynccontextmanager
async def served(
    counter: Counter, *, lean: bool = True, leaving: asyncio.Event | None = None, version: str | None = None
) -> AsyncIterator[str]:
    """A port of a server in this process, with or without its lean half."""
    greeter, leaving = Greeter("pod-%d<&>", "memory", version), leaving or asyncio.Event()
    visits = Visits(counter, greeter)
    routes = public_routes(counter, greeter, visits, leaving)
    port = Port(routes, Limits(100, 2**20), Visitors(counter, visits, leaving) if lean else None)
    listener = await asyncio.get_running_loop().create_server(port, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    listener.close()
    port.connections.abort()
    await port.finish(1)


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
    """What a client sends, in pieces."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.sets(st.integers(1, len(text)), max_size=4)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True) if start < end]


class Client(asyncio.Protocol):
    """Keeps all that it receives, up to the end."""

    def __init__(self) -> None:
        self.received = b""
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, _: Exception | None) -> None:
        self.ended.set()


async def answers(url: str, pieces: Sequence[bytes]) -> bytes:
    """What comes back for some pieces, and for a last request, which shows the state of the connection after them."""
    host, _, port = url.removeprefix("http://").partition(":")
    transport, client = await asyncio.get_running_loop().create_connection(Client, host, int(port))
    for piece in [*pieces, b"GET /healthz HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n"]:
        if not transport.is_closing():
            transport.write(piece)
            await asyncio.sleep(0.001)
    with suppress(TimeoutError):
        await asyncio.wait_for(client.ended.wait(), 0.2)
    if not transport.is_closing():  # a header or a body is still awaited
        transport.write_eof()
    await asyncio.wait_for(client.ended.wait(), 3)
    return re.sub(rb"Date: [^\r]*", b"Date: now", re.sub(rb"\b1\d{6}\b", b"NUMBER", client.received))


def test_with_and_without_the_lean_half_each_byte_is_answered_alike() -> None:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:

        @settings(max_examples=200, deadline=None, database=None)
        @given(conversations())
        def alike(pieces: list[bytes]) -> None:
            runner.run(compare(pieces))

        alike()


async def compare(pieces: list[bytes]) -> None:
    """Have the same conversation with both servers, over one counter."""
    store = MemoryStore()
    await store.reset("epoch", 1_000_000)  # so that all numbers have as many digits
    metrics = Metrics()
    seen = []
    async with Counter(store, "pod-%d<&>", metrics, deadline=10).running() as counter:
        for lean in True, False:
            async with served(counter, lean=lean, version="1.2") as url:
                before = counted(metrics)
                text = await answers(url, pieces)
                seen.append((text, counted(metrics) - before))
                assert text.count(b"Hello-Count: ") == counted(metrics) - before
    assert seen[0] == seen[1], pieces


def counted(metrics: Metrics) -> int:
    """How many visitors were counted, by the metrics."""
    return figure(metrics, "hello_visitors_total")


def figure(metrics: Metrics, name: str) -> int:
    found = re.search(rf"^{re.escape(name)} (\S+)$", metrics.text().decode(), re.MULTILINE)
    return int(float(found[1])) if found else 0
