"""Messages to a person, on standard streams that may be full, closed or unread."""

import os
import sys
from typing import TextIO

import click


def tell(line: str) -> None:
    """Print a line on standard error. If that fails, the exit status still tells."""
    try:
        click.echo(line, err=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Discard what is left in a stream's buffer: Python flushes it at exit, and a failure would make that 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
