"""Decides how a member of etcd starts, and writes it into etcd's configuration. Runs as an init container.

A member with data starts as it was. One without data joins the others: its old entry is removed, and a new one is
added. Never does it begin a second cluster beside a living one: only the first member may begin one, alone, and only
after each of the others has said that it has no data either. They say so from here, on the peers' port, as they wait.

Environment: NAME, the member's; ADDRESS, its pod's; MEMBERS, each one's NAME=HOST, separated by spaces; DATA, the
directory of its volume; CONFIGURATION, the file to be written: etcd.conf.yml, which is beside this one, and more.
"""

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

CLIENTS, PEERS, METRICS = 2379, 2380, 2381
ANSWER, COMMIT = 2, 8
"""Seconds to wait for an answer, and for one that takes a commit: etcd gives that up after 7."""
PAUSE = 0.5
"""Seconds between two rounds of asking."""
SILENCE = OSError, HTTPException, ValueError
"""What an answer that is none looks like: refused, cut off, or not etcd's."""


@dataclass(frozen=True)
class Member:
    """One of those that the cluster consists of, by its name and its host's."""

    name: str
    host: str

    @property
    def peer_url(self) -> str:
        """Where the others reach it. This is what it is known by: one that never started has no name there."""
        return f"http://{self.host}:{PEERS}"

    @property
    def client_url(self) -> str:
        """Where its clients reach it."""
        return f"http://{self.host}:{CLIENTS}"

    def call(self, what: str, seconds: float, **arguments: Any) -> list[dict[str, Any]]:
        """Ask it to list, add or remove members; the members. An error if it does not agree."""
        request = Request(f"{self.client_url}/v3/cluster/member/{what}", json.dumps(arguments).encode())
        with urlopen(request, timeout=seconds) as answer:
            members: list[dict[str, Any]] = json.load(answer)["members"]
            return members

    def knows(self) -> list[dict[str, Any]] | None:
        """The members of the cluster that it lives in. None if it is silent, or another's: addresses are used again."""
        try:
            members = self.call("list", ANSWER)
        except SILENCE:
            return None
        return members if any(self.peer_url in member["peerURLs"] for member in members) else None

    def has_no_data(self) -> bool:
        """Whether it says so, and says that it is itself."""
        try:
            with urlopen(f"{self.peer_url}/no-data", timeout=ANSWER) as answer:
                return bool(answer.read().decode() == self.peer_url)
        except SILENCE:
            return False


@dataclass(frozen=True)
class Start:
    """How a member starts: by whom the cluster is made up, and whether it is a new one or there already."""

    members: list[Member]
    state: str


def has_data(data: Path) -> bool:
    """Whether a member ever started there: etcd's log is renamed into its place once it is whole."""
    return any((data / "member/wal").glob("*.wal"))


def decide(me: Member, members: list[Member]) -> Start:
    """Ask the others until there is an answer."""
    others = [member for member in members if member != me]
    said = ""
    while True:
        living = [(other, known) for other in others if (known := other.knows()) is not None]
        lines = []
        for other, known in living:
            try:
                return join(me, members, other, known)
            except SILENCE as error:
                lines.append(f"{other.name} lives, but does not take this one in: {reason(error)}")
        if not living:
            silent = [other.name for other in others if not other.has_no_data()]
            if me == members[0] and not silent:
                return Start([me], "new")
            lines.append(f"waiting for {' and '.join(silent) or members[0].name}")
        if said != (said := "; ".join(lines)):
            print(said, flush=True)
        time.sleep(PAUSE)


def join(me: Member, members: list[Member], other: Member, known: list[dict[str, Any]]) -> Start:
    """Take my place in the cluster of one that lives. An error if it has no majority for it."""
    started = {url for entry in known if entry.get("name") for url in entry["peerURLs"]}
    for earlier in members[: members.index(me)]:
        # One after the other: etcd does not start if it was told of fewer members than there are by then.
        if earlier.peer_url not in started:
            raise ValueError(f"{earlier.name} comes first")
    for entry in known:
        if me.peer_url in entry["peerURLs"]:
            if me.peer_url not in started and len(started) < len(known) // 2 + 1:
                # Added, but lost before it started: without it the others are no majority, so they cannot remove it.
                return Start(named(members, known), "existing")
            other.call("remove", COMMIT, ID=entry["ID"])
    return Start(named(members, other.call("add", COMMIT, peerURLs=[me.peer_url])), "existing")


def named(members: list[Member], known: list[dict[str, Any]]) -> list[Member]:
    """The members of the cluster, by our names."""
    urls = {url for entry in known for url in entry["peerURLs"]}
    return [member for member in members if member.peer_url in urls]


def reason(error: Exception) -> str:
    """What etcd says, if it says something."""
    return str(json.loads(error.read()).get("message")) if isinstance(error, HTTPError) else str(error)


@contextmanager
def saying_that_there_is_no_data(me: Member, address: str) -> Iterator[None]:
    """Answer the others' question meanwhile."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/no-data" else 404)
            self.end_headers()
            self.wfile.write(me.peer_url.encode())

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        daemon_threads = True

    with Server((address, PEERS), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def configuration(me: Member, address: str, data: Path, start: Start) -> dict[str, str]:
    """What etcd is told, besides what is the same for all."""
    host = f"[{address}]" if ":" in address else address
    return {
        "name": me.name,
        "data-dir": str(data),
        "listen-client-urls": f"http://{host}:{CLIENTS}",
        "listen-peer-urls": f"http://{host}:{PEERS}",
        "listen-metrics-urls": f"http://{host}:{METRICS}",
        "advertise-client-urls": me.client_url,
        "initial-advertise-peer-urls": me.peer_url,
        "initial-cluster": ",".join(f"{member.name}={member.peer_url}" for member in start.members),
        "initial-cluster-state": start.state,
    }


def main() -> None:
    """Decide, and write it down."""
    members = [Member(*member.split("=")) for member in os.environ["MEMBERS"].split()]
    (me,) = (member for member in members if member.name == os.environ["NAME"])
    data, address = Path(os.environ["DATA"]) / "data", os.environ["ADDRESS"]
    if has_data(data):
        start = Start([me], "existing")  # etcd reads it from the disk
        print("starting from what is on the disk")
    else:
        shutil.rmtree(data, ignore_errors=True)
        with saying_that_there_is_no_data(me, address):
            start = decide(me, members)
        print("beginning a cluster" if start.state == "new" else "joining a cluster")
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in configuration(me, address, data, start).items()]
    Path(os.environ["CONFIGURATION"]).write_text(Path(__file__).with_name("etcd.conf.yml").read_text() + "".join(lines))


if __name__ == "__main__":
    main()
