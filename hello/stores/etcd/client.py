"""A client of etcd's JSON gateway: https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/."""

import json
import os
import random
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
)

from hello.stores import COMMAND_TIMEOUT, LostError, UnavailableError
from hello.stores.etcd.cluster import Cluster
from hello.stores.url import Password, ServerUrl

PORT = 2379
PREFIX = "/hello"

UNKNOWN_OUTCOME = {1, 2, 4, 10, 13, 14, 15}
"""With any other code nothing was done: https://grpc.io/docs/guides/status-codes/."""
UNAUTHENTICATED = 16
STALE = "revision of auth store is old"
"""The token is older than the last change of permissions."""
COMPACTED = "mvcc: required revision has been compacted"


def parse(url: str, password: Password | None) -> ServerUrl:
    """Parse the URL of a counter in etcd, whose path is the prefix of its keys; raises ValueError."""
    parts = ServerUrl.parse(url, password, PORT)
    if parts.password and not parts.user:
        raise ValueError("a password needs a user (etcd://USER@…)")
    if not parts.hosts:
        raise ValueError("it names no member")
    prefix = parts.path.rstrip("/") or PREFIX
    if not re.fullmatch("[!-~]+", prefix):
        raise ValueError(f"{prefix!r} is not printable ASCII without blanks")
    return replace(parts, path=prefix)


class Client:
    """Calls one member over one connection, and the next member after a failure."""

    def __init__(self, url: ServerUrl, cluster: Cluster) -> None:
        self._url = url
        self._protocol = "https" if url.scheme == "etcds" else "http"
        self._cluster = cluster
        # Processes spread over the members.
        self._member = random.randrange(self.members)  # noqa: S311
        self._session: ClientSession | None = None
        self._token = ""

    @property
    def members(self) -> int:
        return len(self._url.hosts)

    async def call(self, method: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Call a method once, such as `kv/txn`; raises UnavailableError if nothing was done, LostError if unknown."""
        member = str(self._url.hosts[self._member])
        try:
            answer = await self._call_as_user(f"{self._protocol}://{member}/v3/{method}", body)
            self._cluster.check(member, (answer.get("header") or {}).get("cluster_id", ""))
        except UnavailableError as error:
            self._member = (self._member + 1) % self.members
            await self.close()
            raise type(error)(f"etcd at {member}: {error}") from error
        return answer

    async def close(self) -> None:
        session, self._session = self._session, None
        if session:
            await session.close()

    async def _call_as_user(self, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Log in first if there is a user, and again if the token has expired, since then nothing was done."""
        if self._url.user and not self._token:
            await self._log_in(url)
        try:
            return await self._post(url, body)
        except _TokenError:
            self._token = ""
            if not self._url.user:
                raise
            await self._log_in(url)
            return await self._post(url, body)

    async def _log_in(self, url: str) -> None:
        user, password = self._url.user, self._url.password
        try:
            login = {"name": user, "password": password() if password else ""}
        except ValueError as error:
            raise UnavailableError(str(error)) from error
        answer = await self._post(f"{url.partition('/v3/')[0]}/v3/auth/authenticate", login)
        self._token = str(answer.get("token", ""))

    async def _post(self, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send one request; aiohttp never repeats a POST."""
        headers = {"Authorization": self._token} if self._token else {}
        try:
            if self._session is None:
                self._session = self._connect()
            async with self._session.post(url, json=body, headers=headers, allow_redirects=False) as response:
                return await _answer(response)
        except (ClientConnectorError, ConnectionTimeoutError, ssl.SSLError) as error:
            raise UnavailableError(_words(error)) from error
        except (ClientError, OSError, RuntimeError, ValueError) as error:
            # aiohttp and uvloop raise RuntimeError if the connection is closed.
            raise LostError(_words(error)) from error

    def _connect(self) -> ClientSession:
        """Make a session of one connection. TLS files are read each time, since certificates are renewed."""
        timeout = ClientTimeout(total=2 * COMMAND_TIMEOUT, connect=COMMAND_TIMEOUT, sock_read=COMMAND_TIMEOUT)
        connector = TCPConnector(ssl=self._url.tls() or True, limit=1, ttl_dns_cache=1)
        return ClientSession(connector=connector, timeout=timeout, cookie_jar=DummyCookieJar())


class CompactedError(UnavailableError):
    """The revision has been compacted."""


class _TokenError(UnavailableError):
    """The token is no longer valid: nothing was done."""


async def _answer(response: ClientResponse) -> dict[str, Any]:
    text = await response.text()
    answer: Any = None
    with suppress(ValueError):
        answer = json.loads(text)
    match answer:
        case dict() if response.status == 200:
            return answer
        case {"message": str(message), "code": int(code)}:
            raise _error(message.removeprefix("etcdserver: "), code)
    if response.status == 404:
        raise LostError("it has no JSON gateway: start it with --enable-grpc-gateway")
    raise LostError(f"not an answer of etcd ({response.status}): {text[:100]!r}")


def _error(message: str, code: int) -> UnavailableError:
    if code == UNAUTHENTICATED or STALE in message:
        return _TokenError(message)
    if message == COMPACTED:
        return CompactedError(message)
    if "user name is empty" in message:
        return UnavailableError("it wants a user and a password; neither is set")
    return LostError(message) if code in UNKNOWN_OUTCOME else UnavailableError(message)


def _words(error: Exception) -> str:
    if isinstance(error, ClientConnectorError) and not isinstance(error, ClientSSLError) and error.os_error.errno:
        code = error.os_error.errno  # below 0 it is the resolver's
        return os.strerror(code) if code > 0 else str(error.os_error.strerror)
    return str(error) or type(error).__name__
