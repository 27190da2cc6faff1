"""What connections may cost: their number, each address's share of it, the bytes they hold, and their time."""

import asyncio
import sys
from collections import Counter as Tally
from collections.abc import Container, Iterator
from itertools import chain

import structlog

from hello.counting.queue import EXPIRY_RESOLUTION
from hello.limits import Limits

HEADER_SIZE = 16_384
"""Bytes of a request's header, at the most."""

HEADER_FIELDS = 64
"""Fields of a request's header, at the most."""

BODY_SIZE = HEADER_SIZE
"""Bytes of a request's body after which the connection may go on, at the most: nobody needs to send one here."""

HEADER_TIMEOUT = 10.0
"""Seconds from a connection's start, or from the first byte of a later request, until the header is whole."""

KEEPALIVE_TIMEOUT = 3_630.0
"""Seconds for which a connection may rest between two requests: longer than any balancer's, or requests get lost."""

SEND_TIMEOUT = 10.0
"""Seconds after which a client is dropped that takes nothing of the answers that wait for it."""

LINGERING = 1.0
"""Seconds for which a connection that is to close is kept for what is still under way in either direction."""

log = structlog.get_logger()


class Wait:
    """The connections that wait for one thing, each for so many seconds at the most, the longest wait first.

    One timer serves all, since they end in order.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._ends: dict[asyncio.Transport, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport) -> None:
        """Let a connection that is not here yet wait; it is aborted if the wait is not ended in time."""
        end = self._ends[transport] = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(end, self._expire)

    def end(self, transport: asyncio.Transport) -> None:
        self._ends.pop(transport, None)

    def __contains__(self, transport: asyncio.Transport) -> bool:
        return transport in self._ends

    def __iter__(self) -> Iterator[asyncio.Transport]:
        return iter(self._ends)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time() + EXPIRY_RESOLUTION
        for transport, end in self._ends.items():
            if end > now:
                self._timer = self._loop.call_at(end, self._expire)
                return
            transport.abort()


class Connections:
    """The connections of one port. Where there is no room for one more, another one that only waits is closed."""

    def __init__(self, limits: Limits) -> None:
        self.resting = Wait(KEEPALIVE_TIMEOUT)
        self.reading = Wait(HEADER_TIMEOUT)
        self.sending = Wait(SEND_TIMEOUT)
        self.lingering = Wait(LINGERING)
        self._waits = self.resting, self.reading, self.sending, self.lingering
        self._limits = limits
        self._addresses: dict[asyncio.Transport, str] = {}
        self._shares = Tally[str]()
        """How many connections each address has."""
        self._held: dict[asyncio.Transport, int] = {}
        """The bytes that each holds, the one that has held its bytes longest first."""
        self._total = 0
        self._is_full = False

    def __iter__(self) -> Iterator[asyncio.Transport]:
        return iter(list(self._addresses))

    def admit(self, transport: asyncio.Transport) -> bool:
        """Take in a new connection, if there is room, or some can be made; tell the log when there is none any more.

        An address may have as many as leave as many places to others.
        """
        address = sys.intern((transport.get_extra_info("peername") or ("",))[0])  # all behind one proxy share it
        if self._shares[address] >= self._limits.connections - len(self._addresses) and not self._make_room(address):
            if not self._is_full:
                self._is_full = True
                log.warning("connection limit reached: closing new connections", limit=self._limits.connections)
            return False
        self._addresses[transport] = address
        self._shares[address] += 1
        return True

    def hold(self, transport: asyncio.Transport, size: int) -> None:
        """Note how many bytes a connection holds; if all hold too many, close those that only wait, or this one."""
        self._total += size - self._held.pop(transport, 0)
        if size:
            self._held[transport] = size
        while self._total > self._limits.held_bytes:
            self._close(next(filter(self._only_waits, self._held), transport))

    def forget(self, transport: asyncio.Transport) -> None:
        self._total -= self._held.pop(transport, 0)
        address = self._addresses.pop(transport, None)
        if address is not None:
            self._shares[address] -= 1
            if not self._shares[address]:
                del self._shares[address]
            if len(self._addresses) < self._limits.connections / 2:
                self._is_full = False

    def abort(self) -> None:
        """Close all connections at once, whoever still reads."""
        for transport in self:
            transport.abort()

    def _make_room(self, address: str) -> bool:
        """Close the connection that has waited longest, of those of the address that has most connections."""
        greediest = max(self._shares, key=lambda each: self._shares[each], default=address)
        victim = self._longest_waiting({greediest}) or (address != greediest and self._longest_waiting(self._shares))
        if victim:
            self._close(victim)
        return bool(victim)

    def _longest_waiting(self, addresses: Container[str]) -> asyncio.Transport | None:
        waiting = chain(self.resting, self.reading)
        return next((each for each in waiting if self._addresses.get(each) in addresses), None)

    def _close(self, transport: asyncio.Transport) -> None:
        transport.abort()
        self.forget(transport)

    def _only_waits(self, transport: asyncio.Transport) -> bool:
        return any(transport in wait for wait in self._waits)
