"""The Compose quickstart's counter in Flask: redis-py, one INCR a request."""

import os

from flask import Flask
from redis import Redis

app = Flask(__name__)
redis = Redis.from_url(os.environ["REDIS_URL"])


@app.get("/")
def greet() -> str:
    hits = redis.incr("hits")
    return f"Hello, world! You are visitor {hits}.\n"
