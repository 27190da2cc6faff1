"""The floor: aiohttp, which answers a constant; its settings are those of our server."""

import os

import uvloop
from aiohttp import web


async def greet(_: web.Request) -> web.Response:
    return web.Response(text="Hello, world! You are visitor 42.\n")


async def application() -> web.Application:
    app = web.Application()
    app.router.add_get("/", greet)
    return app


if __name__ == "__main__":
    uvloop.install()
    port = int(os.environ["PORT"])
    web.run_app(application(), host="127.0.0.1", port=port, access_log=None, backlog=1024, print=None)
