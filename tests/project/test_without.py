"""What `make without` knows and says without a cluster; tests/without takes the lines away on one."""

import subprocess
import sys

import pytest

from tests.support.commands import ROOT
from tests.without.lines import LINES, TWINS


def without(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.without", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_each_component_has_an_experiment() -> None:
    assert {file.parent.name for file in TWINS.glob("*/kustomization.yaml")} == LINES.keys()


def test_each_line_is_listed_with_a_sentence() -> None:
    listed = dict(line.split(maxsplit=1) for line in without().stdout.splitlines())
    assert listed.keys() == LINES.keys()
    assert all(sentence.endswith(".") for sentence in listed.values())


@pytest.mark.parametrize("name", ["nothing", "Drain", "../base"])
def test_a_line_that_is_not_there_is_one_clear_line(name: str) -> None:
    done = without(name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"there is no line '{name}': make without lists them\n"
