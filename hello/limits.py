"""The system's limits on this process."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

try:
    import resource
except ImportError:  # Windows, for hello check
    resource = None  # type: ignore[assignment]

MEMORY = 256 * 2**20
"""Bytes that a process needs at all its limits together. With less memory, the limits are lower."""

BASE = 64 * 2**20
"""Bytes of it for everything but connections."""

CONNECTIONS = 16_384
"""Most connections to the public port."""

HELD_BYTES = 20 * 2**20
"""Most bytes of headers and unsent answers that they hold together; parsed, they take four times that."""

ADMIN_CONNECTIONS, ADMIN_HELD_BYTES = 128, 2**20
"""The same for the admin port."""

OWN_FILES = 128
"""File descriptors reserved for the store, and all else that is not a connection."""

CGROUP_LIMITS = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"
"""A container's memory limit in cgroup versions 2 and 1."""


class Limits(NamedTuple):
    """Limits of a port: its connections, and the bytes that they hold together."""

    connections: int
    held_bytes: int


def port_limits() -> tuple[Limits, Limits]:
    """The limits of the public port and the admin port, separate so that neither can exhaust the other."""
    share = max(memory_limit() - BASE, BASE // 16) / (MEMORY - BASE)
    public = Limits(int(CONNECTIONS * share), int(HELD_BYTES * share))
    admin = Limits(ADMIN_CONNECTIONS, ADMIN_HELD_BYTES)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE) if resource else (-1, -1)
    if files < 0:  # unlimited or unknown
        return public, admin
    few, own = min(ADMIN_CONNECTIONS, files // 8), min(OWN_FILES, files // 2)
    return public._replace(connections=min(public.connections, files - own - few)), admin._replace(connections=few)


def memory_limit() -> int:
    """The container's memory limit in bytes, at most MEMORY."""
    for file in CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # "max" if unlimited
            return min(MEMORY, int(Path(file).read_text()))
    return MEMORY


def raise_file_limit() -> None:
    """Raise the limit of open files as far as allowed: each connection needs one."""
    if resource:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError, OSError):  # macOS rejects its own hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
