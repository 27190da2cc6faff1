"""Runs as a pod between the counter and Redis: port 6379 delays, port 6380 resets connections in mid-answer."""

import asyncio
import random
import sys
from functools import partial

DELAY = 0.05
"""Seconds each way."""

RESETS = 0.02
"""The share of answers of which half arrives, before the connection is reset."""


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float, resets: float) -> None:
    """Pass on what comes, late; or half of it, and a reset."""
    while data := await reader.read(65536):
        await asyncio.sleep(delay)
        if random.random() < resets:
            writer.write(data[: len(data) // 2])
            await asyncio.sleep(0.01)
            return
        writer.write(data)


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float, resets: float) -> None:
    """Connect a client to Redis until either side, or chance, ends it."""
    target_reader, target_writer = await asyncio.open_connection(sys.argv[1], 6379)
    ways = [
        asyncio.create_task(pass_on(reader, target_writer, delay, 0)),
        asyncio.create_task(pass_on(target_reader, writer, delay, resets)),
    ]
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in ways:
        way.cancel()
    for end in writer, target_writer:
        end.transport.abort()


async def main() -> None:
    """Listen on both ports."""
    for port, delay, resets in (6379, DELAY, 0.0), (6380, 0.0, RESETS):
        await asyncio.start_server(partial(accept, delay=delay, resets=resets), port=port)
    await asyncio.Event().wait()


asyncio.run(main())
