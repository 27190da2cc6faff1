"""The system's limits on this process."""

from contextlib import suppress
from typing import NamedTuple

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

CONNECTIONS = 16_384
"""Connections to the public port, at the most: some 100 MB."""

ADMIN_CONNECTIONS = 128
"""Connections to an admin port, at the most."""

OWN_FILES = 128
"""Files that are kept for the store and for what else is not a connection."""


class ConnectionLimit(NamedTuple):
    """How many connections may be open on each port."""

    public: int
    admin: int


def connection_limit() -> ConnectionLimit:
    """Share the files that this process may open, so that none of its parts can take those of another."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE) if resource else (-1, -1)
    if files < 0:  # no limit, or none that is known
        return ConnectionLimit(CONNECTIONS, ADMIN_CONNECTIONS)
    admin, own = min(ADMIN_CONNECTIONS, files // 8), min(OWN_FILES, files // 2)
    return ConnectionLimit(min(CONNECTIONS, files - own - admin), admin)


def raise_file_limit() -> None:
    """Let each connection have its file, as far as the system allows."""
    if resource:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError, OSError):  # macOS names no number it would take
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
