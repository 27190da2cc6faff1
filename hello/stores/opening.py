"""Which store a URL names. Each is imported only if it is used: a pod needs the client of its own alone."""

from pathlib import Path

from hello.stores import Store
from hello.stores.url import Password, without_password


def open_store(url: str, password: Password | None = None, *, new: bool = True) -> Store:
    """Make the store that a URL names, without asking it anything yet; raises ValueError.

    A missing file is created later if `new` allows it.
    """
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
    """Where a file is; absolute, since SQLite has names of its own, such as `:memory:`."""
    try:
        file = Path(path).expanduser().absolute()
        if not new:
            file.stat()
    except (OSError, RuntimeError) as error:
        raise ValueError(getattr(error, "strerror", None) or str(error)) from None
    return file
