"""The image, as `docker run` uses it."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.commands import is_up, make, run, until

LIMIT = 45_000_000
"""Bytes that the image may add to its base."""


@pytest.fixture(scope="module")
def image() -> str:
    """Build the image; its name."""
    return make("build").splitlines()[0].removeprefix("building ")


class Container:
    """A container of the image; its port on this machine changes with each start."""

    def __init__(self, *arguments: str) -> None:
        self.name = run("docker", "run", "--detach", "--publish=127.0.0.1::8080", *arguments)
        self.await_start()

    def await_start(self) -> None:
        self.url = "http://" + run("docker", "port", self.name, "8080")
        until(lambda: is_up(self.url), "the container")

    def inspect(self) -> dict[str, Any]:
        (found,) = json.loads(run("docker", "inspect", self.name))
        state: dict[str, Any] = found["State"]
        return state

    def visit(self) -> int:
        answer: dict[str, int] = json.loads(run("curl", "--silent", "--header", "Accept: application/json", self.url))
        return answer["count"]

    def remove(self) -> None:
        """Remove it with its own volume, if it is still there."""
        subprocess.run(["docker", "rm", "--force", "--volumes", self.name], capture_output=True)


@pytest.fixture
def container(image: str) -> Iterator[Callable[..., Container]]:
    """Start containers that are gone when the test is over."""
    containers = []

    def start(*options: str) -> Container:
        containers.append(Container(*options, image))
        return containers[-1]

    yield start
    for each in containers:
        each.remove()


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
        ("--user=1000680000:0", "--cap-drop=ALL"),
    ],
)
def test_a_restart_keeps_the_count(container: Callable[..., Container], options: tuple[str, ...]) -> None:
    counter = container(*options)
    assert [counter.visit(), counter.visit()] == [1, 2]
    run("docker", "restart", counter.name)
    counter.await_start()
    assert counter.visit() == 3


def test_a_named_volume_keeps_the_count_past_the_container(container: Callable[..., Container]) -> None:
    volume = f"hello-{uuid4()}"
    try:
        for number in 1, 2:
            counter = container(f"--volume={volume}:/data")
            assert counter.visit() == number
            counter.remove()
    finally:
        run("docker", "volume", "rm", "--force", volume)


def test_a_file_is_copied_and_put_back_as_the_readme_says(container: Callable[..., Container], tmp_path: Path) -> None:
    counter = container()
    assert counter.visit() == 1
    run("docker", "stop", counter.name)
    subprocess.run(f"docker cp {counter.name}:/data/hello.db - >{tmp_path}/hello.tar", shell=True, check=True)
    other = container()
    run("docker", "stop", other.name)
    subprocess.run(f"docker cp - {other.name}:/data <{tmp_path}/hello.tar", shell=True, check=True)
    for each in counter, other:
        run("docker", "start", each.name)
        each.await_start()
        assert each.visit() == 2
    run("docker", "exec", other.name, "hello", "reset", "--yes", "--to=7")
    assert other.visit() == 8


def test_docker_stop_ends_it_at_once_with_exit_code_0(container: Callable[..., Container]) -> None:
    counter = container()
    run("docker", "stop", "--time=3", counter.name)
    assert counter.inspect()["ExitCode"] == 0


FLAGS: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    ((), ()),
    (("--env=HELLO_ADMIN_PORT=8081",), ()),
    (("--env=HELLO_HOST=::",), ()),
    (("--env=HELLO_HOST=::1", "--sysctl=net.ipv6.conf.all.disable_ipv6=0"), ()),
    ((), ("serve", "--port=9000", "--host=127.0.0.1")),
    (("--init", "--read-only", "--cap-drop=ALL", "--user=1000680000:0"), ("serve", "--admin-port=9001")),
    (("--env=HELLO_PORT=tcp://10.96.1.2:8080",), ()),
]
"""Options of `docker run`, and the command."""


@pytest.mark.parametrize(("options", "command"), FLAGS)
def test_it_becomes_healthy(image: str, options: tuple[str, ...], command: tuple[str, ...]) -> None:
    name = run("docker", "run", "--detach", "--health-interval=1s", *options, image, *command)
    try:
        until(lambda: health(name) == "healthy", "healthy")
    finally:
        run("docker", "rm", "--force", "--volumes", name)


def health(name: str) -> str:
    return run("docker", "inspect", "--format={{.State.Health.Status}}", name)


def test_what_lies_in_the_working_directory_makes_it_no_less_healthy(
    container: Callable[..., Container], tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "hello.py").write_text("raise SystemExit(1)")
    counter = container(f"--volume={tmp_path}:/mine", "--workdir=/mine", "--health-interval=1s")
    until(lambda: health(counter.name) == "healthy", "healthy")


def test_it_is_unhealthy_where_nobody_answers(container: Callable[..., Container]) -> None:
    counter = container("--env=HELLO_ADMIN_PORT=8081", "--health-interval=1s", "--health-retries=1")
    until(lambda: health(counter.name) == "healthy", "healthy")
    run("docker", "kill", "--signal=STOP", counter.name)
    until(lambda: health(counter.name) == "unhealthy", "unhealthy")


def test_it_adds_little_to_its_base_and_leaves_no_build_tools(image: str) -> None:
    size, base = (
        int(run("docker", "image", "inspect", "--format={{.Size}}", name)) for name in (image, "python:3.14-slim")
    )
    assert size - base <= LIMIT
    modules = "import importlib.util as u; print(*(name for name in ('flit_core', 'pip') if u.find_spec(name)))"
    assert run("docker", "run", "--rm", "--entrypoint=python", image, "-c", modules) == ""


def test_its_labels_are_those_of_the_oci_image_spec(image: str) -> None:
    labels = json.loads(run("docker", "image", "inspect", "--format={{json .Config.Labels}}", image))
    assert labels["org.opencontainers.image.title"] == "hello-counter"
    assert labels["org.opencontainers.image.version"] == run("docker", "run", "--rm", image, "--version").split()[-1]
    assert labels["org.opencontainers.image.licenses"] == "MIT"
