"""Visitors who write down each answer, and hold them against the promise."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from time import monotonic_ns

from tests.support.client import request
from tests.support.processes import PATIENCE, Hello, until

CUT, UNREACHED = 0, -1
"""For a status: the connection ended without a whole answer; there was no connection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request, and when it was sent and answered, in nanoseconds."""

    sent: int
    arrived: int
    path: str
    status: int
    number: int = 0
    epoch: str = ""


class Witness:
    """All answers so far, of `GET /` and `GET /count`."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    @property
    def visits(self) -> list[Answer]:
        """The answers to visitors."""
        return [answer for answer in self.answers if answer.path == "/"]

    @property
    def acked(self) -> list[Answer]:
        """The visitors' numbers."""
        return [answer for answer in self.visits if answer.status == 200]

    def statuses(self) -> dict[int, int]:
        """How many visitors got which status."""
        return dict(Counter(answer.status for answer in self.visits))

    async def ask(self, server: Hello, path: str = "/") -> Answer:
        """Send one request over a connection of its own."""
        sent, status, number, epoch = monotonic_ns(), UNREACHED, 0, ""
        try:
            async with asyncio.timeout(PATIENCE):
                response = await request(server.url, path=path, Accept="application/json")
        except ConnectionRefusedError:
            pass
        except (OSError, EOFError):
            status = CUT
        else:
            status = response.status
            if status == 200:
                told = json.loads(response.body)
                number, epoch = told["count"], told["epoch"]
        answer = Answer(sent, monotonic_ns(), path, status, number, epoch)
        self.answers.append(answer)
        return answer

    @asynccontextmanager
    async def crowd(self, *servers: Hello, visitors: int = 9) -> AsyncIterator[None]:
        """Have visitors and a reader come again and again until the block ends; each then gets its last answer."""
        over = asyncio.Event()

        async def come(server: Hello, path: str) -> None:
            while not over.is_set():
                answer = await self.ask(server, path)
                await asyncio.sleep(0.005 if answer.status == 200 else 0.02)

        async with asyncio.TaskGroup() as group:
            for server in islice(cycle(servers), visitors):
                group.create_task(come(server, "/"))
            group.create_task(come(servers[0], "/count"))
            try:
                yield
            finally:
                over.set()

    async def more(self, visitors: int = 150) -> None:
        """Wait until that many more visitors have their numbers."""
        enough = len(self.acked) + visitors

        async def have() -> bool:
            return len(self.acked) >= enough

        await until(have, f"{visitors} more visitors")

    async def recovered(self, server: Hello) -> None:
        """Wait until a visitor has a number again."""

        async def has() -> bool:
            return (await self.ask(server)).status == 200

        await until(has, "a visitor has a number again")

    async def judge(self, server: Hello, began: int = 0) -> None:
        """Hold all answers against the promise; `began` is the count with which the last epoch began."""
        final = await self.ask(server, "/count")
        assert final.status == 200, final
        epochs = self._judge_order()
        assert epochs[-1] == final.epoch
        acked = [answer.number for answer in self.acked if answer.epoch == final.epoch]
        unknown = sum(answer.status not in (200, UNREACHED) for answer in self.visits)
        assert max(acked, default=began) <= final.number, "a number was forgotten"
        assert len(acked) <= final.number - began, "fewer were counted than have a number"
        if len(epochs) == 1:
            assert final.number - began <= len(acked) + unknown, "more were counted than came"

    def _judge_order(self) -> list[str]:
        """Judge each answer by those that arrived before it was sent; the epochs, in order of appearance."""
        arrivals = sorted((answer for answer in self.answers if answer.epoch), key=lambda answer: answer.arrived)
        given: defaultdict[str, set[int]] = defaultdict(set)
        highest: defaultdict[str, int] = defaultdict(int)
        epochs: list[str] = []
        earlier = iter(arrivals)
        following = next(earlier, None)
        for answer in sorted(arrivals, key=lambda answer: answer.sent):
            while following and following.arrived < answer.sent:
                highest[following.epoch] = max(highest[following.epoch], following.number)
                if following.epoch not in epochs:
                    epochs.append(following.epoch)
                following = next(earlier, None)
            assert not epochs or answer.epoch not in epochs[:-1], f"{answer} is of an epoch that was over"
            if answer.path == "/":
                assert answer.number not in given[answer.epoch], f"{answer.number} was given twice"
                given[answer.epoch].add(answer.number)
                assert answer.number > highest[answer.epoch], f"{answer} is behind {highest[answer.epoch]}"
            else:
                assert answer.number >= highest[answer.epoch], f"{answer} went back from {highest[answer.epoch]}"
        return epochs or [answer.epoch for answer in arrivals[:1]]
