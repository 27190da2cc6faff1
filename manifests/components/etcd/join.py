"""Decides how a member of etcd starts, and writes it into etcd's configuration. Runs as an init container.

A member with data starts with it. A member without data joins the others: they remove its old entry and add a new one.
It never begins a second cluster beside a running one: only the first member may begin a cluster, alone, and only after
each of the others has reported that it has no data either. This script reports that on the peers' port while it waits.

Environment: NAME, of this member; ADDRESS, of its pod; MEMBERS, each one's NAME=HOST, separated by spaces; DATA, the
directory of the volume; CONFIGURATION, the file to write: etcd.conf.yml (beside this file) and this member's settings;
TLS, if members and clients speak TLS: the directory of ca.crt, tls.crt and tls.key.
"""

import json
import os
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

CLIENTS, PEERS, METRICS = 2379, 2380, 2381
ANSWER, COMMIT = 2, 8
"""Seconds to wait for an answer, and for one that needs a commit: etcd times out after 7."""
PAUSE = 0.5
"""Seconds between two rounds of questions."""
SILENCE = OSError, HTTPException, ValueError
"""No valid answer: connection refused or closed, or not etcd."""


@dataclass(frozen=True)
class Member:
    """A member of the cluster: its name, its host, and the directory of its TLS files."""

    name: str
    host: str
    tls: Path | None

    def url(self, host: str, port: int) -> str:
        """The URL of a host and a port, with TLS or without."""
        return f"{'https' if self.tls else 'http'}://{host}:{port}"

    @property
    def peer_url(self) -> str:
        """Where the others reach it. They know it by this URL: before its first start it has no name there."""
        return self.url(self.host, PEERS)

    @property
    def client_url(self) -> str:
        """Where its clients reach it."""
        return self.url(self.host, CLIENTS)

    def open(self, request: str | Request, seconds: float) -> HTTPResponse:
        """Send it a request; over TLS only if its certificate is valid."""
        context = ssl.create_default_context(cafile=self.tls / "ca.crt") if self.tls else None
        response: HTTPResponse = urlopen(request, timeout=seconds, context=context)
        return response

    def call(self, what: str, seconds: float, **arguments: Any) -> list[dict[str, Any]]:
        """Ask it to list, add or remove members. Returns the members; raises an error if it refuses."""
        request = Request(f"{self.client_url}/v3/cluster/member/{what}", json.dumps(arguments).encode())
        with self.open(request, seconds) as answer:
            members: list[dict[str, Any]] = json.load(answer)["members"]
            return members

    def knows(self) -> list[dict[str, Any]] | None:
        """The members of its cluster. None if it is silent or belongs to another cluster: addresses are reused."""
        try:
            members = self.call("list", ANSWER)
        except SILENCE:
            return None
        return members if any(self.peer_url in member["peerURLs"] for member in members) else None

    def has_no_data(self) -> bool:
        """Whether it reports so, and reports that it is this member."""
        try:
            with self.open(f"{self.peer_url}/no-data", ANSWER) as answer:
                return bool(answer.read().decode() == self.peer_url)
        except SILENCE:
            return False


@dataclass(frozen=True)
class Start:
    """How a member starts: the members of the cluster, and whether the cluster is new or existing."""

    members: list[Member]
    state: str


def has_data(data: Path) -> bool:
    """Whether a member ever started there: etcd renames its log into place once it is complete."""
    return any((data / "member/wal").glob("*.wal"))


def decide(me: Member, members: list[Member]) -> Start:
    """Ask the others until it is clear how to start."""
    others = [member for member in members if member != me]
    printed = ""
    while True:
        running = [(other, known) for other in others if (known := other.knows()) is not None]
        lines = []
        for other, known in running:
            try:
                return join(me, members, other, known)
            except SILENCE as error:
                lines.append(f"{other.name} is running, but does not let this member join: {reason(error)}")
        if not running:
            silent = [other.name for other in others if not other.has_no_data()]
            if me == members[0] and not silent:
                return Start([me], "new")
            lines.append(f"waiting for {' and '.join(silent) or members[0].name}")
        if printed != (printed := "; ".join(lines)):
            print(printed, flush=True)
        time.sleep(PAUSE)


def join(me: Member, members: list[Member], other: Member, known: list[dict[str, Any]]) -> Start:
    """Join the cluster of a running member. Raises an error if it has no majority for that."""
    started = {url for entry in known if entry.get("name") for url in entry["peerURLs"]}
    for earlier in members[: members.index(me)]:
        # One after the other: etcd does not start if its list of members is out of date.
        if earlier.peer_url not in started:
            raise ValueError(f"{earlier.name} must join first")
    for entry in known:
        if me.peer_url in entry["peerURLs"]:
            if me.peer_url not in started and len(started) < len(known) // 2 + 1:
                # It was added, but lost before it started. Without it the others have no majority to remove it.
                return Start(named(members, known), "existing")
            other.call("remove", COMMIT, ID=entry["ID"])
    return Start(named(members, other.call("add", COMMIT, peerURLs=[me.peer_url])), "existing")


def named(members: list[Member], known: list[dict[str, Any]]) -> list[Member]:
    """The members of the cluster, with the names from MEMBERS."""
    urls = {url for entry in known for url in entry["peerURLs"]}
    return [member for member in members if member.peer_url in urls]


def reason(error: Exception) -> str:
    """The message from etcd, if there is one."""
    return str(json.loads(error.read()).get("message")) if isinstance(error, HTTPError) else str(error)


@contextmanager
def reporting_no_data(me: Member, address: str) -> Iterator[None]:
    """Answer the other members' questions meanwhile."""

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

        def get_request(self) -> tuple[socket.socket, Any]:
            connection, client = super().get_request()
            return serving_tls(connection, me.tls) if me.tls else connection, client

        def handle_error(self, *_: object) -> None:
            pass

    with Server((address, PEERS), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def serving_tls(connection: socket.socket, files: Path) -> ssl.SSLSocket:
    """Speak TLS on a connection, with the files as they are now. The handshake is left to the connection's thread."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files / "tls.crt", files / "tls.key")
    return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)


def configuration(me: Member, address: str, data: Path, start: Start) -> dict[str, Any]:
    """The settings of one member."""
    host = f"[{address}]" if ":" in address else address
    return {
        "name": me.name,
        "data-dir": str(data),
        "listen-client-urls": me.url(host, CLIENTS),
        "listen-peer-urls": me.url(host, PEERS),
        "listen-metrics-urls": f"http://{host}:{METRICS}",
        "advertise-client-urls": me.client_url,
        "initial-advertise-peer-urls": me.peer_url,
        "initial-cluster": ",".join(f"{member.name}={member.peer_url}" for member in start.members),
        "initial-cluster-state": start.state,
        **(transport_security(me.tls, me.host) if me.tls else {}),
    }


def transport_security(files: Path, name: str) -> dict[str, dict[str, Any]]:
    """TLS for clients and members. A member admits another only if its certificate, which all share, has this name."""
    own = {"cert-file": str(files / "tls.crt"), "key-file": str(files / "tls.key")}
    others = {"trusted-ca-file": str(files / "ca.crt"), "client-cert-auth": True, "allowed-hostname": [name]}
    return {"client-transport-security": own, "peer-transport-security": own | others}


def main() -> None:
    """Decide, and write the configuration."""
    tls = Path(os.environ["TLS"]) if "TLS" in os.environ else None
    hosts = (member.split("=") for member in os.environ["MEMBERS"].split())
    members = [Member(name, host, tls) for name, host in hosts]
    (me,) = (member for member in members if member.name == os.environ["NAME"])
    data, address = Path(os.environ["DATA"]) / "data", os.environ["ADDRESS"]
    if has_data(data):
        start = Start([me], "existing")  # etcd reads it from the disk
        print("starting with the data on the disk")
    else:
        shutil.rmtree(data, ignore_errors=True)
        with reporting_no_data(me, address):
            start = decide(me, members)
        print("beginning a cluster" if start.state == "new" else "joining a cluster")
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in configuration(me, address, data, start).items()]
    Path(os.environ["CONFIGURATION"]).write_text(Path(__file__).with_name("etcd.conf.yml").read_text() + "".join(lines))


if __name__ == "__main__":
    main()
