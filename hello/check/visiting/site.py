"""Where a counter is."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

Address = tuple[int, int, int, str, tuple[Any, ...]]
"""As getaddrinfo gives it."""


@dataclass(frozen=True, slots=True)
class Site:
    """The URL of a counter. `path` ends in a slash; `authority` is host and port as in the URL."""

    url: str
    tls: ssl.SSLContext | None
    host: str
    port: int
    path: str
    authority: str

    @classmethod
    def parse(cls, url: str) -> Self:
        if not (url.isascii() and url.isprintable()) or " " in url:
            raise ValueError("a URL is ASCII without blanks")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ValueError("it should begin with http:// or https://")
        if not parts.hostname or parts.port == 0:
            raise ValueError("it names no host and port")
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError("it should have no user, query or fragment")
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        port = parts.port or (443 if tls else 80)
        return cls(url, tls, parts.hostname, port, parts.path.removesuffix("/") + "/", parts.netloc)

    async def resolve(self) -> Sequence[Address]:
        found = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(found))
