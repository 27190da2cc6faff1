"""What `hello serve` can be told, and the store that a URL names."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from hello.stores import Store


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `hello serve`. Times are in seconds; without an admin port everything is on `port`."""

    store: str
    redis_password: str | None
    host: str | None
    port: int
    admin_port: int | None
    pod: str
    deadline: float
    drain: float
    log: str


def default_store() -> str:
    """A SQLite file where this user's data belongs."""
    return f"sqlite:{platformdirs.user_data_path('hello') / 'hello.db'}"


def open_store(url: str, redis_password: str | None) -> Store:
    """Make the store that `url` names, without asking it anything yet; raises ValueError."""
    scheme, _, rest = url.partition(":")
    match scheme:
        case "memory" if not rest:
            from hello.stores.memory import MemoryStore

            return MemoryStore()
        case "sqlite" if rest:
            from hello.stores.sqlite import SqliteStore

            return SqliteStore(Path(rest).expanduser())
        case "redis" | "rediss" | "unix":
            try:
                return _open_redis(url, redis_password)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{without_password(url)}: {error}") from None
    raise ValueError(f"{without_password(url)} is none of memory:, sqlite:PATH, redis://…, rediss://…, unix://…")


def _open_redis(url: str, password: str | None) -> Store:
    from hello.stores.redis import RedisStore

    parts = urlsplit(url)
    if parts.scheme != "unix" and not (parts.path.strip("/") or "0").isdecimal():
        raise ValueError(f"{parts.path!r} is no number of a database")  # redis-py would take 0
    return RedisStore(url, password)


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    return re.sub(r"(?<=password=)[^&]*|(?<=:)[^:@/]*(?=@)", "***", url)
