"""Runs as a pod between the counter and Redis, and delays what passes, or resets connections in mid-answer."""

import asyncio
import os
import random

DELAY = 0.05 if os.environ["FAULT"] == "redis-delay" else 0
"""Seconds each way."""

RESETS = 0.02 if os.environ["FAULT"] == "redis-reset" else 0
"""The share of answers of which half arrives, before the connection is reset."""


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, resets: float) -> None:
    """Pass on what comes, late; or half of it, and a reset."""
    while data := await reader.read(65536):
        await asyncio.sleep(DELAY)
        if random.random() < resets:
            writer.write(data[: len(data) // 2])
            await asyncio.sleep(0.01)
            return
        writer.write(data)


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Connect a client to Redis until either side, or chance, ends it."""
    redis_reader, redis_writer = await asyncio.open_connection(os.environ["REDIS"], 6379)
    ways = [
        asyncio.create_task(pass_on(reader, redis_writer, 0)),
        asyncio.create_task(pass_on(redis_reader, writer, RESETS)),
    ]
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in ways:
        way.cancel()
    for end in writer, redis_writer:
        end.transport.abort()


async def main() -> None:
    """Listen where Redis would."""
    await asyncio.start_server(accept, port=6379)
    await asyncio.Event().wait()


asyncio.run(main())
