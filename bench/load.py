"""The load: wrk for as much as a server can take, and connections that rest."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import PINNED

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What wrk saw. `requests` were answered 2xx, `failed` otherwise, `broken` not at all; latencies in ms."""

    requests: int
    failed: int
    broken: int
    seconds: float
    p99: float


def wrk(ports: Sequence[int], connections: int, seconds: int) -> Load:
    """Send as many requests as `connections` can, evenly over the ports."""
    options = f"--threads={len(ports)}", f"--connections={connections}", f"--duration={seconds}s"
    command = "wrk", *options, f"--script={HERE / 'wrk.lua'}", f"http://127.0.0.1:{ports[0]}/"
    environment = os.environ | {"PORTS": " ".join(map(str, ports))}
    output = subprocess.check_output([*PINNED, *command], env=environment, text=True, timeout=seconds + 30)
    return Load(**json.loads(output.splitlines()[-1]))


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


@contextmanager
def watching(port: int, watchers: int, seconds: int) -> Iterator[None]:
    """Watch the live stream, for so many seconds at the most."""
    command = "wrk", "--threads=1", f"--connections={watchers}", f"--duration={seconds}s"
    with subprocess.Popen([*PINNED, *command, f"http://127.0.0.1:{port}/events"], stdout=subprocess.DEVNULL) as process:
        yield
        process.terminate()
