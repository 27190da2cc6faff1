"""The lean half of the server: a plain visit costs no task, no handler and no map of the answer's headers.

It is a whole `GET /` over HTTP/1.1 that stays open, with nothing else under way. aiohttp's parser, one for all
connections, reads it; it joins the queue at once; and the future's callback writes what `Response` would have written.
The first request that is anything else, or that comes before the last one was answered, hands the connection over to
the other half for good.
"""

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from secrets import randbits
from time import time

from aiohttp.hdrs import ACCEPT, EXPECT
from aiohttp.http import HttpProcessingError, HttpVersion11, RawRequestMessage

from hello.counting.counter import Counter
from hello.counting.queue import RefusedError, Visit
from hello.web.accept import HTML, JSON, TEXT, preferred_type
from hello.web.connections import HEADER_SIZE, Connections
from hello.web.handled import Handled
from hello.web.header import END, Connection, make_parser
from hello.web.routes import HELLO_CONNECTION
from hello.web.visits import SEC_PURPOSE, Answer, Visits

STAYS, CLOSES = b"\r\n", b"Connection: close\r\n\r\n"
"""How a header ends."""


class Greeting:
    """The bytes that greet, in one form: all but numbers and the time are made once an epoch."""

    def __init__(self, visits: Visits, content_type: str) -> None:
        self.content_type = content_type
        self._visits = visits
        self._epoch: str | None = None

    def __call__(self, visit: Visit, end: bytes) -> bytes:
        number, epoch = visit
        if epoch != self._epoch:
            self._compose(epoch)
        digits = b"%d" % number
        length = self._length + self._places * len(digits)
        return b"".join(
            (self._start, digits, self._middle % length, general(int(time())), end, digits.join(self._body))
        )

    def _compose(self, epoch: str) -> None:
        mark = randbits(128)  # no name holds it
        answer = self._visits.greeting(self.content_type, Visit(mark, epoch))
        places = str(mark).encode()
        self._start, middle = head(answer).split(places)
        self._middle = middle.replace(b"%", b"%%") + b"Content-Length: %d\r\n"
        self._body = answer.text.encode().split(places)
        self._places = len(self._body) - 1
        self._length = sum(map(len, self._body))
        self._epoch = epoch


@lru_cache(1)
def general(second: int) -> bytes:
    """The lines that are the same for all answers of one second."""
    return f"Date: {formatdate(second, usegmt=True)}\r\nServer: hello\r\n".encode()


def head(answer: Answer) -> bytes:
    """The first lines of an answer: its status, and the headers that are its own."""
    lines = [f"HTTP/1.1 {answer.status.value} {answer.status.phrase}", *map(": ".join, answer.headers), ""]
    return "\r\n".join(lines).encode()


class Visitors:
    """Who visits one port: knows a plain visit, and answers it."""

    def __init__(self, counter: Counter, visits: Visits, leaving: asyncio.Event) -> None:
        self.join = counter.join
        self._visits = visits
        self.leaving = leaving
        """Once it is set, each answer closes its connection."""
        self._parser = make_parser()
        self._greetings = {kind: Greeting(visits, kind) for kind in (TEXT, HTML, JSON)}

    def greeting(self, header: bytes) -> Greeting | None:
        """What answers a plain visit; None if this is anything else, or not one whole header."""
        if header.find(END) != len(header) - len(END) or len(header) > HEADER_SIZE or self.leaving.is_set():
            return None
        try:
            messages = self._parser.feed_data(header)[0]
        except HttpProcessingError:
            messages = []
        for message, body in messages:
            if body.is_eof() and _is_plain(message):
                return self._greetings[preferred_type(message.headers.getall(ACCEPT, ("",)))]
        self._parser = make_parser()  # whatever it may be in the midst of
        return None

    def answer(self, outcome: Visit | BaseException, greeting: Greeting, end: bytes) -> bytes:
        """The answer to a visitor who was counted, or was not."""
        if isinstance(outcome, Visit):
            return greeting(outcome, end)
        if not isinstance(outcome, RefusedError):
            raise outcome
        refusal = self._visits.refuse(outcome, greeting.content_type)
        body = refusal.text.encode()
        return b"%bContent-Length: %d\r\n%b%b%b" % (head(refusal), len(body), general(int(time())), end, body)


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


class Lean(Connection):
    """A connection over which only plain visits have come so far."""

    __slots__ = ("_greeting", "_make_handled", "_visit", "_visitors")

    def __init__(self, connections: Connections, visitors: Visitors, make_handled: Callable[[], Handled]) -> None:
        super().__init__(connections)
        self._visitors = visitors
        self._make_handled = make_handled
        self._greeting: Greeting
        self._visit: asyncio.Future[Visit] | None = None

    def data_received(self, data: bytes) -> None:
        if self._held or self._is_busy or self._is_last or not (greeting := self._visitors.greeting(data)):
            super().data_received(data)
        else:
            self._join(greeting)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._visit:
            self._visit.cancel()

    def leave(self) -> asyncio.Future[Visit] | None:
        """Close, if no visit is under way; else tell which."""
        if not self._is_busy:
            self._transport.close()
        return self._visit

    def _advance(self) -> None:
        if self._is_busy:
            if self._held:
                self._transport.pause_reading()
                self._account()
        elif greeting := self._visitors.greeting(self._held):
            self._held = b""
            self._account()
            self._join(greeting)
        elif self._held:
            held = self._held
            if self._cut_header():
                self._await(None)
                self._make_handled().take_over(self._transport, held, self._is_half_closed)
            else:
                self._account()

    def _join(self, greeting: Greeting) -> None:
        self._is_busy, self._greeting = True, greeting
        self._await(None)
        try:
            self._visit = self._visitors.join()
        except RefusedError as error:
            self._tell(error)
        else:
            self._visit.add_done_callback(self._answer)

    def _answer(self, visit: asyncio.Future[Visit]) -> None:
        self._visit = None
        if not visit.cancelled():
            error = visit.exception()
            self._tell(visit.result() if error is None else error)

    def _tell(self, outcome: Visit | BaseException) -> None:
        """Write the answer, and rest, or go on with what has come meanwhile."""
        closes = self._visitors.leaving.is_set() or (self._is_half_closed and not self._held)
        self._is_busy = False
        self._await(self._connections.resting)
        self._transport.write(self._visitors.answer(outcome, self._greeting, CLOSES if closes else STAYS))
        if closes:
            self._transport.close()
        elif self._held:
            self._go_on()
