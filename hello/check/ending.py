"""How `hello check` exits: 1 is always a verdict; any failure to reach one is 2."""

import sys
from pathlib import Path
from traceback import extract_tb
from typing import Any

import click

from hello.output import silence


class NotJudgedError(click.ClickException):
    """The cluster could not be judged."""

    exit_code = 2


class Judgement(click.Command):
    """A command that exits with 2 if it fails itself."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (KeyboardInterrupt, click.Abort) as error:
            raise NotJudgedError("interrupted before all was judged and told") from error
        except Exception as error:
            raise NotJudgedError(f"a fault of its own, nothing was judged: {_where(error)}") from error


def say(text: str) -> None:
    """Print; if nobody can read it, the exit status must not look like a verdict."""
    try:
        click.echo(text)
    except OSError as error:
        silence(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise click.exceptions.Exit(NotJudgedError.exit_code) from error
        raise NotJudgedError(f"the report could not be written: {error}") from error


def _where(error: BaseException) -> str:
    """An error and where it was raised, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    innermost = extract_tb(error.__traceback__)[-1]
    return " ".join(f"{Path(innermost.filename).name}:{innermost.lineno}: {type(error).__name__}: {error}".split())
