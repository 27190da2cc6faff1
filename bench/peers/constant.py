"""The floor: aiohttp's low-level server, whose handler answers a constant Response with the headers of our server."""

import asyncio
import os

import uvloop
from aiohttp import web

HEADERS = {
    "Cache-Control": "no-store",
    "Hello-Count": "42",
    "Hello-Pod": "pod",
    "Hello-Epoch": "1764208418123456-0123abcd",
}


async def greet(_: web.BaseRequest) -> web.Response:
    return web.Response(text="Hello, world! You are visitor 42, greeted by pod.\n", headers=HEADERS)


async def main() -> None:
    server = web.Server(greet, access_log=None)
    await asyncio.get_running_loop().create_server(server, "127.0.0.1", int(os.environ["PORT"]), backlog=1024)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
