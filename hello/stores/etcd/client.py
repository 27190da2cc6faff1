"""A client of etcd's JSON gateway: where a URL leads, who says what password, and what went wrong in right words.

https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/
"""

import asyncio
import json
import os
import random
import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
)

from hello.stores import LostError, UnavailableError

COMMAND_TIMEOUT = 1.0
"""Seconds to wait for a connection, and again for an answer, before the next member is asked."""

PORT = 2379
PREFIX = "/hello"

URL = re.compile(
    r"(?P<scheme>etcds?)://(?:(?P<login>[^@/?#]*)@)?(?P<members>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>.*))?"
)

HOST = r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d*)?"

TLS = ("ca", "cert", "key")
"""What the query of an etcds:// URL may tell: the authorities, and the client's own certificate with its key."""

# https://grpc.io/docs/guides/status-codes/: all others say that a transaction was not carried out.
UNKNOWN_OUTCOME = {1, 2, 4, 10, 13, 14, 15}
UNAUTHENTICATED = 16
STALE = "revision of auth store is old"
"""A token is from before the rights were changed."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL tells: the members' own URLs, the user, the files of TLS, and where the counter's keys are."""

    members: tuple[str, ...]
    user: str
    password: str
    files: Mapping[str, Path]
    prefix: str


def parse(url: str) -> Address:
    """Read the URL of a counter in etcd; raises ValueError, without showing what may be part of a password."""
    if "@" in url.partition("@")[2] or re.search(r"[/?#].*@", url.partition("://")[2]):
        raise ValueError("its user and password must be percent-encoded")
    if "#" in url:
        raise ValueError("there is a # in it")
    parts = URL.fullmatch(url)
    if not parts:
        raise ValueError("there is no // in it")
    user, _, password = (parts["login"] or "").partition(":")
    if password and not user:
        raise ValueError("it has a password, but no user")
    prefix = unquote(parts["path"]).rstrip("/") or PREFIX
    if not re.fullmatch("[!-~]+", prefix):
        raise ValueError(f"{prefix!r} is not a word of visible ASCII")
    protocol = "https" if parts["scheme"] == "etcds" else "http"
    members = tuple(f"{protocol}://{_member(member)}" for member in parts["members"].split(","))
    return Address(members, unquote(user), unquote(password), _files(parts["scheme"], parts["query"] or ""), prefix)


def _member(text: str) -> str:
    member = urlsplit(f"//{text}")
    if not member.hostname or member.port == 0 or not re.fullmatch(HOST, text):
        raise ValueError(f"{text!r} is not the host and port of a member")
    host = member.hostname.encode("idna").decode()
    return f"{f'[{host}]' if ':' in host else host}:{member.port or PORT}"


def _files(scheme: str, query: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in TLS:
            raise ValueError(f"there is no option {name!r}")
        if scheme != "etcds":
            raise ValueError(f"{name} is for etcds://")
        if name in files:
            raise ValueError(f"{name} is there twice")
        files[name] = Path(value)
        try:
            files[name].open("rb").close()
        except OSError as error:
            raise ValueError(f"{name}: {error}") from None
    if ("cert" in files) != ("key" in files):
        raise ValueError("cert and key are for each other")
    return files


class Client:
    """Calls one member, the same one as long as it answers; one connection is kept."""

    def __init__(self, address: Address, password: Callable[[], str] | None) -> None:
        """Connect with the first call, and ask for the password at each login; ValueError if the files do not serve."""
        if password and not address.user:
            raise ValueError("there is a password, but no user in it")
        if password and address.password:
            raise ValueError("it has a password, and there is another one besides")
        self._address = address
        self._password = password or (lambda: address.password)
        # Processes begin with different members, so that not all lean on one.
        self._member = random.randrange(len(address.members))  # noqa: S311
        self._session: ClientSession | None = None
        self._token = ""
        try:
            self._tls()
        except (ssl.SSLError, OSError) as error:
            raise ValueError(f"its files of TLS do not serve: {error}") from error

    @property
    def members(self) -> int:
        """How many members there are to ask."""
        return len(self._address.members)

    async def call(self, method: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Call a method once, such as `kv/txn`; the next call goes to another member if this one gives no answer.

        Raises UnavailableError if nothing was done, LostError if that is not known.
        """
        member = self._address.members[self._member]
        try:
            return await self._call_as_user(f"{member}/v3/{method}", body)
        except UnavailableError as error:
            self._member = (self._member + 1) % self.members
            await self.close()
            raise type(error)(f"etcd at {member.partition('//')[2]}: {error}") from error

    async def close(self) -> None:
        """Close the connection."""
        session, self._session = self._session, None
        if session:
            await session.close()

    async def _call_as_user(self, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Log in first, if there is a user; and anew if the token has expired, with which nothing was done."""
        if self._address.user and not self._token:
            await self._log_in(url)
        try:
            return await self._post(url, body)
        except _TokenError:
            self._token = ""
            if not self._address.user:
                raise
            await self._log_in(url)
            return await self._post(url, body)

    async def _log_in(self, url: str) -> None:
        try:
            login = {"name": self._address.user, "password": self._password()}
        except ValueError as error:
            raise UnavailableError(str(error)) from error
        answer = await self._post(f"{url.partition('/v3/')[0]}/v3/auth/authenticate", login)
        self._token = str(answer.get("token", ""))

    async def _post(self, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send one request, once: aiohttp repeats no POST."""
        headers = {"Authorization": self._token} if self._token else {}
        try:
            if self._session is None:
                self._session = self._connect()
            async with self._session.post(url, json=body, headers=headers, allow_redirects=False) as response:
                return await _answer(response)
        except (ClientConnectorError, ConnectionTimeoutError, ssl.SSLError) as error:
            raise UnavailableError(_words(error)) from error
        except (ClientError, OSError, RuntimeError, ValueError) as error:
            # A RuntimeError: aiohttp's for a body whose connection has closed, uvloop's for a transport that has.
            raise LostError(_words(error)) from error

    def _connect(self) -> ClientSession:
        """Make the session of one connection, which reads the files of TLS anew: certificates are renewed."""
        timeout = ClientTimeout(total=2 * COMMAND_TIMEOUT, connect=COMMAND_TIMEOUT, sock_read=COMMAND_TIMEOUT)
        connector = TCPConnector(ssl=self._tls() or True, limit=1, ttl_dns_cache=1)
        return ClientSession(connector=connector, timeout=timeout, cookie_jar=DummyCookieJar())

    def _tls(self) -> ssl.SSLContext | None:
        files = self._address.files
        if not self._address.members[0].startswith("https:"):
            return None
        context = ssl.create_default_context(cafile=files.get("ca"))
        if "cert" in files:
            context.load_cert_chain(files["cert"], files["key"], password="")  # else OpenSSL asks for one
        return context


class _TokenError(UnavailableError):
    """The token is none any more: nothing was done."""


async def _answer(response: ClientResponse) -> dict[str, Any]:
    text = await response.text()
    told: Any = None
    with suppress(ValueError):
        told = json.loads(text)
    answer: dict[str, Any] = told if isinstance(told, dict) else {}
    if response.status == 200 and isinstance(told, dict):
        return answer
    message, code = answer.get("message") or answer.get("error"), answer.get("code")
    if not isinstance(message, str) or not isinstance(code, int):
        raise LostError(f"it answers {response.status}, and not as etcd does: {text[:100]!r}")
    message = message.removeprefix("etcdserver: ")
    if code == UNAUTHENTICATED or STALE in message:
        raise _TokenError(message)
    if "user name is empty" in message:
        raise UnavailableError("it wants a user and a password, and was given none")
    raise (LostError if code in UNKNOWN_OUTCOME else UnavailableError)(message)


def _words(error: Exception) -> str:
    if isinstance(error, ConnectionTimeoutError):
        return "no connection in time"
    if isinstance(error, asyncio.TimeoutError):
        return "no answer in time"
    if isinstance(error, (ServerDisconnectedError, ClientPayloadError)):
        return "the connection was cut before the answer was whole"
    if isinstance(error, ClientConnectorError) and not isinstance(error, ClientSSLError) and error.os_error.errno:
        code = error.os_error.errno  # below 0 it is the resolver's
        return os.strerror(code) if code > 0 else str(error.os_error.strerror)
    return str(error) or type(error).__name__
