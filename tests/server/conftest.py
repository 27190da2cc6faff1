"""What the tests of the server share: its two halves."""

import pytest

from tests.support import client


@pytest.fixture(params=[{}, client.HANDLED], ids=["lean", "handled"])
def half(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let visits be answered by one half of the server, and then by the other."""
    monkeypatch.setattr(client, "headers_of_all", request.param)
