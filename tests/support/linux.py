"""Linux' tools for what no portable test can do: file systems of a process' own, and its system calls."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import until

PACKAGES = {
    "etcd": "etcd-server",
    "etcdctl": "etcd-client",
    "go": "golang-go",
    "promtool": "prometheus",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "varnishd": "varnish",
}
"""Debian's names for what a package of another name brings."""


def require(*command: str) -> None:
    """Skip the test where a tool cannot be used; where that must not happen, fail it."""
    missing = f"{command[0]} is not installed: on Debian and Ubuntu, apt install {PACKAGES.get(command[0], command[0])}"
    if shutil.which(command[0]):
        tried = subprocess.run(command, capture_output=True, text=True)
        if tried.returncode == 0:
            return
        missing = f"{' '.join(command)}: {tried.stderr.strip()}"
    if "CI" in os.environ:
        pytest.fail(missing)
    pytest.skip(missing)


def require_etcd() -> None:
    """Skip the test where there is no etcd, or nothing to speak to it; where that must not happen, fail it."""
    require("etcd", "--version")
    require("etcdctl", "version")


def make_certificate(key: Path, certificate: Path, *options: str) -> None:
    """Make a key, and a certificate that is its own authority's unless options say otherwise."""
    require("openssl", "version")
    new = "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"
    command = ["openssl", "req", "-x509", *new, *options, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)


def mounted(script: str, *namespaces: str) -> tuple[str, ...]:
    """Make a command prefix that runs a shell script, in which it may mount, and then the command."""
    require("unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "none", "/mnt")
    return "unshare", "--mount", *namespaces, "--map-root-user", "sh", "-ec", f'{script}\nexec "$@"', "sh"


def seen_from_outside(process: "subprocess.Popen[str]", path: Path) -> Path:
    """Find a path in the file systems of a process' own."""
    return Path(f"/proc/{process.pid}/root{path}")


class Trace:
    """A process' writes and fsyncs, in their order: put `command` before its own."""

    def __init__(self, file: Path) -> None:
        self.file = file
        calls = "trace=fsync,fdatasync,write,writev,sendto,sendmsg"
        require("strace", "-D", "-o", os.devnull, "true")
        self.command = ("strace", "-D", "-f", "--seccomp-bpf", "-s", "400", "-o", str(file), "-e", calls)

    async def replies_behind_a_sync(self, reply: str) -> int:
        """Count, of a process that has ended, the replies that match, up to the first one without a sync of its own."""

        async def whole() -> bool:
            return "+++" in self.file.read_text().rstrip().rpartition("\n")[2]

        await until(whole, "strace has written all")
        synced, replies = False, 0
        for line in self.file.read_text().splitlines():
            if re.search(r"f(data)?sync.*= 0$", line):
                synced = True
            elif re.search(reply, line):
                if not synced:
                    break
                synced, replies = False, replies + 1
        return replies
