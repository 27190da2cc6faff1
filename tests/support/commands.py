"""What a user types: make, kubectl, minikube, curl."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
COUNTER = "--selector=app.kubernetes.io/name=hello-world"
OURS = "--selector=app.kubernetes.io/part-of=hello-world"
"""The counter's and Redis' objects."""
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
    """Let kubectl and make mean a namespace of minikube's, in a configuration that is written to a file."""
    context = run("minikube", "profile").strip("* ")
    configuration.write_text(kubectl(f"--context={context}", "config", "view", "--raw", "--flatten", "--minify"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENVIRONMENT, "KUBECONFIG", str(configuration))
        kubectl("config", "use-context", context)
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
