"""What the tests of the server share: its two halves, and connections to it."""

from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from tests.support import client
from tests.support.client import Connect, Connection


@pytest.fixture(params=[{}, client.HANDLED], ids=["lean", "handled"])
def half(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let visits be answered by one half of the server, and then by the other."""
    monkeypatch.setattr(client, "headers_of_all", request.param)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens connections that are closed when the test is over."""
    with ExitStack() as stack:

        async def connect(url: str, source: str = "127.0.0.1") -> Connection:
            return stack.enter_context(await Connection.open(url, source))

        yield connect
