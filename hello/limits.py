"""The system's limits on this process."""

import resource
from contextlib import suppress


def raise_file_limit() -> None:
    """Let each connection have its file, as far as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS names no number it would take
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
