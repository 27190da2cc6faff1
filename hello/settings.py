"""The settings of `hello serve`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `hello serve`. Times are in seconds. Without an admin port, `port` serves everything."""

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
        """The page's address for a browser on this machine."""
        host = "localhost" if self.host in (None, "0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"


def default_store() -> str:
    """Name a SQLite file in the user's data directory."""
    import platformdirs  # here, since pods do not need it

    return f"sqlite:{platformdirs.user_data_path('hello') / 'hello.db'}"


def read_password(file: Path) -> str:
    """Read a password from a file; raises ValueError."""
    try:
        password = file.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: {error}") from None
    if not password:
        raise ValueError(f"{file} is empty")
    return password
