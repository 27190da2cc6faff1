"""`python -m hello` is `hello`."""

import os
import signal
import sys


def main() -> None:
    """Run the command line. SIGTERM ends it from its first moment on, as the first process of a container too."""
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
    """Put the null device in the place of a standard stream that is closed; let none fail for want of a character.

    Else the next files would take their numbers: libuv, for one, ends the process when it finds its own there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # has the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    for stream in sys.stdout, sys.stderr:
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
