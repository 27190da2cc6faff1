"""The table of README.md: what `hello check` says of each liar and each lossy server, and its exit status."""

import asyncio
import re
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

from tests.check.commands import Result, check, result, start
from tests.check.servers import (
    Cached,
    Counter,
    DiesOnce,
    Duplicate,
    Failing,
    Forgotten,
    Frozen,
    FrozenForLong,
    GoneBack,
    Late,
    LosesOneIn200,
    Lossy,
    Mortal,
    Skipped,
    Swapped,
    TwoCounters,
    Wiped,
    checked,
    serving,
)
from tests.support.proxies import nginx

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


DUE = "--requests=1010", "--rate=100", "--alone", "--timeout=60"


async def row(server: type[Counter], clients: int, name: str) -> str:
    """The line of a server in the table."""
    options = "--requests=1010", f"--clients={clients}", "--alone", "--connections=kept"
    return line(name, await checked(server(505), *options))


async def due_row(server: type[Counter], name: str) -> str:
    """The line of a server that is visited at a rate."""
    return line(name, await checked(server(505), *DUE))


async def repeated_row(directory: Path) -> str:
    """The line of a server behind nginx, which repeats a request when the server dies."""
    async with serving(DiesOnce(505)) as url, nginx(url, directory) as proxy:
        return line("is killed once, behind nginx", await check(proxy, "--requests=1010", "--alone"))


async def stopped_row() -> str:
    """The line of a checker that is stopped for 5 s."""
    async with serving(counter := Counter(505)) as url:
        process = await start(url, *DUE)
        await counter.visited(300)
        process.send_signal(SIGSTOP)
        await asyncio.sleep(5)  # the fault itself
        process.send_signal(SIGCONT)
        return line("does all as it should, while the checker is stopped for 5 s, with `--rate`", await result(process))


def line(name: str, outcome: Result) -> str:
    return f"| {name} | {outcome.output.splitlines()[-1]} | {outcome.status} |"


@pytest.mark.long
async def test_the_readme_has_the_table_of_what_is_said_of_each(tmp_path: Path) -> None:
    rows = [await row(server, 1, name) for server, name in LIARS.items()]
    rows += [await row(server, 20, name) for server, name in LOSSY.items()]
    slow = (
        due_row(FrozenForLong, "freezes for 12 s, with `--rate`"),
        due_row(Late, "answers each visit after 12 s, with `--rate`"),
    )
    rows += await asyncio.gather(*slow)
    rows += [await repeated_row(tmp_path), await stopped_row()]
    head = "| a server that | `hello check --alone` says of 1,010 visits | exit |", "| --- | --- | ---: |"
    table = "\n".join([*head, *rows])
    assert timeless(table) in timeless(README.read_text()), f"the README should have\n\n{table}"


def timeless(text: str) -> str:
    """Without the seconds, which depend on the machine."""
    return re.sub(r"\d+\.\d (of \d+\.\d )?s", "some s", text)
