"""Connections to Redis."""

import asyncio
from collections.abc import Callable, Mapping
from socket import SOCK_STREAM
from typing import Any

from aiohappyeyeballs import start_connection
from redis.asyncio import Connection, UnixDomainSocketConnection
from redis.credentials import CredentialProvider
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from hello.stores import COMMAND_TIMEOUT
from hello.stores.url import Password, ServerUrl

CONNECTION_ATTEMPT_DELAY = 0.1
"""Seconds after which the next address of a name is tried in parallel (RFC 8305, section 8)."""

PORT = 6379


class _TcpConnection(Connection):
    """Tries the addresses of a name in parallel (Happy Eyeballs)."""

    async def _connect(self) -> None:
        addresses = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, type=SOCK_STREAM)
        self._socket = await start_connection(addresses, happy_eyeballs_delay=CONNECTION_ATTEMPT_DELAY)
        await super()._connect()  # type: ignore[no-untyped-call]

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {"sock": self._socket}


class _TlsConnection(_TcpConnection):
    """Reads the TLS files for each connection, since certificates are renewed."""

    def __init__(self, *, url: ServerUrl, **options: Any) -> None:
        super().__init__(**options)
        self._url = url

    def _connection_arguments(self) -> Mapping[str, Any]:
        # No certificate's name ends with the dot of a full domain name.
        name = self.host.removesuffix(".")
        return {**super()._connection_arguments(), "ssl": self._url.tls(), "server_hostname": name}


class _Credentials(CredentialProvider):
    """Reads the password for each connection, since it may have changed."""

    def __init__(self, username: str, password: Password) -> None:
        self._username = username
        self._password = password

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        try:
            password = self._password()
        except ValueError as error:
            raise RedisError(str(error)) from error
        return (self._username, password) if self._username else (password,)


def connection_maker(url: str, password: Password | None) -> Callable[[], Connection]:
    """Return a function that makes closed connections; raises ValueError for a bad URL."""
    parts = ServerUrl.parse(url, password, PORT)
    kind, options = _unix_socket(parts) if parts.scheme == "unix" else _tcp(parts)
    if parts.user or parts.password:
        options["credential_provider"] = _Credentials(parts.user, parts.password or (lambda: ""))

    def make() -> Connection:
        connection: Connection = kind(
            **options,
            protocol=2,
            decode_responses=True,
            encoding_errors="replace",
            driver_info=None,
            socket_timeout=None,
            socket_connect_timeout=COMMAND_TIMEOUT,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        return connection

    return make


def _tcp(url: ServerUrl) -> tuple[Callable[..., Any], dict[str, Any]]:
    if len(url.hosts) != 1:
        raise ValueError("it must name one host")
    (host,) = url.hosts
    options = {"host": host.name, "port": host.port, "db": _database(url.path.strip("/"))}
    return (_TlsConnection, {**options, "url": url}) if url.scheme == "rediss" else (_TcpConnection, options)


def _unix_socket(url: ServerUrl) -> tuple[Callable[..., Any], dict[str, Any]]:
    if url.hosts or not url.path.strip("/"):
        raise ValueError("the path of a socket is absolute: unix:///run/redis.sock")
    return UnixDomainSocketConnection, {"path": url.path, "db": _database(url.options.get("db", ""))}


def _database(text: str) -> int:
    if text and not text.isdecimal():
        raise ValueError(f"{text!r} is not the number of a database")
    return int(text or "0")


def explain(error: Exception) -> str:
    """Redis' own words. redis-py leaves out the first one, which is the error's code."""
    if "unauthenticated" in str(error) or getattr(error, "status_code", None) == "NOAUTH":
        return "it wants a password, and was given none"
    code = getattr(error, "status_code", None)
    return f"{code} {error}" if code and code != "ERR" else str(error)
