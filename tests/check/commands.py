"""`hello check` as a user runs it."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any, NamedTuple

COMMAND = (sys.executable, "-W", "error", "-m", "hello", "check")


class Result(NamedTuple):
    """The exit status and the output of a run."""

    status: int
    output: str
    errors: str

    @property
    def report(self) -> dict[str, Any]:
        """The report of --json."""
        report: dict[str, Any] = json.loads(self.output)
        return report

    @property
    def kinds(self) -> set[str]:
        return {finding["kind"] for finding in self.report["findings"]}


async def start(*arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(*COMMAND, *arguments, stdout=PIPE, stderr=PIPE)


async def run(*command: str | Path) -> Result:
    return await result(await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE))


async def result(process: Process) -> Result:
    output, errors = await process.communicate()
    return Result(process.returncode or 0, output.decode(), errors.decode())


async def check(*arguments: str) -> Result:
    return await result(await start(*arguments))
