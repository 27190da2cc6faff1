"""What servers in trouble tell their visitors and their logs."""

import asyncio
import json
import subprocess
import sys

from tests.support.client import request, state
from tests.support.processes import Hello, MakeHello, until

AWAY = "The store did not answer in time.\n"
"""What a visitor is told: more belongs in the log."""


async def started(hello: MakeHello, store: str, *arguments: str, pods: str = "abc") -> list[Hello]:
    servers = [hello("--store", store, "--pod", pod, *arguments) for pod in pods]
    await asyncio.gather(*(server.start() for server in servers))
    await asyncio.gather(*(server.ready() for server in servers))
    return servers


async def refusal(server: Hello) -> str:
    """The reason for which a visitor is refused, as the contract has it."""
    response = await request(server.url)
    assert response.status == 503
    assert response.headers["retry-after"].isdecimal()
    assert "hello-count" not in response.headers
    assert (await request(server.url, path="/healthz")).status == 200
    return response.body


async def logs(server: Hello) -> list[str]:
    """The events in the logs of a server that leaves now."""
    assert await server.stop() == 0
    assert "Traceback" not in "".join(server.log)
    return server.events()


def assert_in_order(server: Hello, *words: str) -> None:
    """The log of a server that has left tells of these troubles."""
    troubles = [json.loads(line).get("error", "") for line in server.log]
    where = [next(i for i, trouble in enumerate(troubles) if word in trouble) for word in words]
    assert where == sorted(where), troubles


def reset(store: str, to: int) -> None:
    command = [sys.executable, "-m", "hello", "reset", "--store", store, "--to", str(to), "--yes"]
    subprocess.run(command, check=True, capture_output=True)


async def until_store_is(name: str, server: Hello) -> None:
    """Wait until a server sees its store so, without a visit."""

    async def is_so() -> bool:
        return await state(server.url) == name

    await until(is_so, f"the store is {name}")


async def recovered(server: Hello) -> int:
    """Visit until there is a number, as on a machine that is too slow for a short deadline; the number."""
    numbers: list[int] = []

    async def is_served() -> bool:
        response = await request(server.url)
        numbers.extend(int(response.headers["hello-count"]) for _ in range(response.status == 200))
        return bool(numbers)

    await until(is_served, "a visitor has a number again")
    return numbers[0]
