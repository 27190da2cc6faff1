"""Request headers: where they end, and whether they are valid.

Each piece that arrives makes a header be parsed again from its start, in 20 µs at the most. So an incomplete header
costs its bytes and no parser, and what is not HTTP is refused at once.
"""

import asyncio

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser

from hello.web.connections import HEADER_FIELDS, HEADER_SIZE

END = b"\r\n\r\n"

REFUSAL = b"HTTP/1.1 %b\r\nServer: hello\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BAD_REQUEST = REFUSAL % b"400 Bad Request"
URI_TOO_LONG = REFUSAL % b"414 URI Too Long"  # RFC 9110, section 15.5.15
HEADER_TOO_LARGE = REFUSAL % b"431 Request Header Fields Too Large"  # RFC 6585, section 5


class HeaderError(Exception):
    """A header that is too large or not HTTP; `answer` is for the client."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer)
        self.answer = answer


def make_parser() -> HttpRequestParser:
    """Make a parser of aiohttp's with our limits, and no limit to what it is fed at once."""
    loop = asyncio.get_running_loop()
    return HttpRequestParser(
        BaseProtocol(loop),
        loop,
        2**30,
        max_line_size=HEADER_SIZE,
        max_field_size=HEADER_SIZE,
        max_headers=HEADER_FIELDS,
        auto_decompress=False,
    )


def cut_header(held: bytes) -> tuple[bytes, bytes]:
    """Split off the header (RFC 9112, section 2.1), which is empty while incomplete; raises HeaderError."""
    held = held.lstrip(b"\r\n")  # section 2.2
    end = held.find(END) + len(END)
    size = end if end >= len(END) else len(held)
    if size > HEADER_SIZE or held.count(b"\r\n", 0, size) > HEADER_FIELDS + 2:
        raise HeaderError(HEADER_TOO_LARGE if b"\r\n" in held[:HEADER_SIZE] else URI_TOO_LONG)
    try:
        messages, _, _ = make_parser().feed_data(held[:size])
    except HttpProcessingError:
        raise HeaderError(BAD_REQUEST) from None
    if messages:
        return held[:size], held[size:]
    if end == size:
        raise HeaderError(BAD_REQUEST)
    return b"", held
