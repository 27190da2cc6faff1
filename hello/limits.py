"""The system's limits on this process."""

from contextlib import suppress

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]


def raise_file_limit() -> None:
    """Let each connection have its file, as far as the system allows."""
    if resource:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError, OSError):  # macOS names no number it would take
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
