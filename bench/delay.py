"""A proxy that delays what Redis answers: toxiproxy."""

import json
import time
from http.client import HTTPConnection
from statistics import median

import redis

from bench.processes import BUILD, Process, free_ports


class Delay(Process):
    """A port that leads to another one, later."""

    def __init__(self, upstream: int) -> None:
        self._admin, self.port = free_ports(2)
        super().__init__(BUILD / "toxiproxy", "-port", str(self._admin), log=BUILD / "toxiproxy.log")
        self.until_listens(self._admin)
        addresses = {"listen": f"127.0.0.1:{self.port}", "upstream": f"127.0.0.1:{upstream}"}
        self._ask("POST", "/proxies", name="redis", enabled=True, **addresses)
        self._ask("POST", "/proxies/redis/toxics", name="late", type="latency", attributes={"latency": 0})

    def set(self, milliseconds: int) -> None:
        """Choose how much later: whole milliseconds, on top of what the proxy itself takes."""
        self._ask("POST", "/proxies/redis/toxics/late", attributes={"latency": milliseconds})

    def _ask(self, method: str, path: str, **body: object) -> None:
        connection = HTTPConnection("127.0.0.1", self._admin, timeout=5)
        connection.request(method, path, json.dumps(body))
        answer = connection.getresponse()
        if answer.status >= 400:
            raise SystemExit(f"bench: toxiproxy: {answer.read().decode()}")
        connection.close()


def added(port: int) -> float:
    """What the proxy itself adds to an answer of Redis, in ms, where it is told to add nothing."""
    with Delay(port) as delay:
        return _answer(delay.port) - _answer(port)


def _answer(port: int) -> float:
    """What Redis takes to answer, in ms."""
    times = []
    with redis.Redis(port=port) as client:
        for _ in range(500):
            began = time.perf_counter()
            client.ping()
            times.append(time.perf_counter() - began)
    return 1e3 * median(times)
