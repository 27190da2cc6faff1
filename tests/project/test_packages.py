"""What the tests use is installed wherever they run."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
THERE = {"chromium", "git", "make", "python3-venv", "wrk"}
"""What a runner of GitHub has, or only a comparison needs."""


def packages(file: str) -> set[str]:
    """The packages of the first `apt-get install`."""
    (line, *_) = re.findall(r"apt-get install ([^>]*?)(?:>|\n +sudo)", (ROOT / file).read_text())
    return {word for word in line.replace("\\\n", " ").split() if not word.startswith("-")}


def test_a_fork_installs_what_the_tests_use() -> None:
    assert packages(".github/workflows/test.yml") == packages(".ci/run") - THERE
