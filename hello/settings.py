"""What `hello serve` can be told, and the store that a URL names."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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

    @property
    def url(self) -> str:
        """Where this machine's browser finds the page."""
        host = "localhost" if self.host in (None, "0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"


def default_store() -> str:
    """A SQLite file where this user's data belongs."""
    return f"sqlite:{platformdirs.user_data_path('hello') / 'hello.db'}"


Password = Callable[[], str] | None
"""What tells a password, at each connection anew."""


def open_store(url: str, redis_password: Password, etcd_password: Password, *, new: bool = True) -> Store:
    """Make the store that `url` names, without asking it anything yet; raises ValueError.

    A file that is not there yet is made if it may be a `new` one.
    """
    scheme, _, rest = url.partition(":")
    match scheme:
        case "memory" if not rest:
            from hello.stores.memory import MemoryStore

            return MemoryStore()
        case "sqlite" if rest:
            from hello.stores.sqlite import SqliteStore

            file = _file(rest)
            if not new:
                _find(file)
            return SqliteStore(file)
        case "redis" | "rediss" | "unix":
            from hello.stores.redis.store import RedisStore

            try:
                return RedisStore(url, redis_password)
            except ValueError as error:
                raise ValueError(f"{without_password(url)} is no Redis URL: {error}") from None
        case "etcd" | "etcds":
            from hello.stores.etcd.store import EtcdStore

            try:
                return EtcdStore(url, etcd_password)
            except ValueError as error:
                raise ValueError(f"{without_password(url)} is no URL of etcd: {error}") from None
    kinds = "memory:, sqlite:PATH, redis://…, rediss://…, unix://…, etcd://…, etcds://…"
    raise ValueError(f"{without_password(url)} is none of {kinds}")


def _file(path: str) -> Path:
    """Where a file is; absolute, since SQLite has names of its own, such as `:memory:`."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}") from None


def _find(file: Path) -> None:
    try:
        file.stat()
    except FileNotFoundError:
        raise ValueError(f"there is no {file}") from None
    except OSError as error:
        raise ValueError(str(error)) from None


def read_password(file: Path) -> str:
    """Read a file with a password; raises ValueError."""
    try:
        password = file.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: {error}") from None
    if not password:
        raise ValueError(f"{file} is empty")
    return password


def without_password(url: str) -> str:
    """The URL as it may be shown. A password may hold what should have been percent-encoded."""
    return re.sub(r"(?<=password=)[^&]*", "***", re.sub(r"(?<=://)([^:@]*):.*@", r"\1:***@", url))
