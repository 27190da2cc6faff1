"""The load: wrk for as much as a server can take, oha for a fixed rate."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BUILD, PINNED

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a generator saw. `requests` were answered 2xx, `failed` otherwise, `broken` not at all; latencies in ms."""

    requests: int
    failed: int
    broken: int
    seconds: float
    p50: float
    p99: float
    p999: float


def wrk(ports: Sequence[int], path: str, connections: int, seconds: int) -> Load:
    """Send as much as `connections` can, evenly over the ports."""
    options = f"--threads={len(ports)}", f"--connections={connections}", f"--duration={seconds}s"
    url = f"http://127.0.0.1:{ports[0]}{path}"
    output = _run("wrk", *options, f"--script={HERE / 'wrk.lua'}", url, PORTS=" ".join(map(str, ports)))
    return Load(**json.loads(output.splitlines()[-1]))


def oha(port: int, path: str, connections: int, rate: float, seconds: int) -> Load:
    """Send `rate` requests a second; a latency counts from when its request was due."""
    options = "--no-tui", "--output-format=json", "--latency-correction", "-c", str(connections), "-z", f"{seconds}s"
    report = json.loads(
        _run(str(BUILD / "bin" / "oha"), *options, "-q", str(round(rate)), f"http://127.0.0.1:{port}{path}")
    )
    statuses, percentiles = report["statusCodeDistribution"], report["latencyPercentiles"]
    requests = sum(number for status, number in statuses.items() if status.startswith("2"))
    return Load(
        requests=requests,
        failed=sum(statuses.values()) - requests,
        broken=sum(number for error, number in report["errorDistribution"].items() if "deadline" not in error),
        seconds=report["summary"]["total"],
        **{name: 1e3 * percentiles[key] for name, key in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"))},
    )


@contextmanager
def idle(port: int, connections: int) -> Iterator[None]:
    """Open connections, from several addresses, since one may not have them all; each asks once, and rests."""
    with ExitStack() as stack:
        for number in range(connections):
            source = f"127.0.0.{2 + number % 100}", 0
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10, source))
            client.sendall(b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n")
            client.recv(4096)
        yield


def watching(port: int, watchers: int, seconds: int) -> subprocess.Popen[bytes]:
    """Watch the live stream."""
    command = "wrk", "--threads=1", f"--connections={watchers}", f"--duration={seconds}s"
    return subprocess.Popen([*PINNED, *command, f"http://127.0.0.1:{port}/events"], stdout=subprocess.DEVNULL)


def _run(*command: str, **environment: str) -> str:
    return subprocess.run(
        [*PINNED, *command], env=os.environ | environment, check=True, stdout=subprocess.PIPE, text=True, timeout=60
    ).stdout
