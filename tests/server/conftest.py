"""What the tests of the server share: both paths of a visit, and connections."""

from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from tests.support import client
from tests.support.client import Connect, Connection


@pytest.fixture(params=[{}, client.HANDLED], ids=["fast", "handled"])
def both_paths(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let visits be answered on the fast path, and then by a handler of aiohttp's."""
    monkeypatch.setattr(client, "headers_of_all", request.param)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens connections that are closed when the test is over."""
    with ExitStack() as stack:

        async def connect(url: str, source: str = "127.0.0.1") -> Connection:
            return stack.enter_context(await Connection.open(url, source))

        yield connect
