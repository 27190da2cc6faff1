"""Recognizes plain visits, and writes the bytes that `Response` would have written."""

import asyncio
from email.utils import formatdate
from functools import lru_cache
from secrets import randbits
from time import time

from aiohttp.hdrs import ACCEPT, EXPECT
from aiohttp.http import HttpProcessingError, HttpVersion11, RawRequestMessage

from hello.counting.counter import Counter
from hello.counting.queue import RefusedError, Visit
from hello.web.accept import HTML, JSON, TEXT, preferred_type
from hello.web.connections import HEADER_SIZE
from hello.web.header import END, make_parser
from hello.web.routes import HELLO_CONNECTION
from hello.web.visits import SEC_PURPOSE, Answer, Visits

STAYS, CLOSES = b"\r\n", b"Connection: close\r\n\r\n"
"""Ends of a header."""


class Greeting:
    """Answers visits with one content type. All but the number and the time is made once an epoch."""

    def __init__(self, visits: Visits, content_type: str) -> None:
        self._visits = visits
        self._content_type = content_type
        self._epoch: str | None = None

    def answer(self, outcome: Visit | RefusedError, closes: bool) -> bytes:
        end = general(int(time())) + (CLOSES if closes else STAYS)
        if isinstance(outcome, Visit):
            return self._greet(outcome, end)
        refusal = self._visits.refuse(outcome, self._content_type)
        body = refusal.text.encode()
        return b"%bContent-Length: %d\r\n%b%b" % (head(refusal), len(body), end, body)

    def _greet(self, visit: Visit, end: bytes) -> bytes:
        number, epoch = visit
        if epoch != self._epoch:
            self._compose(epoch)
        digits = b"%d" % number
        length = self._length + self._places * len(digits)
        return b"".join((self._start, digits, self._middle % length, end, digits.join(self._body)))

    def _compose(self, epoch: str) -> None:
        mark = randbits(128)  # part of no name
        answer = self._visits.greeting(self._content_type, Visit(mark, epoch))
        places = str(mark).encode()
        self._start, middle = head(answer).split(places)
        self._middle = middle.replace(b"%", b"%%") + b"Content-Length: %d\r\n"
        self._body = answer.text.encode().split(places)
        self._places = len(self._body) - 1
        self._length = sum(map(len, self._body))
        self._epoch = epoch


@lru_cache(1)
def general(second: int) -> bytes:
    """The lines that all answers of one second share."""
    return f"Date: {formatdate(second, usegmt=True)}\r\nServer: hello\r\n".encode()


def head(answer: Answer) -> bytes:
    """The status line and the answer's own headers."""
    lines = [f"HTTP/1.1 {answer.status.value} {answer.status.phrase}", *map(": ".join, answer.headers), ""]
    return "\r\n".join(lines).encode()


class Greetings:
    """Finds the greeting for a plain visit: a complete `GET /` without a body, over kept-alive HTTP/1.1."""

    def __init__(self, counter: Counter, visits: Visits, leaving: asyncio.Event) -> None:
        self.join = counter.join
        self.leaving = leaving
        """Once it is set, each answer closes its connection."""
        self._parser = make_parser()
        self._greetings = {kind: Greeting(visits, kind) for kind in (TEXT, HTML, JSON)}

    def find(self, header: bytes) -> Greeting | None:
        """Return None unless this is exactly one plain visit."""
        if header.find(END) != len(header) - len(END) or len(header) > HEADER_SIZE or self.leaving.is_set():
            return None
        try:
            messages = self._parser.feed_data(header)[0]
        except HttpProcessingError:
            messages = []
        for message, body in messages:
            if body.is_eof() and _is_plain(message):
                return self._greetings[preferred_type(message.headers.getall(ACCEPT, ("",)))]
        self._parser = make_parser()  # the old one may expect a body
        return None


def _is_plain(message: RawRequestMessage) -> bool:
    headers = message.headers
    return (
        message.method == "GET"
        and message.path == "/"
        and message.version == HttpVersion11
        and not message.should_close
        and not message.upgrade
        and EXPECT not in headers
        and SEC_PURPOSE not in headers
        and HELLO_CONNECTION not in headers
    )
