"""What `hello serve` can be told, and the store that a URL names."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from hello.stores import Store


@dataclass(frozen=True, slots=True)
class Settings:
    """What `hello serve` is told. Times are in seconds; without an admin port everything is on `port`."""

    store: str
    host: str | None
    port: int
    admin_port: int | None
    reuse_port: bool
    pod: str
    version: str | None
    node: str | None
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

            return SqliteStore(_file(rest))
        case "redis" | "rediss" | "unix":
            try:
                return _open_redis(url, redis_password)
            except ValueError as error:
                # What the error names may be a part of a password.
                why = "its user and password must be percent-encoded" if "@" in url else error
                raise ValueError(f"{without_password(url)} is no Redis URL: {why}") from None
    raise ValueError(f"{without_password(url)} is none of memory:, sqlite:PATH, redis://…, rediss://…, unix://…")


def _file(path: str) -> Path:
    """Where a file is; absolute, since SQLite has names of its own, such as `:memory:`."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}") from None


def _open_redis(url: str, password: str | None) -> Store:
    from hello.stores.redis import RedisStore

    parts = urlsplit(url)
    if parts.scheme != "unix" and not (parts.path.strip("/") or "0").isdecimal():
        raise ValueError(f"{parts.path!r} is no number of a database")  # redis-py would take 0
    if password is not None and parts.password is not None:
        raise ValueError("it has a password, and there is another one besides")  # redis-py would take the former
    (parts.hostname or "").encode("idna")
    return RedisStore(url, password)


def without_password(url: str) -> str:
    """The URL as it may be shown. A password may hold what should have been percent-encoded."""
    return re.sub(r"(?<=password=)[^&]*", "***", re.sub(r"(?<=://)([^:@]*):.*@", r"\1:***@", url))
