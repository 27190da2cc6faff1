"""Shutdown: visitors under way are served, and nothing delays it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from signal import SIGCONT, SIGINT, SIGSTOP, SIGTERM, Signals

import pytest

from tests.support.client import HANDLED, Connect, Connection, Response, figure, request
from tests.support.processes import PATIENCE, Hello, MakeHello, RedisServer, until


async def left_well(server: Hello) -> list[str]:
    """Wait for a clean exit with nothing but logs on standard error; the events logged."""
    async with asyncio.timeout(PATIENCE):
        assert await server.exit() == 0
    assert "Traceback" not in "".join(server.log)
    return [json.loads(line)["event"] for line in server.log]


async def hears_that_it_leaves(server: Hello) -> None:
    async def says_close() -> bool:
        with await Connection.open(server.url) as connection:
            connection.send(path="/healthz")
            response = await connection.receive()
        return response.headers.get("connection") == "close"

    await until(says_close, "answers close their connections")


async def waiting_visitors(server: Hello, redis: RedisServer) -> "list[asyncio.Task[Response]]":
    """Six visitors who wait for a frozen Redis."""
    redis.signal(SIGSTOP)
    visitors = [asyncio.create_task(request(server.url)) for _ in range(6)]

    async def under_way() -> bool:
        return await figure(server.url, "hello_batch_retries_total") > 0

    await until(under_way, "their batch is sent again")
    return visitors


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
async def test_an_idle_server_leaves_at_once(hello: MakeHello, number: Signals) -> None:
    server = await hello("--store", "memory:").start()
    with await Connection.open(server.url) as kept:
        kept.send()
        await kept.receive()
        server.signal(number)

        assert await left_well(server) == [*server.events()[:-1], "leaving"]
        assert await kept.closed()


async def test_a_draining_server_is_ready_and_sends_kept_connections_away(hello: MakeHello) -> None:
    server = await hello("--store", "memory:", "--drain", "1").start()
    with await Connection.open(server.url) as kept:
        kept.send()
        assert "connection" not in (await kept.receive()).headers
        server.signal(SIGTERM)
        await hears_that_it_leaves(server)

        kept.send()
        response = await kept.receive()
        assert response.headers["hello-count"] == "2"
        assert response.headers["connection"] == "close"
        assert await kept.closed()
    assert (await request(server.url, path="/readyz")).status == 200
    assert await server.visit() == 3
    await left_well(server)
    with pytest.raises(ConnectionRefusedError):
        await request(server.url)


async def test_no_visitor_is_lost_by_a_drain(hello: MakeHello, redis_server: RedisServer) -> None:
    old = await hello("--store", redis_server.url, "--drain", "1").start()
    new = await hello("--store", redis_server.url).start()
    numbers: list[int] = []

    async def visit(headers: dict[str, str]) -> None:
        """Stay on one connection until it is to close, then visit the new server a few times."""
        for server, visits in (old, 10_000), (new, 5):
            with await Connection.open(server.url) as connection:
                for _ in range(visits):
                    connection.send(**headers)
                    response = await connection.receive()
                    numbers.append(int(response.headers["hello-count"]))
                    if response.headers.get("connection") == "close":
                        break
                    await asyncio.sleep(0.02)

    async def all_are_there() -> bool:
        return len(numbers) > 100

    async with asyncio.TaskGroup() as group:
        for headers in 10 * ({}, HANDLED):
            group.create_task(visit(headers))
        await until(all_are_there, "all have come")
        old.signal(SIGTERM)

    await left_well(old)
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


@pytest.mark.usefixtures("both_paths")
async def test_waiting_visitors_are_served_before_the_server_leaves(
    hello: MakeHello, redis_server: RedisServer
) -> None:
    server = await (await hello("--store", redis_server.url).start()).ready()
    visitors = await waiting_visitors(server, redis_server)
    server.signal(SIGTERM)
    await refuses_connections(server)
    redis_server.signal(SIGCONT)

    responses = await asyncio.gather(*visitors)
    assert sorted(int(response.headers["hello-count"]) for response in responses) == [1, 2, 3, 4, 5, 6]
    assert {response.headers["connection"] for response in responses} == {"close"}
    await left_well(server)


async def refuses_connections(server: Hello) -> None:
    async def refused() -> bool:
        try:
            (await Connection.open(server.url)).close()
        except ConnectionRefusedError:
            return True
        return False

    await until(refused, "connections are refused")


@pytest.mark.parametrize(
    ("numbers", "drain", "leaves"),
    [
        ([SIGINT], "600", hears_that_it_leaves),
        ([SIGTERM, SIGTERM], "600", hears_that_it_leaves),
        ([SIGTERM, SIGTERM], "0", refuses_connections),
        ([SIGTERM, SIGINT], "0", refuses_connections),
    ],
)
async def test_waiting_visitors_are_refused_by_a_server_that_leaves_at_once(
    hello: MakeHello,
    redis_server: RedisServer,
    numbers: list[Signals],
    drain: str,
    leaves: Callable[[Hello], Awaitable[None]],
) -> None:
    server = await (await hello("--store", redis_server.url, "--drain", drain, "--deadline", "600").start()).ready()
    visitors = await waiting_visitors(server, redis_server)
    with await Connection.open(server.url) as reader:
        reader.send(path="/count")
        for number in numbers[:-1]:
            server.signal(number)
            await leaves(server)
        server.signal(numbers[-1])

        async with asyncio.timeout(PATIENCE):
            responses = [await reader.receive(), *await asyncio.gather(*visitors)]
    await left_well(server)
    assert {(response.status, response.body) for response in responses} == {(503, "This pod is leaving.\n")}
    assert all(response.headers["retry-after"].isdecimal() for response in responses)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
async def test_unfinished_requests_delay_no_shutdown(hello: MakeHello, connect: Connect, number: Signals) -> None:
    server = await hello("--store", "memory:").start()
    connections = [await connect(server.url) for _ in range(4)]
    connections[0].send("POST", Content_Length="1000")
    connections[1].send("GET", Content_Length="1000")
    connections[2].writer.write(b"GET / HTTP/1.1\r\nHost: he")
    await connections[0].receive()
    await connections[1].receive()
    server.signal(number)

    await left_well(server)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
async def test_a_server_can_be_stopped_while_it_waits_for_redis(
    hello: MakeHello, redis_server: RedisServer, number: Signals
) -> None:
    redis_server.signal(SIGSTOP)
    server = await hello("--store", redis_server.url).start()
    server.signal(number)

    await left_well(server)


async def test_a_server_that_leaves_while_redis_is_away_reports_what_it_saw(
    hello: MakeHello, redis_server: RedisServer
) -> None:
    """Otherwise the others would wait for it after a restart of Redis."""
    old = await (await hello("--store", redis_server.url, "--drain", "0").start()).ready()
    new = await (await hello("--store", redis_server.url).start()).ready()
    assert [await server.visit() for server in (old, new)] == [1, 2]
    redis_server.kill()
    old.signal(SIGTERM)
    await refuses_connections(old)
    await asyncio.sleep(1)  # the fault itself
    await redis_server.start()

    assert await new.visit() == 3
    await left_well(old)
    new.signal(SIGTERM)
    assert "roll call timed out: some processes did not report" not in await left_well(new)


@pytest.mark.parametrize("numbers", [[SIGTERM], [SIGTERM, SIGTERM], [SIGINT]])
async def test_a_server_leaves_even_if_redis_stays_away(
    hello: MakeHello, redis_server: RedisServer, numbers: list[Signals]
) -> None:
    deadline = "1" if numbers == [SIGTERM] else "600"
    server = await (await hello("--store", redis_server.url, "--deadline", deadline).start()).ready()
    redis_server.kill()
    for number in numbers:
        server.signal(number)
        await refuses_connections(server)
    await left_well(server)
