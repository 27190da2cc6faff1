"""How etcd's members find together by the component's own script. Real processes, with an address in place of a pod."""

import json
import os
import random
import shutil
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.support.commands import until
from tests.support.linux import make_certificate, require_etcd

pytestmark = pytest.mark.long
SCRIPT = Path(__file__).parents[2] / "manifests/components/etcd/join.py"
DECIDE = f'exec "{sys.executable}" "$0"'
START = f'"{sys.executable}" "$0" && exec etcd --config-file="$CONFIGURATION"'
"""The script alone, and as in a pod."""
KEY, VALUE = (b64encode(word).decode() for word in (b"key", b"value"))


class Member:
    """A member: as in its pod, the script decides, and etcd starts if it says how. Its disk outlives it."""

    def __init__(
        self, directory: Path, name: str, hosts: dict[str, str], address: str, files: Path | None = None
    ) -> None:
        self.name, self.address = name, address
        self.tls = ssl.create_default_context(cafile=files / "ca.crt") if files else None
        self.scheme = "https" if files else "http"
        self.peer_url = f"{self.scheme}://{hosts[name]}:2380"
        self.disk, self.saved = directory / name, directory / f"{name}-saved"
        self.log = directory / f"{name}.log"
        self.environment = os.environ | {
            "NAME": name,
            "ADDRESS": address,
            "MEMBERS": " ".join(f"{name}={host}" for name, host in hosts.items()),
            "DATA": str(self.disk),
            "CONFIGURATION": str(directory / f"{name}.yaml"),
            **({"TLS": str(files)} if files else {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, script: str = START) -> None:
        with self.log.open("w") as log:
            command = ["sh", "-c", script, str(SCRIPT)]
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def has_decided(self) -> bool:
        """Whether the script, run alone, has ended well."""
        return self.process is not None and self.process.poll() == 0

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, SIGKILL)
            self.process.wait()

    def lose_disk(self) -> None:
        shutil.rmtree(self.disk)

    def says(self, line: str) -> None:
        def said() -> bool:
            assert self.process
            assert self.process.poll() is None, self.log.read_text()
            return line in self.log.read_text()

        until(said, f"{self.name} says {line!r}")

    def call(self, path: str, **body: Any) -> dict[str, Any] | None:
        """What it answers; None if it does not."""
        request = Request(f"{self.scheme}://{self.address}:2379/v3/{path}", json.dumps(body).encode())
        try:
            with urlopen(request, timeout=2, context=self.tls) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except OSError:
            return None

    def reads(self) -> str | None:
        """The id of the cluster in which it reads the value, as it can with a majority alone."""
        answer = self.call("kv/range", key=KEY)
        if answer is None or [pair["value"] for pair in answer.get("kvs", [])] != [VALUE]:
            return None
        cluster: str = answer["header"]["cluster_id"]
        return cluster

    def ids(self) -> dict[str, str]:
        """The members by their URLs, of those that have started."""
        answer = self.call("cluster/member/list") or {}
        return {member["peerURLs"][0]: member["ID"] for member in answer.get("members", []) if member.get("name")}


class Certificates:
    """An authority, and a directory with a certificate of it, as a Secret is mounted."""

    def __init__(self, directory: Path) -> None:
        self.authority, self.files = directory / "ca.key", directory / "tls"
        self.files.mkdir()
        usage = "keyUsage=critical,keyCertSign"
        make_certificate(self.authority, self.files / "ca.crt", "-subj", "/CN=authority", "-addext", usage)

    def issue(self, *addresses: str) -> None:
        """Issue the first certificate, or renew it. The members' connections come from 127.0.0.1."""
        names = ",".join(f"IP:{address}" for address in ("127.0.0.1", *addresses))
        own = "-subj", "/CN=etcd", "-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"
        signed = "-CA", str(self.files / "ca.crt"), "-CAkey", str(self.authority)
        make_certificate(self.files / "tls.key", self.files / "tls.crt", *own, *signed)


class Cluster:
    """Three members, and the cluster's id once they have found together. It is killed at the end of a block."""

    def __init__(self, directory: Path, certificates: Certificates | None = None) -> None:
        network = f"127.{random.randrange(1, 255)}.{random.randrange(256)}"
        hosts = {f"etcd-{number}": f"{network}.{number + 1}" for number in range(3)}
        if certificates:
            certificates.issue(*hosts.values())
        files = certificates.files if certificates else None
        self.members = [Member(directory, name, hosts, host, files) for name, host in hosts.items()]
        self.id: str | None = None
        self.ids: dict[str, str] = {}

    def __enter__(self) -> list[Member]:
        return self.members

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.kill()

    def found_together(self) -> None:
        """Wait until all three are in one cluster."""
        urls = {member.peer_url for member in self.members}
        until(lambda: all(member.ids().keys() == urls for member in self.members), "all have started")

    def write(self) -> None:
        """Write the value, and remember the cluster."""
        first = self.members[0]
        assert first.call("kv/put", key=KEY, value=VALUE)
        self.id, self.ids = first.reads(), first.ids()

    def is_whole(self) -> None:
        """Wait until all three are in one cluster; it must be the one that there was, with what was in it."""
        self.found_together()
        assert {member.reads() for member in self.members} == {self.id}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """Three that began without data and found together, all of them killed; their disks are saved."""
    require_etcd()
    cluster = Cluster(tmp_path_factory.mktemp("members"))
    with cluster as (first, second, third):
        second.start()
        first.start()
        for member in first, second:
            member.says("waiting for etcd-2")
        assert not first.disk.exists()
        third.start()
        cluster.found_together()
        for member in cluster.members:
            member.says("beginning a cluster" if member is first else "joining a cluster")
        cluster.write()
        cluster.is_whole()
    for member in cluster.members:
        shutil.copytree(member.disk, member.saved)
    return cluster


@pytest.fixture
def members(cluster: Cluster) -> Iterator[list[Member]]:
    """The three, with their disks as they were saved."""
    for member in cluster.members:
        shutil.rmtree(member.disk, ignore_errors=True)
        shutil.copytree(member.saved, member.disk)
    with cluster:
        yield cluster.members


def test_three_without_data_find_together_once_the_first_knows_of_all(cluster: Cluster) -> None:
    assert len(cluster.ids) == 3


def test_a_member_without_its_disk_joins_the_others_again_even_the_first(
    cluster: Cluster, members: list[Member]
) -> None:
    members[0].lose_disk()
    for member in members:
        member.start()
    cluster.is_whole()
    ids = members[1].ids()
    assert {url for url in ids if ids[url] != cluster.ids[url]} == {members[0].peer_url}


def test_a_disk_half_written_is_one_without_data(cluster: Cluster, members: list[Member]) -> None:
    shutil.rmtree(members[1].disk / "data/member/wal")
    for member in members:
        member.start()
    cluster.is_whole()


def test_one_that_was_added_and_lost_again_before_it_started_is_added_anew(
    cluster: Cluster, members: list[Member]
) -> None:
    *others, last = members
    last.lose_disk()
    for member in others:
        member.start()
    last.start(DECIDE)
    until(last.has_decided, "the last was added")
    last.start()
    cluster.is_whole()


def test_the_first_member_begins_nothing_while_one_that_may_have_data_is_silent(
    cluster: Cluster, members: list[Member]
) -> None:
    first, second, third = members
    for member in first, second:
        member.lose_disk()
        member.start()
    first.says("waiting for etcd-2")
    third.start()  # it has no majority, so it can take nobody in
    third.says("starting with the data on the disk")
    second.kill()
    assert not first.disk.exists()
    assert not second.disk.exists()
    shutil.copytree(second.saved, second.disk)
    second.start()
    cluster.is_whole()


def test_nobody_begins_a_second_cluster_beside_one_that_lost_its_majority(
    members: list[Member], cluster: Cluster
) -> None:
    for member in members:
        member.start()
    cluster.is_whole()
    assert members[0].ids() == cluster.ids
    for member in members[:2]:
        member.kill()
    for member in members[:2]:
        member.lose_disk()
        member.start()
    for member in members[:2]:
        member.says("etcd-2 is running, but does not let this member join: ")
        assert not member.disk.exists()


def test_one_that_was_added_to_a_cluster_of_one_may_start_later(tmp_path: Path) -> None:
    require_etcd()
    young = Cluster(tmp_path)
    with young as (first, *others):
        first.start()
        for member in others:
            member.start(DECIDE)
        until(lambda: any(member.has_decided() for member in others), "one was added")
        for member in others:
            member.kill()
            assert not member.disk.exists()
            member.start()
        young.found_together()


def test_members_speak_tls_and_read_a_renewed_certificate(tmp_path: Path) -> None:
    require_etcd()
    certificates = Certificates(tmp_path)
    cluster = Cluster(tmp_path, certificates)

    def shown(port: int) -> str:
        address = cluster.members[0].address, port
        return ssl.get_server_certificate(address, ca_certs=str(certificates.files / "ca.crt"), timeout=5)

    with cluster as (first, *_, last):
        for member in cluster.members:
            member.start()
        cluster.found_together()
        cluster.write()
        with pytest.raises(OSError, match="certificate"):  # only members have one to show
            urlopen(f"{first.peer_url}/version", context=first.tls)
        certificates.issue(*(member.address for member in cluster.members))
        renewed = (certificates.files / "tls.crt").read_text()
        assert {shown(port) for port in (2379, 2380)} == {renewed}
        last.kill()
        last.lose_disk()
        last.start()
        last.says("joining a cluster")
        cluster.is_whole()


def test_a_certificate_of_another_authority_admits_no_member(tmp_path: Path) -> None:
    require_etcd()
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    stranger = Certificates(theirs)
    with Cluster(tmp_path, Certificates(tmp_path)) as members:
        stranger.issue(*(member.address for member in members))
        *others, last = members
        last.environment["TLS"] = str(stranger.files)
        for member in members:
            member.start()
        for member in others:
            member.says("waiting for etcd-2")
        last.says("waiting for etcd-0 and etcd-1")


def test_a_pod_that_got_the_address_of_a_member_is_none(tmp_path: Path) -> None:
    require_etcd()
    ours, theirs = Cluster(tmp_path), tmp_path / "theirs"
    theirs.mkdir()
    first, second, third = ours.members
    living = Member(theirs, "etcd-0", {"etcd-0": "another"}, second.address)
    waiting = Member(theirs, "etcd-1", {"etcd-0": "nobody", "etcd-1": "another"}, third.address)
    try:
        living.start()
        waiting.start()
        until(lambda: living.call("cluster/member/list") is not None, "the other cluster")
        waiting.says("waiting for etcd-0")
        first.start()
        first.says("waiting for etcd-1 and etcd-2")
    finally:
        for member in living, waiting, first:
            member.kill()
