"""Words for a person, on standard streams that may be full, closed or read by nobody."""

import os
import sys
from typing import TextIO

import click


def tell(line: str) -> None:
    """Say a line on standard error, if anybody can hear it; where nobody can, the exit status tells."""
    try:
        click.echo(line, err=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Let nobody hear what is left in a stream: Python writes it as it ends, and exits 120 where that fails."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
