"""`python -m hello` is `hello`."""

import os
import signal
import sys


def main() -> None:
    """Run the command line. SIGTERM ends it from the start, even as process 1 of a container."""
    _complete_standard_streams()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        from hello.cli import main
    except (ImportError, AttributeError, TypeError) as error:
        if "PYTHONPATH" not in os.environ:
            raise
        sys.exit(f"hello: a library does not fit, perhaps one on PYTHONPATH: {error}")
    main()


def _complete_standard_streams() -> None:
    """Replace closed standard streams by the null device, and let none fail on a character that it cannot encode.

    Otherwise the next files would take their descriptors, and libuv aborts if one of its own is among them.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    for stream in sys.stdout, sys.stderr:
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
