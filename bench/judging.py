"""What `hello check` takes to judge a log, over what Python takes to parse it."""

import subprocess
import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from bench.processes import BUILD
from bench.servers import Python, Redis, Server

VISITS = 20_000
FEW = 100
"""Lines of a log that costs no more than the start."""

CHECK = (sys.executable, "-m", "hello", "check")
PARSE = (sys.executable, "-c", "import json, sys\nfor line in open(sys.argv[1]): json.loads(line)")


def judging(redis: Redis, python: Python) -> float:
    """Processor time of judging over that of parsing, both without the start."""
    log, few = BUILD / "check.log", BUILD / "few.log"
    with Server("hello memory", redis, python) as server:
        url = f"http://127.0.0.1:{server.ports[0]}"
        options = f"--requests={VISITS}", "--connections=kept", "--allow-lost=100%", f"--log={log}"
        _seconds(*CHECK, url, *options)
    few.write_text("".join(log.read_text().splitlines(keepends=True)[:FEW]))

    def beyond_start(*command: str) -> float:
        return _seconds(*command, str(log)) - _seconds(*command, str(few))

    return beyond_start(*CHECK, "--judge") / beyond_start(*PARSE)


def _seconds(*command: str | Path) -> float:
    """Processor time of a command."""
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
