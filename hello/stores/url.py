"""URLs of stores on a server: where it is, who may use it, and over what TLS."""

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

Password = Callable[[], str]
"""Reads a password, for each connection again, since it may have changed."""

URL = re.compile(r"(?P<scheme>\w+)://((?P<login>[^@/?#]*)@)?(?P<hosts>[^@/?#]*)(?P<path>[^@?#]*)(\?(?P<query>[^@#]*))?")
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d+)?")

TLS = ("ca", "cert", "key")
"""Files: the authorities to trust, and this client's certificate and key."""
OPTIONS = {"unix": ("db",), "rediss": TLS, "etcds": TLS}
"""The options in a URL's query."""


def without_password(url: str) -> str:
    """A URL that may be shown. Its password may not be percent-encoded as it should."""
    return re.sub(r"(?<=password=)[^&]*", "***", re.sub(r"(?<=://)([^:@]*):.*@", r"\1:***@", url))


@dataclass(frozen=True, slots=True)
class Host:
    """A host, without brackets and in ASCII, and its port."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"{f'[{self.name}]' if ':' in self.name else self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """The decoded parts of a server's URL."""

    scheme: str
    user: str
    password: Password | None
    hosts: tuple[Host, ...]
    path: str
    options: Mapping[str, str]

    @classmethod
    def parse(cls, url: str, password: Password | None, port: int) -> "ServerUrl":
        """Parse a URL; raises ValueError, without any part of a password. `port` is the default."""
        scheme, slashes, rest = url.partition("://")
        if rest.count("@") > 1 or re.search("[/?#].*@", rest):
            raise ValueError("percent-encode its user and password")
        parts = URL.fullmatch(url)
        if not parts:
            raise ValueError("percent-encode the #" if slashes else f"// is missing after {scheme.partition(':')[0]}:")
        user, _, own_password = map(unquote, (parts["login"] or "").partition(":"))
        if password and own_password:
            raise ValueError("password given twice (in the URL and as an option)")
        hosts = tuple(_host(text, port) for text in parts["hosts"].split(",")) if parts["hosts"] else ()
        options = _options(parts["scheme"], parts["query"] or "")
        reader = (lambda: own_password) if own_password else password
        parsed = cls(parts["scheme"], user, reader, hosts, unquote(parts["path"]), options)
        parsed.check_tls()
        return parsed

    def tls(self) -> ssl.SSLContext | None:
        """Make a context from the files as they are now, since certificates are renewed; None without TLS."""
        if self.scheme not in ("rediss", "etcds"):
            return None
        context = ssl.create_default_context(cafile=self.options.get("ca"))
        if "cert" in self.options:
            context.load_cert_chain(self.options["cert"], self.options["key"], password="")  # else OpenSSL asks for one
        return context

    def check_tls(self) -> None:
        if ("cert" in self.options) != ("key" in self.options):
            raise ValueError("cert and key need each other")
        try:
            for name in TLS:
                if name in self.options:
                    Path(self.options[name]).open("rb").close()  # ssl's own error does not name the file
            self.tls()
        except OSError as error:  # an SSLError is one
            raise ValueError(f"cannot load TLS files: {error}") from None


def _host(text: str, port: int) -> Host:
    host = urlsplit(f"//{text}")
    if not HOST.fullmatch(text) or not host.hostname or host.port == 0:
        raise ValueError(f"{text!r} is not HOST or HOST:PORT")
    return Host(host.hostname.encode("idna").decode(), host.port or port)


def _options(scheme: str, query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    for name, value in pairs:
        if name not in OPTIONS.get(scheme, ()):
            raise ValueError(f"{scheme}:// has no option {name!r}")
        if not value:
            raise ValueError(f"{name} is empty")
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ValueError("an option is given twice")
    return options
