"""Processes on this machine: started, pinned to the same cores, measured, ended."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Self

BUILD = Path(__file__).parent.parent / "build" / "bench"
"""Where prepare.sh puts what it makes, and where Redis and SQLite keep their data: on a disk, not in memory."""

CORES = "0,1"
"""What every process shares: servers, Redis, and the load."""

PINNED = ("taskset", "--cpu-list", CORES)
TICKS = os.sysconf("SC_CLK_TCK")
STARTUP = 20
"""Seconds after which a process that does not answer is taken for dead."""


class Process:
    """A process with its children; as a context manager, until the block ends.

    It knows nothing of this shell's environment: OpenSSL, for one, would load the certificates that it names.
    """

    def __init__(self, *command: str | Path, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._log, self._name = log, log.stem
        self.began = time.perf_counter()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*PINNED, *command],
                env={"PATH": os.environ["PATH"], **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def until_answers(self, port: int, path: str = "/") -> None:
        """Wait for the first 200 over HTTP."""
        while not answers(port, path):
            self._still_alive()
            time.sleep(0.01)

    def until_listens(self, port: int) -> Self:
        """Wait until it takes connections."""
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                self._still_alive()
                time.sleep(0.01)
            else:
                return self

    def _still_alive(self) -> None:
        if self._process.poll() is not None or time.perf_counter() - self.began > STARTUP:
            last = self._log.read_text(errors="replace").splitlines()[-5:]
            raise SystemExit("\n".join([f"bench: {self._name} does not answer:", *last]))

    def cpu(self) -> tuple[float, float]:
        """Seconds on a core since the start, of the user's and of the system's, children that have ended included."""
        ticks = [list(map(int, _stat(pid)[11:15])) for pid in self._tree()]
        return sum(each[0] + each[2] for each in ticks) / TICKS, sum(each[1] + each[3] for each in ticks) / TICKS

    def memory(self) -> float:
        """Megabytes (PSS: a page shared by several processes is divided among them)."""
        return sum(_pss(pid) for pid in self._tree()) / 1024

    def open_files(self) -> int:
        """How many files and connections it holds."""
        return sum(1 for pid in self._tree() for _ in Path(f"/proc/{pid}/fd").iterdir())

    def _tree(self) -> list[int]:
        pids = [self._process.pid]
        for pid in pids:
            pids += _children(pid)
        return pids

    def stop(self) -> None:
        """End it, by force if need be."""
        if self._process.poll() is not None:
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def answers(port: int, path: str = "/") -> bool:
    """Tell whether a server answers 200."""
    try:
        return get(port, path)[0] == 200
    except (OSError, HTTPException):
        return False


def get(port: int, path: str = "/") -> tuple[int, str]:
    """Ask a server on this machine once; the status and the body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def free_ports(number: int) -> list[int]:
    """Find ports that nobody listens on."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the command's name: proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _children(pid: int) -> Iterator[int]:
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, file.read_text().split())


def _pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
