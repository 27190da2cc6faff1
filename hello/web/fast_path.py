"""The fast path: a plain visit costs no task, no handler and no map of the answer's headers.

It joins the queue at once, and the future's callback writes the answer. A connection leaves the fast path for good at
the first request that is not a plain visit.
"""

import asyncio

from aiohttp.web import Server

from hello.counting.queue import RefusedError, Visit
from hello.web.connection import Connection
from hello.web.connections import Connections
from hello.web.greeting import Greeting, Greetings


class FastConnection(Connection):
    """Answers plain visits itself until another request arrives."""

    __slots__ = ("_greeting", "_greetings", "visit")

    def __init__(self, connections: Connections, server: Server, greetings: Greetings) -> None:
        super().__init__(connections, server)
        self._greetings = greetings
        self._greeting: Greeting
        self.visit: asyncio.Future[Visit] | None = None
        """The plain visit under way."""

    def data_received(self, data: bytes) -> None:
        is_next = not (self._handler or self._held or self._is_busy or self._is_last)
        if is_next and (greeting := self._greetings.find(data)):
            self._join(greeting)
        else:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.visit:
            self.visit.cancel()

    def _advance(self) -> None:
        if self._handler or self._is_busy or not (greeting := self._greetings.find(self._held)):
            super()._advance()
        else:
            self._held = b""
            self._account()
            self._join(greeting)

    def _join(self, greeting: Greeting) -> None:
        self._is_busy, self._greeting = True, greeting
        self._await(None)
        try:
            self.visit = self._greetings.join()
        except RefusedError as error:
            self._tell(error)
        else:
            self.visit.add_done_callback(self._answer)

    def _answer(self, visit: asyncio.Future[Visit]) -> None:
        self.visit = None
        if visit.cancelled():
            return
        outcome: Visit | RefusedError
        try:
            outcome = visit.result()
        except RefusedError as error:
            outcome = error
        if not self._transport.is_closing():
            self._tell(outcome)

    def _tell(self, outcome: Visit | RefusedError) -> None:
        """Write the answer, then idle or go on with what has arrived meanwhile."""
        closes = self._greetings.leaving.is_set() or (self._is_half_closed and not self._held)
        self._is_busy = False
        self._await(self._connections.resting)
        self._transport.write(self._greeting.answer(outcome, closes))
        if closes:
            self._transport.close()
        elif self._held:
            self._go_on()
