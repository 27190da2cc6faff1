"""Opens the store that a URL names. Each store is imported only if it is used, which saves memory."""

from pathlib import Path

from hello.stores import Store
from hello.stores.url import Password, without_password


def open_store(url: str, password: Password | None = None, *, new: bool = True) -> Store:
    """Make a store that connects with its first batch; raises ValueError, for a missing file if it may not be `new`."""
    scheme, _, rest = url.partition(":")
    if scheme in ("memory", "sqlite") and password:
        raise ValueError(f"{scheme}: takes no password")
    try:
        match scheme:
            case "memory" if not rest:
                from hello.stores.memory import MemoryStore

                return MemoryStore()
            case "sqlite" if rest:
                from hello.stores.sqlite import SqliteStore

                return SqliteStore(_file(rest, new=new))
            case "redis" | "rediss" | "unix":
                from hello.stores.redis.store import RedisStore

                return RedisStore(url, password)
            case "etcd" | "etcds":
                from hello.stores.etcd.store import EtcdStore

                return EtcdStore(url, password)
    except ValueError as error:
        raise ValueError(f"{without_password(url)}: {error}") from None
    kinds = "memory:, sqlite:PATH, redis://…, rediss://…, unix://…, etcd://…, etcds://…"
    raise ValueError(f"{without_password(url)} is none of {kinds}")


def _file(path: str, *, new: bool) -> Path:
    """A file's absolute path: SQLite has names of its own, such as `:memory:`."""
    try:
        file = Path(path).expanduser().absolute()
        if not new:
            file.stat()
    except (OSError, RuntimeError) as error:
        raise ValueError(getattr(error, "strerror", None) or str(error)) from None
    return file
