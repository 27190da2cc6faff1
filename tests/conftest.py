"""What the tests share: stores, and servers over them."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from signal import SIGINT, default_int_handler, signal

import pytest
from hypothesis import settings

from tests.support.linux import make_certificate, require_etcd
from tests.support.processes import EtcdServer, Hello, MakeHello, RedisServer

# A shell ignores SIGINT for what it runs in the background, and so would every process that the tests interrupt.
signal(SIGINT, default_int_handler)

# How long an example takes is for no test to say.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--short", action="store_true", help="leave out what is marked long")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--short"):
        config.option.markexpr = "not long"


@pytest.fixture
async def redis_server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A redis-server of the test's own."""
    server = await RedisServer(tmp_path / "redis").start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def etcd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd that tests share: each has a prefix of its own."""
    require_etcd()
    server = EtcdServer(tmp_path_factory.mktemp("etcd")).launch()
    server.control("--dial-timeout=20s", "endpoint", "health").check_returncode()
    yield server
    server.kill()


@pytest.fixture
def etcd_url(etcd_server: EtcdServer) -> str:
    """Where a test may count in the etcd that is shared."""
    return f"{etcd_server.url}/{secrets.token_hex(4)}"


@pytest.fixture
async def hello() -> AsyncIterator[MakeHello]:
    """Makes servers that are gone when the test is over: `await hello("--store", …).start()`."""
    async with AsyncExitStack() as stack:

        def make(*arguments: str, command: tuple[str, ...] = (), **environment: str) -> Hello:
            server = Hello(*arguments, command=command, **environment)
            stack.push_async_callback(server.kill)
            return server

        yield make


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of this machine's own, with its key."""
    path, own = tmp_path / "certificate.pem", tmp_path / "own.pem"
    make_certificate(path, own, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    path.write_text(path.read_text() + own.read_text())
    return path
