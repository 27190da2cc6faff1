"""The walk through Kubernetes, as its texts have it."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.walk import Reader, blocks, matches
from tests.support.commands import ROOT, kubectl
from tests.support.deployment import default_class, purge

TEXT, SPANISH = (ROOT / "manifests/tour" / name for name in ("README.md", "README.es.md"))
BLOCKS = list(blocks(TEXT.read_text()))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    purge()
    _leave_nothing()
    with default_class(), Reader(tmp_path_factory.mktemp("walk")) as reader:
        yield reader
    _leave_nothing()


def _leave_nothing() -> None:
    """Take away what a walk that ended half-way has left."""
    kubectl("delete", "--ignore-not-found", "--filename=manifests/tour", "--wait")
    kubectl("delete", "--ignore-not-found", "pod/check", "secret/redis-password")


def test_both_languages_have_the_same_commands_and_outputs() -> None:
    assert list(blocks(SPANISH.read_text())) == BLOCKS


def test_what_the_text_says_happens(reader: Reader) -> None:
    for block in BLOCKS:
        reader.do(block)


def test_a_namespace_may_restrict_its_pods() -> None:
    kubectl("create", "namespace", "restricted-walk")
    try:
        levels = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]
        kubectl("label", "namespace", "restricted-walk", *levels)
        command = ("kubectl", "apply", "--dry-run=server", "--namespace=restricted-walk", "--filename=manifests/tour")
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    finally:
        kubectl("delete", "namespace", "restricted-walk")


@pytest.mark.parametrize(
    ("shown", "printed", "matching"),
    [
        ("pod hello-world-6cc89c7457-5sl4v  42s", "pod hello-world-77d54c9b8-abcde 3m2s", True),
        ("visitor 1, greeted by", "visitor 2, greeted by", False),
        ("…\nlast", "first\nsecond\nlast", True),
        ("…\nlast", "first\nlast\nsecond", False),
        ("only", "only\nmore", False),
        ("1 (4s ago)", "2 (4s ago)", False),
    ],
)
def test_names_and_ages_are_matched_and_the_rest_is_read(shown: str, printed: str, matching: bool) -> None:
    assert matches(shown, printed) is matching
