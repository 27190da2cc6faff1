"""Options that a flag or an environment variable sets."""

import math
import re
from collections.abc import Callable
from typing import Any

import click

from hello.output import tell


def name(value: str) -> str:
    """Check that a header can carry a name (RFC 9110, section 5.5)."""
    if not re.fullmatch("[!-~]+", value):
        raise click.BadParameter(f"{value!r} is not printable ASCII without blanks")
    return value


class Seconds(click.FloatRange):
    """A number in a range, which is not `nan`: no comparison excludes that."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds


class Option(click.Option):
    """Strips blanks and a Windows file's carriage returns, and ignores variables that Kubernetes sets.

    A Service named `hello` sets HELLO_PORT=tcp://10.96.1.2:8080 in pods, and one named `hello-admin` HELLO_ADMIN_PORT:
    https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
    """

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Strip blanks, except from a password, which may contain them."""
        is_text = isinstance(value, str) and self.name != "store_password"
        return super().type_cast_value(ctx, value.strip() if is_text else value)

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Ignore a variable that is blank or holds the address of a Service."""
        value = super().resolve_envvar_value(ctx)
        if not value or value.isspace():
            return None
        if value.startswith(("tcp://", "udp://", "sctp://")) and str(self.envvar).endswith("_PORT"):
            tell(f"hello: ignored {self.envvar}={value}, which is the address of a Service and not a port")
            return None
        return value


def option(name: str, **attributes: object) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a flag that an environment variable (HELLO_…) can also set."""
    variable = "HELLO_" + name.removeprefix("--").replace("-", "_").upper()
    return click.option(name, cls=Option, envvar=variable, show_envvar=True, **attributes)
