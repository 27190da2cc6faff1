"""What a user types: make, kubectl, minikube, curl; and visitors, who are `hello check`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
COUNTER = "--selector=app.kubernetes.io/name=hello-world"
OURS = "--selector=app.kubernetes.io/part-of=hello-world"
"""The counter's and Redis' objects."""
HELLO = [sys.executable, "-m", "hello"]
MAY_BE_AWAY = ("--allow-lost=100%", "--allow-gap=3600")
"""Options of a run in which the counter is taken away, or of several that are judged as one."""
RATE = 80
"""Visits a second by a watcher: far below what one address may open through kube-proxy (kubernetes#101607)."""


def run(*command: str, answer: str | None = None) -> str:
    """Run a command from the repository's root; its output, without the last newline. It must succeed."""
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, input=answer, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout.rstrip("\n")


def make(*arguments: str, answer: str | None = None) -> str:
    return run("make", *arguments, answer=answer)


def kubectl(*arguments: str) -> str:
    return run("kubectl", *arguments)


@contextmanager
def own_namespace(namespace: str, configuration: Path) -> Iterator[None]:
    """Make a namespace kubectl's own, in a configuration that is written to a file."""
    configuration.write_text(kubectl("config", "view", "--raw", "--flatten"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENVIRONMENT, "KUBECONFIG", str(configuration))
        kubectl("config", "set-context", "--current", f"--namespace={namespace}")
        yield


def pods() -> set[str]:
    """The names of the counter's pods, those that are leaving included."""
    return set(kubectl("get", "pod", COUNTER, "--output=name").split())


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until a condition holds; fail the test if it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not so after {seconds} s"
        time.sleep(0.2)


def is_up(url: str) -> bool:
    return subprocess.run(["curl", "--silent", "--head", "--output", "/dev/null", url]).returncode == 0


def total(url: str) -> int:
    return int(run("curl", "--silent", "--fail", "--retry", "20", "--retry-connrefused", f"{url}/count"))


def come(url: str) -> None:
    """Wait until visitors who are there all the while are counted."""
    before = total(url)
    until(lambda: total(url) > before + RATE, "visitors are counted")


class Visitors:
    """Runs of `hello check`, whose records are all kept, to be judged as one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.logs: list[Path] = []

    def check(self, url: str, *options: str) -> subprocess.Popen[str]:
        """Begin a run; its report is JSON on its standard output."""
        log = self.directory / f"{len(self.logs)}.log"
        self.logs.append(log)
        command = [*HELLO, "check", url, "--json", f"--log={log}", f"--rate={RATE}", *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def visit(self, url: str, visits: int) -> tuple[int, int]:
        """Let 20 clients visit, with nobody else there; the lowest and the highest number given."""
        with self.check(url, "--alone", f"--requests={visits}", "--rate=150") as process:
            (epoch,) = report(process)["epochs"]
        assert epoch["answers"] == visits
        return epoch["lowest"], epoch["highest"]

    @contextmanager
    def watching(self, url: str, *options: str) -> Iterator[None]:
        """Visit all the while, over fresh connections and kept ones; no visit may be lost, unless an option says so."""
        with self.check(url, "--duration=600", *options) as process:
            try:
                come(url)
                yield
                process.send_signal(SIGINT)
                report(process)
            finally:
                process.kill()

    def judge(self) -> dict[str, Any]:
        """Judge all runs as one, in which nobody else visited."""
        together = self.directory / "all.log"
        together.write_text("".join(log.read_text() for log in self.logs))
        command = [*HELLO, "check", "--json", "--alone", *MAY_BE_AWAY, f"--judge={together}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            return report(process)


def report(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The report of a run of `hello check`, which must have found nothing wrong."""
    output, _ = process.communicate()
    assert process.returncode == 0, output
    told: dict[str, Any] = json.loads(output)
    return told
