"""The load: how many clients ask, where, how often and how long."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, cycle

from hello.check.client import Client
from hello.check.history import Outcome, Record
from hello.check.site import Address, Site

READ_EVERY = 10  # visits
READS_OF_PODS = 4  # at the end, for each pod: one that has gone is asked for in vain
READ_TIMEOUT = 3.0  # seconds for a first and a last read to get an answer
PAUSE = 0.1  # seconds that a client whose visit failed is slower
ATTEMPTS = 10  # of a visit that gets 503 each time
LONGEST_RETRY = 30.0  # seconds, whatever Retry-After says
LATENESS = 0.1  # seconds that a visit of an open loop may be late

FRESH, KEPT, BOTH = (False,), (True,), (False, True)
"""The kinds of connections: whether they are kept, for each client in turn."""


class CheckError(Exception):
    """The check cannot be run; the message says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. At most one of requests and duration (seconds) is set; without both it goes on.

    rate: visits a second, whatever the answers take (open loop); None: each client asks when it was answered.
    retry: whether a visit that gets 503 is made again.
    """

    requests: int | None
    duration: float | None
    clients: int
    rate: float | None
    connections: Sequence[bool]
    timeout: float
    retry: bool


class Load:
    """A run: first reads, visits with a read now and then, last reads. Each record goes to `keep` as it is made."""

    def __init__(self, sites: Sequence[Site], plan: Plan, keep: Callable[[Record], None]) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        """Of the visits so far."""
        self.late = 0
        """Visits of an open loop that were not made, as every client was waiting when their time came."""
        self._sites = sites
        self._plan = plan
        self._keep_record = keep
        self._pods: set[str] = set()  # that answered a visit
        self._numbers = count(1)
        self._due = 0.0
        self._end = float("inf")

    async def run(self) -> None:
        """Run it all; CheckError if a site does not answer at the start, or what does is not a hello."""
        clients = await self._clients()
        try:
            await asyncio.gather(*(self._read_first(client) for client in clients[: len(self._sites)]))
            self._due = _now()
            if self._plan.duration is not None:
                self._end = self._due + self._plan.duration
            async with asyncio.TaskGroup() as group:
                for client in clients:
                    group.create_task(self._visit(client))
            await self._read_last(clients)
        finally:
            await asyncio.gather(*(client.close() for client in clients))

    async def read_last(self) -> None:
        """Read the count of each site, after a run that was interrupted."""
        clients = await self._clients()
        await self._read_last(clients[: len(self._sites)])

    async def _clients(self) -> list[Client]:
        """As many as the plan says, for the sites and the kinds of connections in turn."""
        addresses = [await _resolve(site) for site in self._sites]
        sites, kinds = len(self._sites), self._plan.connections
        return [
            Client(
                self._sites[index % sites],
                addresses[index % sites],
                self._keep,
                keep_alive=kinds[index // sites % len(kinds)],
                timeout=self._plan.timeout,
            )
            for index in range(self._plan.clients)
        ]

    def _keep(self, record: Record) -> None:
        if not record.read:
            self.outcomes[record.outcome] += 1
            if record.outcome is Outcome.ANSWERED and record.pod:
                self._pods.add(record.pod)
        self._keep_record(record)

    async def _read_first(self, client: Client) -> None:
        record = await self._read(client, (Outcome.ANSWERED, Outcome.UNAVAILABLE))
        if record.outcome in (Outcome.ANSWERED, Outcome.UNAVAILABLE):
            return
        if record.labels.status is None and record.outcome is not Outcome.MALFORMED:
            raise CheckError(f"{client.site.url}: no answer: {str(client.error) or record.outcome}")
        what = record.labels.flaw or record.labels.status or client.error
        raise CheckError(f"{client.site.url}: not a hello: the answer to GET {client.site.path}count is wrong ({what})")

    async def _read_last(self, clients: list[Client]) -> None:
        """Read the count at each site, over each kept connection, and from as many of the pods as tell their names."""
        last = [client for index, client in enumerate(clients) if index < len(self._sites) or client.connected]
        reads = await asyncio.gather(*(self._read(client, (Outcome.ANSWERED,)) for client in last))
        told = {read.pod for read in reads if read.pod}
        for client in cycle(clients[: len(self._sites)]):
            if not told or told >= self._pods or len(reads) >= READS_OF_PODS * len(self._pods):
                return
            reads.append(await client.ask(read=True))
            told.add(reads[-1].pod or "")

    async def _read(self, client: Client, enough: tuple[Outcome, ...]) -> Record:
        """Read the count, again and again if need be; an answer that says more than "not now" is final."""
        end = _now() + READ_TIMEOUT
        while True:
            record = await client.ask(read=True)
            final = record.outcome is Outcome.MALFORMED or (record.labels.status or 500) < 500
            if record.outcome in enough or final or _now() > end:
                return record
            await asyncio.sleep(PAUSE)

    async def _visit(self, client: Client) -> None:
        """Be one client, until all visits are made."""
        while number := await self._turn():
            record = await client.ask()
            while self._plan.retry and record.outcome is Outcome.UNAVAILABLE and record.labels.attempt < ATTEMPTS:
                await self._sleep(min(client.retry_after, LONGEST_RETRY))
                if _now() >= self._end:
                    break
                record = await client.ask(attempt=record.labels.attempt + 1)
            if record.outcome is not Outcome.ANSWERED and self._plan.rate is None:
                await self._sleep(PAUSE)
            if number % READ_EVERY == 0:
                await client.ask(read=True)

    async def _turn(self) -> int:
        """Wait until the next visit is due, and return which it is; 0 if there is none."""
        number = next(self._numbers)
        if self._plan.requests is not None and number > self._plan.requests:
            return 0
        if self._plan.rate is not None:
            await self._sleep(self._next_due(self._plan.rate) - _now())
        return number if _now() < self._end else 0

    def _next_due(self, rate: float) -> float:
        """When the next visit of an open loop is due; those long overdue are left out, or they would pile up."""
        late = _now() - self._due
        if late > LATENESS:
            self.late += int(late * rate)
            self._due += int(late * rate) / rate
        due, self._due = self._due, self._due + 1 / rate
        return due

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not past the end of the run."""
        await asyncio.sleep(min(seconds, self._end - _now()))


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _resolve(site: Site) -> Sequence[Address]:
    """Look the host up once, so that no look-up is part of a visit."""
    try:
        return await site.resolve()
    except (OSError, UnicodeError) as error:
        raise CheckError(f"no such host: {site.host} ({error})") from error
