"""The HTTP contract, over the wire."""

import asyncio
import json
from signal import SIGCONT, SIGSTOP

import pytest

from tests.support.client import HANDLED, Connect, Connection, request, state
from tests.support.processes import PATIENCE, Hello, MakeHello, RedisServer, free_port, until

TEXT, HTML, JSON = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json; charset=utf-8"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


async def total(server: Hello) -> int:
    return int((await request(server.url, path="/count")).body)


async def test_text_is_the_default(server: Hello) -> None:
    before = await total(server)
    response = await request(server.url)

    assert response.status == 200
    assert response.headers["content-type"] == TEXT
    assert response.headers["hello-count"] == str(before + 1)
    assert response.headers["hello-pod"] == "pod-<1>"
    assert response.body == f"Hello, world! You are visitor {before + 1}, greeted by pod-<1>.\n"


async def test_a_browser_gets_a_page(server: Hello) -> None:
    response = await request(server.url, Accept=BROWSER)

    assert response.headers["content-type"] == HTML
    assert response.body.startswith("<!doctype html>")
    assert response.headers["hello-count"] in response.body
    assert "pod-&lt;1&gt;" in response.body
    assert "pod-<1>" not in response.body


async def test_a_program_gets_json(server: Hello) -> None:
    response = await request(server.url, Accept="application/json")

    assert response.headers["content-type"] == JSON
    assert json.loads(response.body) == {
        "count": int(response.headers["hello-count"]),
        "pod": response.headers["hello-pod"],
        "epoch": response.headers["hello-epoch"],
    }


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("image/png", TEXT),
        ("TEXT/HTML", HTML),
        ("application/*", JSON),
        ("application/json, */*", JSON),
        ("text/html;q=0.5, application/json;q=0.4", HTML),
        ("text/html;q=0.1, text/plain;q=0.2, */*;q=0.9", JSON),
        ("text/plain;q=0, */*", HTML),
        ("text/html;q=0, application/json;q=0.0", TEXT),
        ("text/html;q=-1, */*;q=0.1", TEXT),
        ("text/html;q=many, application/json;q=0.001", JSON),
        (", ;q=1, text/html;level=1;q=0.9,,", HTML),
    ],
)
async def test_the_client_chooses_the_content_type(server: Hello, accept: str, content_type: str) -> None:
    assert (await request(server.url, Accept=accept)).headers["content-type"] == content_type


async def test_several_lines_of_accept_are_one_list(server: Hello) -> None:
    two_lines = "*/*;q=0.1\r\nAccept: application/json"
    assert (await request(server.url, Accept=two_lines)).headers["content-type"] == JSON


async def test_a_query_is_a_visit_too(server: Hello) -> None:
    before = await total(server)

    assert (await request(server.url, path="/?utm_source=article")).headers["hello-count"] == str(before + 1)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/", 200),
        ("GET", "/count", 200),
        ("HEAD", "/count", 200),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/favicon.ico", 404),
        ("GET", "//", 404),
        ("GET", "/%2e%2e/", 404),
        ("POST", "/", 405),
        ("OPTIONS", "/", 405),
        ("POST", "/count", 405),
    ],
)
async def test_nothing_else_counts(server: Hello, method: str, path: str, status: int) -> None:
    before = await total(server)
    response = await request(server.url, method, path)

    assert response.status == status
    assert "hello-count" not in response.headers
    assert (response.headers["cache-control"], response.headers["server"]) == ("no-store", "hello")
    assert await total(server) == before
    if status == 405:
        assert set(response.headers["allow"].split(",")) == {"GET", "HEAD"}


@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/json"])
async def test_head_has_the_type_of_the_page(server: Hello, accept: str) -> None:
    head = await request(server.url, "HEAD", Accept=accept)

    assert head.headers["content-type"] == (await request(server.url, Accept=accept)).headers["content-type"]


@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender", "prefetch;anonymous-client-ip"])
async def test_a_prefetched_page_is_not_a_visit(server: Hello, purpose: str) -> None:
    before = await total(server)
    response = await request(server.url, Accept=BROWSER, Sec_Purpose=purpose)

    assert response.status == 503
    assert response.headers["retry-after"].isdecimal()
    assert await total(server) == before


async def test_the_total_comes_with_each_pod_s_share(server: Hello) -> None:
    visit = await request(server.url)
    answer = await request(server.url, path="/count", Accept="application/json")

    number = int(visit.headers["hello-count"])
    assert answer.headers["hello-pod"] == (await request(server.url, path="/count")).headers["hello-pod"] == "pod-<1>"
    assert json.loads(answer.body) == {
        "count": number,
        "epoch": visit.headers["hello-epoch"],
        "pods": {"pod-<1>": number},
    }


@pytest.mark.parametrize(
    "text",
    [
        "GET / HTTP/1.1\r\nHost: hello\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: hello\r\nno colon\r\n\r\n",
        "\x16\x03\x01",
    ],
    ids=["negative length", "no header", "TLS"],
)
async def test_a_malformed_request_gets_400_and_is_not_counted(server: Hello, connect: Connect, text: str) -> None:
    before = await total(server)
    connection = await connect(server.url)
    connection.writer.write(text.encode())
    response = await connection.receive()

    assert response.status == 400
    assert response.headers["server"] == "hello"
    assert await total(server) == before


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 405)])
async def test_a_body_that_never_comes_delays_nobody(server: Hello, method: str, status: int) -> None:
    before = await total(server)
    with await Connection.open(server.url) as connection:
        connection.send(method, Content_Length="1000")

        assert (await connection.receive()).status == status
        assert await total(server) == before + (status == 200)
        async with asyncio.timeout(PATIENCE):
            assert await connection.closed()


async def test_metrics_tell_what_happened(hello: MakeHello) -> None:
    server = await hello("--store", "memory:").start()
    for _ in range(3):
        await server.visit()
    await request(server.url, Sec_Purpose="prefetch")
    response = await request(server.url, path="/metrics")
    figures = dict(line.rsplit(" ", 1) for line in response.body.splitlines() if not line.startswith("#"))

    assert response.headers["content-type"].startswith("text/plain; version=")
    assert figures["hello_visitors_total"] == "3.0"
    assert figures['hello_refused_total{reason="prefetch"}'] == "1.0"
    assert figures["hello_last_number"] == "3.0"
    assert figures["hello_abandoned_numbers_total"] == figures["hello_batch_retries_total"] == "0.0"
    assert figures["hello_batch_visitors_sum"] == "3.0"
    assert float(figures["hello_commit_duration_seconds_count"]) >= 3
    assert figures['hello_store_state{hello_store_state="up"}'] == "1.0"
    assert figures["hello_store_wipes_total"] == "0.0"
    epoch = (await request(server.url)).headers["hello-epoch"]
    assert figures[f'hello_epoch_info{{epoch="{epoch}"}}'] == "1.0"
    assert "process_resident_memory_bytes" in figures


async def test_the_admin_port_takes_readiness_and_metrics(hello: MakeHello) -> None:
    port = free_port()
    server = await hello("--store", "memory:", "--admin-port", str(port)).start()
    admin = f"http://127.0.0.1:{port}"

    for path in "/readyz", "/metrics":
        assert (await request(server.url, path=path)).status == 404
        assert (await request(admin, path=path)).status == 200
    for url in server.url, admin:  # balancers probe the port that they serve
        assert (await request(url, path="/healthz")).status == 200
    for path in "/", "/count":
        assert (await request(admin, path=path)).status == 404
    assert await total(server) == 0


async def test_a_pod_is_ready_once_the_store_has_answered(hello: MakeHello, redis_server: RedisServer) -> None:
    redis_server.kill()
    server = await hello("--store", redis_server.url, "--deadline", "0.3").start()

    async def says_why() -> bool:
        return "has not answered yet: Redis: " in (await request(server.url, path="/readyz")).body

    await until(says_why, "/readyz says why")
    unready = await request(server.url, path="/readyz")
    assert unready.status == 503
    assert unready.headers["retry-after"].isdecimal()
    assert (await request(server.url, path="/healthz")).status == 200

    await redis_server.start()
    await server.ready()
    redis_server.kill()
    assert (await request(server.url)).status == 503
    assert await state(server.url) == "lost"
    assert (await request(server.url, path="/readyz")).status == 200
    assert (await request(server.url, path="/healthz")).status == 200


async def test_a_half_closed_connection_gets_its_answer(
    hello: MakeHello, redis_server: RedisServer, connect: Connect
) -> None:
    server = await (await hello("--store", redis_server.url).start()).ready()
    redis_server.signal(SIGSTOP)
    connections = [await connect(server.url) for _ in range(3)]
    for connection, path, headers in zip(connections, ("/", "/", "/count"), ({}, HANDLED, {}), strict=True):
        connection.send(path=path, **headers)
        connection.writer.write_eof()
    for _ in range(3):  # the server has read the end before it can answer
        assert (await request(server.url, path="/healthz")).status == 200
    redis_server.signal(SIGCONT)
    for connection in connections:
        response = await connection.receive()
        assert response.status == 200
        assert response.headers["connection"] == "close"
        assert await connection.closed()


@pytest.mark.usefixtures("both_paths")
async def test_a_half_closed_connection_gets_all_its_answers(server: Hello, connect: Connect) -> None:
    connection = await connect(server.url)
    for _ in range(5):
        connection.send()
    connection.writer.write_eof()
    for _ in range(5):
        assert (await connection.receive()).status == 200
    assert await connection.closed()
