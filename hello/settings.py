"""What `hello serve` can be told."""

from dataclasses import dataclass
from pathlib import Path

import platformdirs


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


def read_password(file: Path) -> str:
    """Read a file with a password; raises ValueError."""
    try:
        password = file.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: {error}") from None
    if not password:
        raise ValueError(f"{file} is empty")
    return password
