"""How etcd's members find together by the component's own script. Real processes, with an address in place of a pod."""

import asyncio
import os
import random
import shutil
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from signal import SIGKILL
from typing import Any

import aiohttp
import pytest

from tests.support.linux import require, require_etcd
from tests.support.processes import until

pytestmark = pytest.mark.long
SCRIPT = Path(__file__).parents[2] / "manifests/components/etcd/join.py"
FOUND_TOGETHER = 60
"""Seconds: etcd takes a new member in only if the others have been connected for 5 s."""
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
        self.disk = directory / name
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
        self.log.write_text("")
        with self.log.open("a") as log:
            command = ["sh", "-c", script, str(SCRIPT)]
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    async def decide(self) -> None:
        """Run the script alone."""
        self.start(DECIDE)
        assert self.process
        assert await asyncio.to_thread(self.process.wait, FOUND_TOGETHER) == 0, self.log.read_text()

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, SIGKILL)
            self.process.wait()

    def lose_disk(self) -> None:
        shutil.rmtree(self.disk)

    async def says(self, line: str) -> None:
        async def said() -> bool:
            assert self.process
            assert self.process.poll() is None, self.log.read_text()
            return line in self.log.read_text()

        await until(said, f"{self.name} says {line!r}")

    async def call(self, path: str, **body: Any) -> dict[str, Any] | None:
        """What it answers; None if it does not."""
        try:
            url = f"{self.scheme}://{self.address}:2379/v3/{path}"
            async with aiohttp.request(
                "POST", url, json=body, timeout=aiohttp.ClientTimeout(2), ssl=self.tls or True
            ) as response:
                answer: dict[str, Any] | None = await response.json() if response.status == 200 else None
                return answer
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def is_up(self) -> bool:
        return await self.call("cluster/member/list") is not None

    async def reads(self) -> str | None:
        """The id of the cluster in which it reads the value, as it can with a majority alone."""
        answer = await self.call("kv/range", key=KEY)
        if answer is None or [pair["value"] for pair in answer.get("kvs", [])] != [VALUE]:
            return None
        cluster: str = answer["header"]["cluster_id"]
        return cluster

    async def ids(self) -> dict[str, str]:
        """The members by their URLs, of those that have started."""
        answer = await self.call("cluster/member/list") or {}
        return {member["peerURLs"][0]: member["ID"] for member in answer.get("members", []) if member.get("name")}


class Certificates:
    """An authority, and a directory with a certificate of it, as a Secret is mounted."""

    def __init__(self, directory: Path) -> None:
        require("openssl", "version")
        self.authority, self.files = directory / "ca.key", directory / "tls"
        self.files.mkdir()
        usage = "keyUsage=critical,keyCertSign"
        self.make(self.authority, self.files / "ca.crt", "-subj", "/CN=authority", "-addext", usage)

    def issue(self, *addresses: str) -> None:
        """Issue the first certificate, or renew it. The members' connections come from 127.0.0.1."""
        names = ",".join(f"IP:{address}" for address in ("127.0.0.1", *addresses))
        own = "-subj", "/CN=etcd", "-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"
        signed = "-CA", str(self.files / "ca.crt"), "-CAkey", str(self.authority)
        self.make(self.files / "tls.key", self.files / "tls.crt", *own, *signed)

    @staticmethod
    def make(key: Path, certificate: Path, *options: str) -> None:
        new = "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"
        command = ["openssl", "req", "-x509", *new, *options, "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True)


class Cluster:
    """Three members, and the cluster's id once they have found together."""

    def __init__(self, directory: Path, certificates: Certificates | None = None) -> None:
        network = f"127.{random.randrange(1, 255)}.{random.randrange(256)}"
        hosts = {f"etcd-{number}": f"{network}.{number + 1}" for number in range(3)}
        if certificates:
            certificates.issue(*hosts.values())
        files = certificates.files if certificates else None
        self.members = [Member(directory, name, hosts, host, files) for name, host in hosts.items()]
        self.id: str | None = None
        self.ids: dict[str, str] = {}

    async def found_together(self) -> None:
        """Wait until all three are in one cluster, and read in it."""
        urls = {member.peer_url for member in self.members}

        async def all_in_one() -> bool:
            return all([(await member.ids()).keys() == urls for member in self.members])

        await until(all_in_one, "all have started", FOUND_TOGETHER)

    async def is_whole(self) -> None:
        """Wait until all three are in one cluster; it must be the one that there was, with what was in it."""
        await self.found_together()
        assert {await member.reads() for member in self.members} == {self.id}

    def kill(self) -> None:
        for member in self.members:
            member.kill()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_etcd()
    return tmp_path_factory.mktemp("members")


@pytest.fixture(scope="module")
def cluster(directory: Path) -> Cluster:
    return Cluster(directory)


@pytest.fixture
async def members(cluster: Cluster, directory: Path) -> AsyncIterator[list[Member]]:
    """A cluster of three as it was left by the first test, all of them killed."""
    saved = directory / "saved"
    for member in cluster.members:
        shutil.rmtree(member.disk, ignore_errors=True)
        shutil.copytree(saved / member.name, member.disk)
    yield cluster.members
    cluster.kill()


@pytest.fixture
def _nobody_stays(cluster: Cluster) -> Iterator[None]:
    yield
    cluster.kill()


@pytest.mark.usefixtures("_nobody_stays")
async def test_three_without_data_find_together_once_the_first_knows_of_all(cluster: Cluster, directory: Path) -> None:
    first, second, third = cluster.members
    second.start()
    first.start()
    for member in first, second:
        await member.says("waiting for etcd-2")
    assert not first.disk.exists()
    third.start()
    await cluster.found_together()
    for member in cluster.members:
        await member.says("beginning a cluster" if member is first else "joining a cluster")
    assert await first.call("kv/put", key=KEY, value=VALUE)
    cluster.id, cluster.ids = await first.reads(), await first.ids()
    assert len(cluster.ids) == 3
    await cluster.is_whole()
    cluster.kill()
    for member in cluster.members:
        shutil.copytree(member.disk, directory / "saved" / member.name)


async def test_a_member_without_its_disk_joins_the_others_again_even_the_first(
    cluster: Cluster, members: list[Member]
) -> None:
    members[0].lose_disk()
    for member in members:
        member.start()
    await cluster.is_whole()
    ids = await members[1].ids()
    assert {url for url in ids if ids[url] != cluster.ids[url]} == {members[0].peer_url}


async def test_a_disk_half_written_is_one_without_data(cluster: Cluster, members: list[Member]) -> None:
    shutil.rmtree(members[1].disk / "data/member/wal")
    for member in members:
        member.start()
    await cluster.is_whole()


async def test_one_that_was_added_and_lost_again_before_it_started_is_added_anew(
    cluster: Cluster, members: list[Member]
) -> None:
    members[2].lose_disk()
    for member in members[:2]:
        member.start()
    await members[2].decide()
    members[2].start()
    await cluster.is_whole()


async def test_the_first_member_begins_nothing_while_one_that_may_have_data_is_silent(
    cluster: Cluster, members: list[Member], directory: Path
) -> None:
    first, second, third = members
    for member in first, second:
        member.lose_disk()
        member.start()
    await first.says("waiting for etcd-2")
    third.start()  # it has no majority, so it can take nobody in
    await third.says("starting with the data on the disk")
    second.kill()
    assert not first.disk.exists()
    assert not second.disk.exists()
    shutil.copytree(directory / "saved" / second.name, second.disk)
    second.start()
    await cluster.is_whole()


async def test_nobody_begins_a_second_cluster_beside_one_that_lost_its_majority(
    members: list[Member], cluster: Cluster
) -> None:
    for member in members:
        member.start()
    await cluster.is_whole()
    assert await members[0].ids() == cluster.ids
    for member in members[:2]:
        member.kill()
    for member in members[:2]:
        member.lose_disk()
        member.start()
    for member in members[:2]:
        await member.says("etcd-2 is running, but does not let this member join: ")
        assert not member.disk.exists()


async def test_one_that_was_added_to_a_cluster_of_one_may_start_later(tmp_path: Path) -> None:
    require_etcd()
    young = Cluster(tmp_path)
    first, *others = young.members
    try:
        first.start()
        for member in others:
            member.start(DECIDE)

        async def one_was_added() -> bool:
            return any(member.process and member.process.poll() == 0 for member in others)

        await until(one_was_added, "one was added")
        for member in others:
            member.kill()
            assert not member.disk.exists()
            member.start()
        await young.found_together()
    finally:
        young.kill()


async def test_members_speak_tls_and_read_a_renewed_certificate(tmp_path: Path) -> None:
    require_etcd()
    certificates = Certificates(tmp_path)
    cluster = Cluster(tmp_path, certificates)
    hosts = [member.address for member in cluster.members]
    first, *_, last = cluster.members

    def shown(port: int) -> str:
        return ssl.get_server_certificate((first.address, port), ca_certs=str(certificates.files / "ca.crt"), timeout=5)

    try:
        for member in cluster.members:
            member.start()
        await cluster.found_together()
        assert await first.call("kv/put", key=KEY, value=VALUE)
        cluster.id = await first.reads()
        with pytest.raises(aiohttp.ClientError):  # only members have a certificate to show
            async with aiohttp.request("GET", f"{first.peer_url}/version", ssl=first.tls or True):
                pass
        certificates.issue(*hosts)
        renewed = (certificates.files / "tls.crt").read_text()
        assert {shown(port) for port in (2379, 2380)} == {renewed}
        last.kill()
        last.lose_disk()
        last.start()
        await last.says("joining a cluster")
        await cluster.is_whole()
    finally:
        cluster.kill()


async def test_a_certificate_of_another_authority_admits_no_member(tmp_path: Path) -> None:
    require_etcd()
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    ours, stranger = Cluster(tmp_path, Certificates(tmp_path)), Certificates(theirs)
    stranger.issue(*(member.address for member in ours.members))
    *others, last = ours.members
    last.environment["TLS"] = str(stranger.files)
    try:
        for member in ours.members:
            member.start()
        for member in others:
            await member.says("waiting for etcd-2")
        await last.says("waiting for etcd-0 and etcd-1")
    finally:
        ours.kill()


async def test_a_pod_that_got_the_address_of_a_member_is_none(tmp_path: Path) -> None:
    require_etcd()
    ours, theirs = Cluster(tmp_path), tmp_path / "theirs"
    theirs.mkdir()
    first, second, third = ours.members
    living = Member(theirs, "etcd-0", {"etcd-0": "another"}, second.address)
    waiting = Member(theirs, "etcd-1", {"etcd-0": "nobody", "etcd-1": "another"}, third.address)
    try:
        living.start()
        waiting.start()
        await until(living.is_up, "the other cluster")
        await waiting.says("waiting for etcd-0")
        first.start()
        await first.says("waiting for etcd-1 and etcd-2")
    finally:
        for member in living, waiting, first:
            member.kill()
