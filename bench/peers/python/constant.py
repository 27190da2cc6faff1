"""The floor: aiohttp's Application, which answers a constant; its settings and headers are those of our server."""

import os

import uvloop
from aiohttp import web

HEADERS = {
    "Hello-Count": "42",
    "Hello-Pod": "pod",
    "Hello-Epoch": "0123456789abcdef01234567",
    "Cache-Control": "no-store",
}


async def greet(_: web.Request) -> web.Response:
    return web.Response(text="Hello, world! You are visitor 42, greeted by pod.\n", headers=HEADERS)


async def application() -> web.Application:
    app = web.Application()
    app.router.add_get("/", greet)
    return app


if __name__ == "__main__":
    uvloop.install()
    port = int(os.environ["PORT"])
    web.run_app(application(), host="127.0.0.1", port=port, access_log=None, backlog=1024, print=None)
