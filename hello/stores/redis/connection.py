"""Connections to Redis: where a URL leads, who says what password, and what went wrong in right words."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from socket import SOCK_STREAM
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from aiohappyeyeballs import start_connection
from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import parse_url
from redis.credentials import CredentialProvider
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

COMMAND_TIMEOUT = 1.0
"""Seconds to wait for a connection, and again for an answer, before the connection is given up."""

CONNECTION_ATTEMPT_DELAY = 0.1
"""Seconds after which the next address of a name is tried beside the one that is silent (RFC 8305, section 8)."""

QUERY = {"db", "username", "password"}
FILES = {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"}
WORDS = {
    "ssl_cert_reqs": ("required", "optional", "none"),
    "ssl_check_hostname": ("true", "false"),
}
TLS = FILES | set(WORDS) | {"ssl_password"}
"""What the query of a rediss:// URL may tell besides QUERY."""


class _TcpConnection(Connection):
    """Tries the addresses of a name one beside the other."""

    async def _connect(self) -> None:
        addresses = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, type=SOCK_STREAM)
        self._socket = await start_connection(addresses, happy_eyeballs_delay=CONNECTION_ATTEMPT_DELAY)
        await super()._connect()  # type: ignore[no-untyped-call]

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {"sock": self._socket}


class _TlsConnection(_TcpConnection, SSLConnection):
    """Reads the files of TLS each time: certificates are renewed."""

    def _connection_arguments(self) -> Mapping[str, Any]:
        self.ssl_context.context = None
        return {**super()._connection_arguments(), "ssl": self.ssl_context.get(), "server_hostname": self.host}


KINDS = {"redis": _TcpConnection, "rediss": _TlsConnection, "unix": UnixDomainSocketConnection}


class _Credentials(CredentialProvider):
    """Asks for the password at each connection: it may have been changed."""

    def __init__(self, username: str | None, password: Callable[[], str]) -> None:
        self._username = username
        self._password = password

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        try:
            password = self._password()
        except ValueError as error:
            raise RedisError(str(error)) from error
        return (self._username, password) if self._username else (password,)


def connection_maker(url: str, password: Callable[[], str] | None) -> Callable[[], Connection]:
    """Make what makes connections that are yet to be opened; raises ValueError if the URL is none of Redis'."""
    options: dict[str, Any] = {**parse_url(_checked(url))}
    kind: type[Connection] = KINDS[urlsplit(url).scheme]
    if options.pop("connection_class", None) is SSLConnection:
        options.setdefault("ssl_password", "")  # else OpenSSL asks on the terminal
    if password is not None:
        if "password" in options:
            raise ValueError("it has a password, and there is another one besides")
        options["credential_provider"] = _Credentials(options.pop("username", None), password)

    def make() -> Connection:
        return kind(
            **options,
            protocol=2,
            decode_responses=True,
            encoding_errors="replace",
            driver_info=None,
            socket_timeout=None,
            socket_connect_timeout=COMMAND_TIMEOUT,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )

    try:
        connection = make()
        if isinstance(connection, SSLConnection):
            connection.ssl_context.get()
    except ssl.SSLError as error:
        raise ValueError(f"its files of TLS do not serve: {error}") from error
    return make


def _checked(url: str) -> str:
    """Refuse what redis-py would take silently for something else, without showing what may be part of a password."""
    misplaced = "its user and password must be percent-encoded"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(misplaced if "@" in url else str(error)) from None
    if "@" in parts.path + parts.query + parts.fragment or parts.netloc.count("@") > 1:
        raise ValueError(misplaced)
    if not url.startswith(f"{parts.scheme}://"):
        raise ValueError("there is no // in it")
    if parts.fragment:
        raise ValueError("there is a # in it")
    if parts.scheme == "unix":
        _check_socket(parts)
    else:
        _check_host(parts)
    _check_query(parts)
    return url


def _check_socket(parts: SplitResult) -> None:
    if parts.hostname or not parts.path.strip("/"):
        raise ValueError("the path of a socket is absolute: unix:///run/redis.sock")


def _check_host(parts: SplitResult) -> None:
    (parts.hostname or "").encode("idna")
    if parts.port == 0:
        raise ValueError("0 is no port")
    if not (parts.path.strip("/") or "0").isdecimal():
        raise ValueError(f"{parts.path!r} is no number of a database")


def _check_query(parts: SplitResult) -> None:
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    names = [name for name, _ in pairs] + ["db"] * bool(parts.path.strip("/") and parts.scheme != "unix")
    names += ["username"] * bool(parts.username) + ["password"] * bool(parts.password)
    if {"ssl_keyfile", "ssl_password"} & set(names) and "ssl_certfile" not in names:
        raise ValueError("ssl_keyfile and ssl_password are for an ssl_certfile")
    allowed = QUERY | (TLS if parts.scheme == "rediss" else set())
    for name, value in pairs:
        if name not in allowed:
            raise ValueError(f"{name} is for rediss://" if name in TLS else f"there is no option {name!r}")
        if names.count(name) > 1:
            raise ValueError(f"{name} is there twice")
        if not value:
            raise ValueError(f"{name} is empty")
        if name == "db" and not value.isdecimal():
            raise ValueError(f"{value!r} is no number of a database")
        if name in WORDS and value not in WORDS[name]:
            raise ValueError(f"{name} is one of {', '.join(WORDS[name])}")
        if name in FILES:
            _check_file(name, Path(value))


def _check_file(name: str, path: Path) -> None:
    try:
        list(path.iterdir()) if name == "ssl_ca_path" else path.open("rb").close()
    except OSError as error:
        raise ValueError(f"{name}: {error}") from None


def explain(error: Exception) -> str:
    """Say what went wrong, with the first word of what Redis said; redis-py leaves it out."""
    if "unauthenticated" in str(error) or getattr(error, "status_code", None) == "NOAUTH":
        return "it wants a password, and was given none"
    code = getattr(error, "status_code", None)
    return f"{code} {error}" if code and code != "ERR" else str(error)
