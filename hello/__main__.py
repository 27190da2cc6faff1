"""`python -m hello` is `hello`."""

import signal
import sys


def main() -> None:
    """Run the command line. SIGTERM ends it from its first moment on, as the first process of a container too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    from hello.cli import main

    main()


if __name__ == "__main__":
    main()
