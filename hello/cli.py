"""The command line."""

import asyncio
import secrets
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import click

from hello import __version__
from hello.options import Seconds, name, option
from hello.output import tell
from hello.settings import Settings, default_store, read_password
from hello.stores import LIMIT, BrokenError, Reading, Store, StoreError, UnavailableError
from hello.stores.opening import open_store
from hello.stores.url import Password, without_password

READINGS = 4
"""Attempts of `hello reset` to read a store that does not answer."""

LEVELS = ["debug", "info", "warning", "error", "critical"]


def _host_name() -> str:
    return socket.gethostname().encode("ascii", "replace").decode()


def store_options(command: Callable[..., None]) -> Callable[..., None]:
    file = option(
        "--store-password-file", type=click.Path(path_type=Path), help="A file that holds the store's password."
    )
    password = option(
        "--store-password", help="The store's password. Prefer a file: other users of the machine can see flags."
    )
    store = option(
        "--store",
        metavar="URL",
        default=default_store,
        show_default="a SQLite file in your data directory",
        help="Where the count is kept: memory:, sqlite:PATH, redis://…, rediss://…, unix://…, etcd://… or etcds://…",
    )
    return store(password(file(command)))


class Commands(click.Group):
    """The commands. `hello check` is imported only to run it: a server does not need it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "check"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "check":
            from hello.check.command import check

            return check
        return super().get_command(ctx, cmd_name)


@click.group(cls=Commands, context_settings={"max_content_width": 100, "show_default": True})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Count visitors, exactly: every answer carries a number that no other answer carries."""


@cli.command()
@store_options
@option("--host", default=None, show_default="every address", help="The address to listen on.")
@option("--port", type=click.IntRange(1, 65535), default=8080, help="The port to listen on.")
@option(
    "--admin-port",
    type=click.IntRange(1, 65535),
    help="A second port, for readiness and metrics; both ports answer /healthz.  [default: all on one port]",
)
@option("--reuse-port", is_flag=True, help="Share the port with other servers that set this flag (SO_REUSEPORT).")
@option(
    "--pod",
    type=name,
    default=_host_name,
    show_default="the host's name",
    help="The pod's name, which greets visitors.",
)
@option("--version", type=name, help="The version to show, such as the image's tag.")
@option("--node", type=name, help="The node to show.")
@option(
    "--deadline",
    type=Seconds(0.1, 3600),
    default=10,
    help="Seconds that a visitor waits for the store before getting 503.",
)
@option(
    "--drain",
    type=Seconds(0, 3600),
    default=0,
    help="Seconds to keep serving after SIGTERM, until a Service has stopped sending visitors.",
)
@option(
    "--log",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="info",
    help="The lowest level to log; debug logs each request.",
)
def serve(**options: Any) -> None:
    """Serve the counter until SIGTERM or Ctrl-C.

    GET / counts a visitor; GET /count returns the total.
    """
    password = _password(options)
    settings = Settings(**options)
    if settings.admin_port == settings.port:
        raise click.UsageError(f"--admin-port (HELLO_ADMIN_PORT): {settings.port} is already the public port")
    _run(settings, _open(settings.store, password))


def _run(settings: Settings, store: Store) -> None:
    from hello.server import loop_factory, serve
    from hello.web.listening import ListenError

    failure: Exception | None = None
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(serve(settings, store))
    except* (BrokenError, ListenError) as group:
        failure = group.exceptions[0]
    if failure:
        raise click.ClickException(str(failure))


@cli.command()
@store_options
@click.option(
    "--to",
    type=click.IntRange(0, LIMIT - 1),
    default=0,
    help="The next number is N + 1.",
    metavar="N",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(store: str, to: int, yes: bool, **options: Any) -> None:
    """Begin a new epoch for every process that counts in the store.

    The count restarts after N. A store that was rolled back is trusted again.
    """
    if store == "memory:":
        raise click.UsageError("the memory store is reset when its process restarts: restart it")
    if not yes and sys.stdin is None:
        raise click.UsageError("standard input is closed, so nobody can confirm: pass --yes")
    opened = _open(store, _password(options), new=False)
    try:
        asyncio.run(_reset(opened, without_password(store), to, yes))
    except StoreError as error:
        raise click.ClickException(str(error)) from None


async def _reset(store: Store, url: str, to: int, yes: bool) -> None:
    try:
        before = await _read(store)
        if not yes:
            click.confirm(f"{url} has counted to {before.count}. Restart the count after {to}?", abort=True, err=True)
        await store.reset(secrets.token_hex(4), to)
    finally:
        await store.close()
    click.echo(f"A new epoch has begun; its first visitor will be {to + 1}.")


async def _read(store: Store) -> Reading:
    """Read a store, with retries; raises StoreError."""
    for _ in range(READINGS - 1):
        with suppress(UnavailableError):
            return await store.read("", 0)
        await asyncio.sleep(1)
    return await store.read("", 0)


def _open(url: str, password: Password | None, *, new: bool = True) -> Store:
    try:
        return open_store(url, password, new=new)
    except ValueError as error:
        raise click.UsageError(f"--store (HELLO_STORE): {error}") from None


def _password(options: dict[str, Any]) -> Password | None:
    """Pop the password, or the file that holds it, from the options."""
    password: str | None = options.pop("store_password")
    file: Path | None = options.pop("store_password_file")
    if file is None:
        given = (password or "").rstrip("\r\n")
        return (lambda: given) if given else None
    if password is not None:
        raise click.UsageError("--store-password and --store-password-file: give one of them, not both")
    try:
        read_password(file)
    except ValueError as error:
        raise click.UsageError(f"--store-password-file (HELLO_STORE_PASSWORD_FILE): {error}") from None
    return partial(read_password, file)


def main() -> None:
    """Run the command line. A failure prints one line; the status is 2 for a bad option, 130 for Ctrl-C, else 1."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
        code = 2
    except click.ClickException as error:
        tell(f"hello: {error.format_message()}")
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        tell("hello: nothing was done")
        code = 128 + signal.SIGINT if isinstance(error.__cause__ or error, KeyboardInterrupt) else 1
    except RuntimeError as error:  # click.Abort is one, too
        if "can't start new thread" not in str(error):
            raise
        tell("hello: cannot start a thread: raise the limit of processes (ulimit -u, pids)")
        code = 1
    sys.exit(code)
