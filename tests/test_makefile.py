"""What make says where something is missing: one line. Stand-ins for the tools show it what a machine can lack."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = "make", "sh", "awk", "cut", "find", "git", "grep", "sed", "sort", "test", "tr"
WORKS = "exit 0"
RUNNING = "case $1 in status) echo Running ;; profile) echo '* minikube' ;; ip) echo 127.0.0.1 ;; esac"
STOPPED = "echo Stopped; exit 7"
CONTEXT = "case $* in *current-context) echo %s ;; *nodePort*) echo 9 ;; esac"
CLUSTER = {"minikube": RUNNING, "kubectl": CONTEXT % "minikube", "curl": "exit 7"}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run make, in a directory of its own, with no tools but these and what any system has."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for needed in [
        ".dockerignore",
        "Dockerfile",
        "LICENSE",
        "README.md",
        "hello",
        "pyproject.toml",
        "requirements.txt",
    ]:
        (tmp_path / needed).touch()
    path = tmp_path / "path"
    path.mkdir()
    for tool in TOOLS:
        (path / tool).symlink_to(shutil.which(tool) or tool)

    def run(*arguments: str, **tools: str) -> subprocess.CompletedProcess[str]:
        for name, script in tools.items():
            (path / name).write_text(f"#!/bin/sh\n{script}\n")
            (path / name).chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        command = ["make", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment | {"PATH": str(path)}, capture_output=True, text=True, input="no\n"
        )

    return run


@pytest.mark.parametrize(
    ("target", "tools", "line"),
    [
        ("run", {}, "there is no python3: Python 3.11 or later is needed"),
        ("run", {"python3": "[ $1 = --version ] && echo Python 3.9.2 || exit 1"}, "Python 3.9.2 is too old"),
        ("test", {"python3": "case $* in *ensurepip*) exit 1 ;; esac"}, "apt install python3-venv"),
        ("build", {}, "there is no docker: install Docker"),
        ("build", {"docker": "exit 1"}, "Docker does not answer: start it"),
        ("deploy", {}, "there is no minikube: install it"),
        ("deploy", CLUSTER | {"minikube": STOPPED}, "minikube does not run: minikube start"),
        ("deploy", CLUSTER | {"kubectl": CONTEXT % "other"}, "kubectl's context is 'other', not minikube's"),
        ("undeploy", CLUSTER | {"kubectl": CONTEXT % "other"}, "kubectl's context is 'other', not minikube's"),
        ("url", CLUSTER | {"kubectl": (CONTEXT % "minikube").replace("echo 9", "exit 1")}, "no Service hello-world"),
        ("scale", CLUSTER, "say how many pods: make scale N=5"),
    ],
)
def test_one_line_says_what_is_missing(
    make: Callable[..., subprocess.CompletedProcess[str]], target: str, tools: dict[str, str], line: str
) -> None:
    done = make(target, **tools)
    said, stopped = done.stderr.splitlines()
    assert line in said
    assert stopped.startswith("make: ***")


def test_another_context_is_taken_when_make_is_told(
    make: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    answers = "case $* in *current-context) echo other ;; --context=other*nodePort*) echo 9 ;; *) exit 1 ;; esac"
    tools = CLUSTER | {"kubectl": answers, "curl": WORKS}
    assert make("url", "CONTEXT=other", **tools).stdout == "http://127.0.0.1:9\n"


def test_where_the_node_cannot_be_reached_make_url_tells_of_the_tunnel_and_prints_no_url(
    make: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = make("url", **CLUSTER)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "minikube service hello-world --url" in done.stderr


def test_where_the_node_cannot_be_reached_make_deploy_goes_on_to_its_end_and_tells_of_the_tunnel(
    make: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = make("deploy", docker=WORKS, **CLUSTER)
    assert done.returncode == 0, done.stderr
    assert "waiting for the count" in done.stdout
    assert "minikube service hello-world --url" in done.stderr
    assert "make: ***" not in done.stderr


def test_purge_deletes_nothing_without_a_yes(make: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    touching = "case $* in *delete*|*apply*) echo deleted >&2 ;; *current-context) echo minikube ;; esac"
    done = make("purge", **CLUSTER | {"kubectl": touching})
    assert done.returncode == 2
    assert "deleted" not in done.stderr


def test_help_names_every_target_that_a_person_calls(
    make: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    named = {line.split()[1] for line in make().stdout.splitlines()}
    assert named >= {"run", "test", "build", "deploy", "url", "check", "scale", "undeploy", "purge", "e2e", "clean"}
