"""The system's limits on this process."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

MEMORY = 256 * 2**20
"""Bytes in which all the limits fit together; where a process may use less, its connections may hold less."""

BASE = 64 * 2**20
"""Bytes of this that are not the connections'."""

CONNECTIONS = 16_384
"""Connections to the public port, at the most."""

HELD_BYTES = 20 * 2**20
"""Bytes of headers and unsent answers that they hold together, at the most; they take four times that, once parsed."""

ADMIN_CONNECTIONS, ADMIN_HELD_BYTES = 128, 2**20
"""The same for an admin port."""

OWN_FILES = 128
"""Files that are kept for the store and for what else is not a connection."""

CGROUP_LIMITS = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"
"""Where a container finds its memory limit: cgroup version 2, and 1."""


class Limits(NamedTuple):
    """How many connections a port may have, and how many bytes they may hold together."""

    connections: int
    held_bytes: int


def port_limits() -> tuple[Limits, Limits]:
    """The limits of the public port and of an admin port, so that neither can take memory or files from the other."""
    share = max(memory_limit() - BASE, BASE // 16) / (MEMORY - BASE)
    public = Limits(int(CONNECTIONS * share), int(HELD_BYTES * share))
    admin = Limits(ADMIN_CONNECTIONS, ADMIN_HELD_BYTES)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE) if resource else (-1, -1)
    if files < 0:  # no limit, or none that is known
        return public, admin
    few, own = min(ADMIN_CONNECTIONS, files // 8), min(OWN_FILES, files // 2)
    return public._replace(connections=min(public.connections, files - own - few)), admin._replace(connections=few)


def memory_limit() -> int:
    """Bytes of memory that this process's container may use; MEMORY if it may use more, or has no limit."""
    for file in CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # cgroup 2 says "max" where there is no limit
            return min(MEMORY, int(Path(file).read_text()))
    return MEMORY


def raise_file_limit() -> None:
    """Let each connection have its file, as far as the system allows."""
    if resource:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError, OSError):  # macOS names no number it would take
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
