"""Messages to the user, on standard streams that may be full or closed."""

import os
import sys
from typing import TextIO

import click


def tell(line: str) -> None:
    """Print a line to standard error; if that fails, the exit status must do."""
    try:
        click.echo(line, err=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Discard a stream's buffer: if Python fails to flush it at exit, the exit status is 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
