"""The types of `hello check`'s options."""

import math
from typing import Any

import click

from hello.check.judging.verdict import Allowance
from hello.check.visiting.site import Site


class SiteType(click.ParamType[Site]):
    """The URL of a site."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Site:
        """Take it apart, or fail."""
        try:
            return Site.parse(value)
        except ValueError as error:
            self.fail(f"{value}: {error}.", param, ctx)


class Positive(click.FloatRange):
    """A number above 0, of those that one can count with."""

    def __init__(self) -> None:
        super().__init__(0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Take it, or fail."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class AllowanceType(click.ParamType[Allowance]):
    """How much may be lost: `3`, or `0.5%`."""

    name = "allowance"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Allowance:
        """Take a number, or a share of up to 100 %, or fail."""
        if isinstance(value, Allowance):
            return value
        percent = value.endswith("%")
        try:
            number = float(value[:-1]) if percent else int(value)
        except ValueError:
            number = -1
        if not 0 <= number <= (100 if percent else math.inf):
            self.fail(f"{value} is neither a number of visits nor a share such as 0.5%.", param, ctx)
        return Allowance(percent=number) if percent else Allowance(int(number))
