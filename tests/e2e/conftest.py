"""The tests of the image run beside those of the cluster, which come one after the other."""

import pytest


# Before pytest-xdist's own, which reads the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "e2e":
            group = "image" if item.path.name == "test_docker.py" else "cluster"
            item.add_marker(pytest.mark.xdist_group(group))
