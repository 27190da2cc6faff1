"""The load: which clients ask where, how often and for how long."""

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from time import monotonic_ns

from hello.check.history import NEVER, Labels, Outcome, Record, shared
from hello.check.visiting.client import Client
from hello.check.visiting.site import Address, Site
from hello.check.visiting.under_way import Keep, UnderWay

READ_EVERY = 10  # visits
READ_TIMEOUT = 3.0  # seconds for a first and a last read to get an answer
PAUSE = 0.1  # seconds that a client whose visit failed is slower
SHARES = 1.0  # seconds between two reads of the pods' shares
RESOLVE_EVERY = 60  # reads of shares, in a run without an end
MOST_KEPT = 10  # idle connections that an open loop keeps to each site
GIVE_UP = 60.0  # seconds in which every visit fails

FRESH, KEPT, BOTH = (False,), (True,), (False, True)


class CheckError(Exception):
    """The check cannot be run; the message says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. At most one of requests and duration (in seconds) is set; without both, the run is endless.

    rate: visits a second, however long answers take (open loop). Without it, each answer makes room for the next visit
    (closed loop). room: how many may be under way; by default as many as the rate needs for one timeout.
    connections: whether they are kept, for each visit in turn.
    """

    requests: int | None = None
    duration: float | None = None
    rate: float | None = None
    room: int | None = None
    connections: Sequence[bool] = BOTH
    timeout: float = 15.0

    @property
    def endless(self) -> bool:
        return self.requests is None and self.duration is None


class Load:
    """A run: first reads, visits with reads among them, last reads. `keep` gets each record as its request ends."""

    def __init__(self, sites: Sequence[Site], plan: Plan, keep: Keep) -> None:
        self.under_way = UnderWay(keep)
        self.stopped = False
        self.gave_up = False
        self._plan = plan
        self._sites = sites
        self._addresses: list[list[Address]] = []
        self._clients: set[Client] = set()
        self._idle: defaultdict[tuple[int, bool], deque[Client]] = defaultdict(deque)
        self._room = asyncio.Semaphore(plan.room or max(math.ceil((plan.rate or 0) * plan.timeout), 1))
        self._most_idle = plan.room or MOST_KEPT
        self._visits: asyncio.Task[None] | None = None
        self._began = 0
        self._end = NEVER

    async def run(self) -> None:
        """Run; CheckError if a site does not answer at the start, or is not a hello."""
        self._addresses = [await _resolve(site) for site in self._sites]
        self.under_way.start()
        try:
            await self._read_first()
            self._began = monotonic_ns()
            if self._plan.duration is not None:
                self._end = self._began + int(self._plan.duration * 1e9)
            await self._visit_until_stopped()
            await self._read_last()
        finally:
            self.under_way.stop()
            await asyncio.gather(*(client.close() for client in self._clients))

    def stop(self) -> None:
        """Interrupt the visits; the count is read once more."""
        self.stopped = True
        if self._visits:
            self._visits.cancel()

    # ---- visits

    async def _visit_until_stopped(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._visits = group.create_task(self._visit())
            if self.stopped:
                self._visits.cancel()
            shares = group.create_task(self._read_shares(self._visits))
            giving_up = group.create_task(self._give_up())
            await asyncio.wait([self._visits])
            giving_up.cancel()
            await asyncio.wait([shares], timeout=READ_TIMEOUT)
            shares.cancel()

    async def _visit(self) -> None:
        """Start each visit when it is due, or when there is room."""
        places = [(site, kept) for kept in self._plan.connections for site in range(len(self._sites))]
        async with asyncio.TaskGroup() as group:
            for number in range(self._plan.requests or NEVER):
                due = await self._due(number, self._plan.rate) if self._plan.rate else None
                site, kept = place = places[number % len(places)]
                if due and due < self._end and self._room.locked():
                    labels = shared(Labels(Outcome.NOT_MADE, url=self._sites[site].url, kept=kept))
                    self.under_way.not_made(due, labels)
                    continue
                await self._room.acquire()
                if (due or monotonic_ns()) >= self._end:
                    return
                group.create_task(self._visit_once(place, due, number + 1))

    async def _due(self, number: int, rate: float) -> int:
        """Wait until a visit is due; time in which this process stood still does not count."""
        while True:
            now = monotonic_ns()
            self.under_way.look(now)
            due = self._began + self.under_way.stood_still + int(number * 1e9 / rate)
            if due <= now or due >= self._end:
                return due
            await asyncio.sleep((due - now) / 1e9)

    async def _visit_once(self, place: tuple[int, bool], due: int | None, number: int) -> None:
        client = self._client(*place)
        try:
            record = await client.visit(due)
            if number % READ_EVERY == 0:
                await client.read()
            if due is None and record.outcome is not Outcome.ANSWERED:
                await asyncio.sleep(min(PAUSE, max(self._end - monotonic_ns(), 0) / 1e9))
        finally:
            self._room.release()
            self._idle[place].append(client)
            if len(self._idle[place]) > self._most_idle:
                self._clients.discard(client := self._idle[place].pop())
                await client.close()

    def _client(self, site: int, kept: bool) -> Client:
        """The client that has been idle longest, or a new one."""
        if idle := self._idle[site, kept]:
            return idle.popleft()
        addresses, under_way = self._addresses[site], self.under_way
        client = Client(self._sites[site], addresses, under_way, keep_alive=kept, timeout=self._plan.timeout)
        self._clients.add(client)
        return client

    # ---- reads of the count

    async def _read_first(self) -> None:
        """Ask each site; an endless run tolerates sites that are not up yet."""
        for site in range(len(self._sites)):
            client = self._client(site, kept=False)
            record = await self._read(client)
            if record.outcome in (Outcome.ANSWERED, Outcome.UNAVAILABLE):
                continue
            if record.labels.status is None and record.outcome is not Outcome.MALFORMED:
                if not self._plan.endless:
                    raise CheckError(f"{client.site.url}: no answer: {str(client.error) or record.outcome}")
                continue
            what = record.labels.flaw or record.labels.status or client.error or "200 without a count"
            path = f"{client.site.path}count"
            raise CheckError(f"{client.site.url}: not a hello: the answer to GET {path} is wrong ({what})")

    async def _read_shares(self, visits: "asyncio.Task[None]") -> None:
        """Read the count and the pods' shares once a second, at each site in turn."""
        clients = [self._client(site, kept=False) for site in range(len(self._sites))]
        for number in count(1):
            over, _ = await asyncio.wait([visits], timeout=SHARES)
            if over:
                return
            await clients[number % len(clients)].read(shares=True)
            if self._plan.endless and number % RESOLVE_EVERY == 0:
                await self._resolve_again()

    async def _resolve_again(self) -> None:
        """Resolve the names again: an endless run outlives addresses."""
        for site, addresses in zip(self._sites, self._addresses, strict=True):
            with suppress(CheckError):
                addresses[:] = await _resolve(site)

    async def _read_last(self) -> None:
        """Read the count at each site, over a fresh connection and over each kept one."""
        fresh = [self._client(site, kept=False) for site in range(len(self._sites))]
        kept = [client for clients in self._idle.values() for client in clients if client.connected]
        await asyncio.gather(*(self._read(client) for client in (*fresh, *kept)))

    async def _read(self, client: Client) -> Record:
        """Read the count, and retry while there is no answer or a server error."""
        end = monotonic_ns() + int(READ_TIMEOUT * 1e9)
        while True:
            record = await client.read(shares=True)
            final = record.outcome is Outcome.MALFORMED or (record.labels.status or 500) < 500
            if final or monotonic_ns() > end:
                return record
            await asyncio.sleep(PAUSE)

    async def _give_up(self) -> None:
        """End a run that has an end once every visit fails for a minute, or at the start for two timeouts."""
        while not self._plan.endless:
            await asyncio.sleep(1)
            never = self.under_way.answered_last is None
            limit = min(2 * self._plan.timeout, GIVE_UP) if never else GIVE_UP
            since = self.under_way.failing_since
            if since is not None and monotonic_ns() - since > limit * 1e9:
                self.gave_up = True
                self.stop()
                return


async def _resolve(site: Site) -> list[Address]:
    """Resolve the name in advance, so that no visit has to."""
    try:
        return list(await site.resolve())
    except (OSError, UnicodeError) as error:
        raise CheckError(f"no such host: {site.host} ({error})") from error
