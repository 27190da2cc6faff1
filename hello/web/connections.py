"""Limits on connections: their number, each address's share, the bytes that they hold, and their time."""

import asyncio
import sys
from collections import Counter as Tally
from collections.abc import Container, Iterator
from itertools import chain

import structlog

from hello.counting.queue import EXPIRY_RESOLUTION
from hello.limits import Limits

HEADER_SIZE = 16_384
"""Most bytes of a request's header."""

HEADER_FIELDS = 64
"""Most fields of a request's header."""

BODY_SIZE = HEADER_SIZE
"""Most bytes of a body after which a connection stays open: nobody needs to send one here."""

HEADER_TIMEOUT = 10.0
"""Seconds from a connection's start, or from the first byte of a later request, until the header is complete."""

KEEPALIVE_TIMEOUT = 3_630.0
"""Seconds that a connection may idle: longer than any balancer's timeout, or requests get lost."""

SEND_TIMEOUT = 10.0
"""Seconds after which a client that does not read its answers is dropped."""

LINGERING = 1.0
"""Seconds that a closing connection stays open for bytes still in transit."""

log = structlog.get_logger()


class Wait:
    """Connections that wait for the same thing, longest first, each for a limited time.

    One timer serves all, since the waits end in order.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._ends: dict[asyncio.Transport, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport) -> None:
        """Begin a connection's wait; the connection is aborted unless `end` is called in time."""
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
    """The connections of one port. If a new one needs room, a waiting one is closed."""

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
        """Bytes that each holds; the connection that has held its bytes longest comes first."""
        self._total = 0
        self._is_full = False

    def __iter__(self) -> Iterator[asyncio.Transport]:
        return iter(list(self._addresses))

    def admit(self, transport: asyncio.Transport) -> bool:
        """Admit a connection if there is room or room can be made.

        An address may have as many connections as it leaves free for others.
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
        """Note how many bytes a connection holds; if all hold too many, close waiting ones, or else this one."""
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
        """Close all connections at once, even those with unsent data."""
        for transport in self:
            transport.abort()

    def _make_room(self, address: str) -> bool:
        """Close the longest-waiting connection of the address with the most connections."""
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
