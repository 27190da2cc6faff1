"""A text whose commands are run, and whose outputs are what comes: manifests/tour/README.md.

Its fenced blocks are, in their order:

- `sh`: commands, one a line, without anything that shells write differently. Each must succeed.
- `text` after it: what the last of them prints. Names, addresses, ages and whatever stands as … are only matched; a
  line that is … alone is any number of lines. What changes nothing is asked again until the output is there; a visit
  is made again until it is answered, and a check that is to find a fault until it finds it: no reader is so quick that
  the Service knows only one of three pods that are ready.
- `sh open`: a command that holds its terminal, which is left open.
- `diff`: how a file is edited.
"""

import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from tests.support.commands import ENVIRONMENT
from tests.support.deployment import copy_source

PATIENCE = 90
"""Seconds for which a reader asks again."""

FENCE = re.compile(r"^```(sh open|sh|text|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VISITING = re.compile(r"curl |kubectl get --raw ")
ASKING = re.compile(r"kubectl (get|describe|logs) (?!--raw)")
FINDING = re.compile(r"^Promise broken:", re.MULTILINE)
UNLIKE = set("$|<>'&;\\`*{}!%")
"""What shells do not all take for itself."""

URL = re.compile(r"http://\d+\.\d+\.\d+\.\d+:\d+")
PATTERNS = {
    "url": URL.pattern,
    "pod": r"\bhello-world-[0-9a-f]{5,10}(-[a-z0-9]{5})?\b",
    "address": r"\b\d+\.\d+\.\d+\.\d+\b",
    "port": r":3\d{4}/",
    "age": r"\b\d+[smhd](\d+[smhd])?\b",
    "blank": r"\s+",
}
"""What is only matched."""
VARIABLE = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in PATTERNS.items()) + "|(?P<any>…)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, and the output that is shown under it, if it is one of commands."""

    kind: str
    text: str
    output: str | None = None

    @property
    def commands(self) -> list[str]:
        return self.text.splitlines()


def blocks(text: str) -> Iterator[Block]:
    """The blocks that are run, each with its output."""
    found = [(match[1], match[2]) for match in FENCE.finditer(text)]
    for i, (kind, content) in enumerate(found):
        if kind != "text":
            output = found[i + 1][1] if found[i + 1 : i + 2] and found[i + 1][0] == "text" else None
            yield Block(kind, content, output)


def matches(shown: str, printed: str) -> bool:
    """Whether what was printed is what the text shows."""
    pattern = "".join(
        r"(.*\n)*" if line.strip() == "…" else _line(line.rstrip()) + r"\s*\n" for line in shown.splitlines()
    )
    return re.fullmatch(pattern, printed.rstrip() + "\n") is not None


def _line(line: str) -> str:
    """A pattern of a line that is shown."""
    pattern, end = "", 0
    for found in VARIABLE.finditer(line):
        pattern += re.escape(line[end : found.start()]) + PATTERNS.get(str(found.lastgroup), ".*")
        end = found.end()
    return pattern + re.escape(line[end:])


class Reader:
    """Who goes through a text, in a copy of the repository."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        copy_source(directory)
        (directory / ".curlrc").write_text("silent\nshow-error\n")  # on a terminal it shows no progress either
        self._environment = ENVIRONMENT | {"CURL_HOME": str(directory)}
        self._urls: dict[str, str] = {}
        """What stands in the text for a URL, and what it is here."""
        self._terminals = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._terminals.close()

    def do(self, block: Block) -> None:
        """Do what a block says; fail the test if what comes is not what it shows."""
        if block.kind == "diff":
            self._edit(block.text)
        elif block.kind == "sh open":
            self._leave_open(block)
        else:
            *first, last = block.commands
            for command in first:
                self._run(command, None)
            self._run(last, block.output)

    def _run(self, command: str, shown: str | None) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            with self._start(command, errors=subprocess.STDOUT) as process:
                printed, _ = process.communicate()
            if matches(shown, printed) if shown else process.returncode == 0:
                break
            again = ASKING.match(command) or (process.returncode and VISITING.match(command))
            again = again or (shown and FINDING.search(shown))
            assert again, f"{command}\n{printed}\nis shown as\n{shown}"
            assert time.monotonic() < end, f"{command}\n{printed}\nis still not shown as\n{shown}"
            time.sleep(1)

    def _start(self, command: str, errors: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._words(command),
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )

    def _leave_open(self, block: Block) -> None:
        process = self._start(block.text.strip(), errors=subprocess.DEVNULL)
        self._terminals.enter_context(process)
        self._terminals.callback(process.terminate)
        assert process.stdout
        assert block.output
        self._read(process.stdout, block.output)

    def _read(self, output: IO[str], shown: str) -> None:
        """Read until what is shown is there, and note which URL is meant."""
        for line in shown.splitlines():
            printed = output.readline()
            assert matches(line, printed), f"{printed!r} is shown as {line!r}"
            for meant, is_here in zip(URL.findall(line), URL.findall(printed), strict=True):
                self._urls[meant] = is_here

    def _words(self, command: str) -> list[str]:
        assert not UNLIKE & set(command), command
        for meant, is_here in self._urls.items():
            command = command.replace(meant, is_here)
        return shlex.split(command)

    def _edit(self, diff: str) -> None:
        """Replace lines by others, in the file that the first two lines name."""
        name, _, *lines = diff.splitlines()
        file = self.directory / name.removeprefix("--- ")
        old, new = ("".join(line[1:] + "\n" for line in lines if line[0] in " " + sign) for sign in "-+")
        text = file.read_text()
        assert text.count(old) == 1, diff
        file.write_text(text.replace(old, new))
