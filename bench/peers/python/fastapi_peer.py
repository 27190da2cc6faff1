"""The tutorial's counter in FastAPI: redis-py, one INCR a request."""

import os

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from redis.asyncio import Redis

app = FastAPI()
redis = Redis.from_url(os.environ["REDIS_URL"])


@app.get("/", response_class=PlainTextResponse)
async def greet() -> str:
    hits = await redis.incr("hits")
    return f"Hello, world! You are visitor {hits}.\n"
