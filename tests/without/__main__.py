"""`make without`: lists the lines, or shows what one of them buys."""

import sys
from signal import SIGTERM, default_int_handler, signal

import click

from tests.without.cluster import deploy, namespace, settle
from tests.without.lines import LINES


@click.command()
@click.argument("name", default="")
def without(name: str) -> None:
    """Deploy the counter without a line, in a namespace of its own, and see what is lost."""
    if not name:
        for line in LINES.values():
            click.echo(f"  {line.name:<20} {line.sentence}")
        return
    if name not in LINES:
        click.echo(f"there is no line '{name}': make without lists them", err=True)
        sys.exit(2)
    line = LINES[name]
    signal(SIGTERM, default_int_handler)
    try:
        with namespace():
            click.echo(f"deploying without {name}")
            deploy(name)
            if line.serves:
                settle()
            click.echo(line.experiment.__doc__)
            click.echo(line.experiment().said)
    except KeyboardInterrupt:
        sys.exit(130)
    except AssertionError as error:
        sys.exit(str(error) or 1)


without()
