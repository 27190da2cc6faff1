"""The table of README.md: what `hello check` says of each liar and each lossy server, and how it exits."""

import re
from pathlib import Path

import pytest

from tests.check.commands import check
from tests.check.servers import (
    Cached,
    Counter,
    Duplicate,
    Failing,
    Forgotten,
    Frozen,
    GoneBack,
    LosesOneIn200,
    Lossy,
    Mortal,
    Skipped,
    Swapped,
    TwoCounters,
    Wiped,
    serving,
)

README = Path(__file__).with_name("README.md")
LIARS: dict[type[Counter], str] = {
    Counter: "does all as it should",
    Duplicate: "gives a number twice",
    Cached: "sits behind a cache that repeats an answer",
    Forgotten: "forgets the last number it gave",
    Wiped: "begins anew",
    Skipped: "skips a number",
    Swapped: "gives a number too late",
    GoneBack: "tells a total that goes back",
    TwoCounters: "is two counters, one of which answers once",
}
LOSSY: dict[type[Counter], str] = {
    Lossy: "drops every other connection",
    Mortal: "dies for good",
    Failing: "answers 500 to 49 of 50",
    LosesOneIn200: "loses one answer in 200",
    Frozen: "freezes for 3 s",
}


async def row(server: type[Counter], clients: int, name: str) -> str:
    """Visit it; its line of the table."""
    async with serving(server(505)) as url:
        result = await check(url, "--requests=1010", f"--clients={clients}", "--alone", "--connections=kept")
    return f"| {name} | {result.output.splitlines()[-1]} | {result.status} |"


@pytest.mark.long
async def test_the_readme_has_the_table_of_what_is_said_of_each() -> None:
    rows = [await row(server, 1, name) for server, name in LIARS.items()]
    rows += [await row(server, 20, name) for server, name in LOSSY.items()]
    head = "| a server that | `hello check --alone` says of 1,010 visits | exit |", "| --- | --- | ---: |"
    table = "\n".join([*head, *rows])
    assert timeless(table) in timeless(README.read_text()), f"the README should have\n\n{table}"


def timeless(text: str) -> str:
    """Without what a slow machine makes of 3 s."""
    return re.sub(r"\d\.\d s", "3.0 s", text)
