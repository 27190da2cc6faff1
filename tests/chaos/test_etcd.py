"""Each fault of the counter over etcd, while visitors come. It takes a cluster of three nodes."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hello.check.history import History, Kind, Outcome
from tests.chaos.cluster import all_gone, settle
from tests.chaos.fire import A_SECOND, BACK, DEADLINE, ONE_EACH, Fire, Visitors
from tests.chaos.members import (
    ETCD,
    NAMES,
    OF_ETCD,
    lead_on,
    leader,
    others,
    pod,
    ready,
    replace,
    restarts,
    scale,
    started_again,
    volumes,
    whole,
)
from tests.support.commands import COUNTER, come, kubectl, make, report, run, total, until
from tests.support.commands import Visitors as CheckVisitors
from tests.support.deployment import ready_endpoints
from tests.support.nodes import APP, filter_packets, forget, kill, lose, node, on_node, power, processes, running

TABLE = "## Over etcd"
"""Where the README has its table."""
DISK = "--namespace=hello-etcd-disk"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The URL of the counter over etcd, deployed from nothing."""
    make("purge", answer="yes\n")
    yield make("deploy", "OVERLAY=replicated").splitlines()[-1]
    make("purge", answer="yes\n")


def pause(chance: random.Random, seconds: float) -> None:
    """Let a random time pass, so that the next fault hits at any moment of what the visitors do."""
    time.sleep(chance.uniform(0, seconds))


# ---- the whole of it: no disk of the beginning is left in the end, but the control plane's ----


@pytest.mark.long
def test_20_000_visits_while_each_node_is_lost_in_turn(url: str, tmp_path: Path) -> None:
    began, checks = volumes(), CheckVisitors(tmp_path)
    # Until a node is given up, a third of the visits that are due goes to its pods, and none of those is answered.
    options = "--alone", "--requests=20000", "--rate=150", "--allow-lost=30%", "--allow-gap=15"
    with checks.check(url, *options) as process:
        come(url)
        losses = []
        for number in 2, 3:
            lead_on(node(number))
            pods = {pod["metadata"]["name"] for pod in running(COUNTER) if pod["spec"]["nodeName"] == node(number)}
            start = time.monotonic_ns()
            lose(number)
            given_up(number)
            losses.append((start, time.monotonic_ns(), pods))
            back_empty(number)
        assert process.poll() is None
        told = report(process)
    (log,) = checks.logs
    for visit, _, _ in History(log.read_text().splitlines(keepends=True)):
        assert visit.outcome is Outcome.ANSWERED or any(
            visit.answered >= start and visit.sent <= end and (visit.pod is None or visit.pod in pods)
            for start, end, pods in losses
        ), f"{visit} was not on a dead node's pods"
    assert told["kept"]
    assert told["visits"].get(Outcome.UNAVAILABLE, 0) == 0
    (epoch,) = told["epochs"]
    assert epoch["lowest"] == 1
    assert epoch["answers"] == 20_000 - told["lost"]
    assert epoch["highest"] <= told["final"] <= 20_000
    assert total(url) == told["final"]
    assert len(began - volumes()) == 2


# ---- the members' processes: no visitor may notice ----


def test_etcd_leader_killed_with_9(fire: Fire, chance: random.Random) -> None:
    for _ in fire.times(10, 2):
        name = leader()["metadata"]["name"]
        if restarts(name):  # a container killed again would be held back longer
            replace(name)
            name = leader()["metadata"]["name"]
        pause(chance, 1)
        before = restarts(name)
        kill([pod(name)], ETCD)
        started_again(name, before)
        whole()
        fire.come()
    fire.served_as_before()


def test_etcd_members_deleted_in_turn(fire: Fire) -> None:
    for _, name in zip(fire.times(3, 3), NAMES, strict=True):
        replace(name)
        fire.come()
    fire.served_as_before()


@pytest.mark.long
def test_etcd_rolling_update(fire: Fire) -> None:
    for _ in fire.times(2):
        kubectl("rollout", "restart", "statefulset/etcd")
        whole()
        fire.come()
    fire.served_as_before()


# ---- the nodes ----


def given_up(number: int) -> None:
    """Wait until a node without power is given up. Visitors on its own pods fail until then."""
    victim = node(number)
    dead = [pod for pod in running(COUNTER) if pod["spec"]["nodeName"] == victim]
    kubectl("wait", f"node/{victim}", "--for=condition=Ready=Unknown", "--timeout=1m")
    time.sleep(2)
    forget(dead)


def back_empty(number: int) -> None:
    """Give power back to a node that lost its disks: its member must be in again soon, by itself.

    Whatever is not on a node is pulled again: the counter's image is loaded, since no registry has it.
    """
    power(number, on=True)
    make("load")
    whole()
    settle()


@pytest.mark.long
def test_node_death_under_the_leader_of_etcd(fire: Fire) -> None:
    for _, number in zip(fire.times(2), (2, 3), strict=False):
        lead_on(node(number))
        with fire.excusing(5, lost=3 * ONE_EACH):
            power(number, on=False)
            given_up(number)
            fire.come()
        power(number, on=True)
        whole()
        settle()
    fire.served_as_before()
    assert Outcome.UNAVAILABLE not in fire.outcomes()


def test_node_lost_with_its_disks_under_the_leader_of_etcd(fire: Fire) -> None:
    began = volumes()
    for _, number in zip(fire.times(2), (2, 3), strict=False):
        lead_on(node(number))
        with fire.excusing(5, lost=3 * ONE_EACH):
            lose(number)
            given_up(number)
            fire.come()
        back_empty(number)
        fire.come()
    fire.served_as_before()
    assert Outcome.UNAVAILABLE not in fire.outcomes()
    assert len(began - volumes()) == (1 if fire.short else 2)


# ---- the network ----


def between(one: dict[str, object], other: dict[str, object], *chains: str) -> list[str]:
    """The rules that cut a pod from another, inward or outward."""
    ways = {"INPUT": "-s", "OUTPUT": "-d"}
    return [f"{chain} {ways[chain]} {other['status']['podIP']} -j DROP" for chain in chains]  # type: ignore[index]


@pytest.mark.long
@pytest.mark.parametrize(
    "chains",
    [
        pytest.param(("INPUT", "OUTPUT"), id="cut"),
        pytest.param(("INPUT",), id="cut inward"),
        pytest.param(("OUTPUT",), id="cut outward"),
    ],
)
def test_the_leader_of_etcd_from_the_others(fire: Fire, chance: random.Random, chains: tuple[str, ...]) -> None:
    for _ in fire.times(3):
        pause(chance, 1)
        cut = leader()
        rules = [rule for other in others(cut) for rule in between(cut, other, *chains)]
        filter_packets([cut], ETCD, *(f"-I {rule}" for rule in rules))
        time.sleep(5)
        filter_packets([cut], ETCD, *(f"-D {rule}" for rule in rules))
        fire.come()
    whole()
    fire.served_as_before()


@pytest.mark.long
def test_app_pods_cut_from_a_member_of_etcd(fire: Fire, chance: random.Random) -> None:
    pods = running(COUNTER)
    for _, name in zip(fire.times(3), NAMES, strict=False):
        pause(chance, 1)
        (rule,) = between(pods[0], pod(name), "OUTPUT")
        filter_packets(pods, APP, f"-I {rule}")
        time.sleep(5)
        fire.come_to(pods)
        filter_packets(pods, APP, f"-D {rule}")
    fire.served_as_before()


# ---- what can serve nobody ----


def test_two_of_three_members_of_etcd_lost(fire: Fire) -> None:
    for _ in fire.times(2):
        with fire.excusing(BACK, lost=3 * ONE_EACH):  # each waits for the deadline, and comes again
            scale(1)
            gone = time.monotonic_ns()
            time.sleep(DEADLINE + 2)  # the fault itself
            assert ready_endpoints() == 3
            back = time.monotonic_ns()
            scale(2)
            until(lambda: ready() == 2, "there is a majority")
        fire.come()
        scale(3)
        whole()
        assert fire.answered(gone, back) == []
        assert fire.outcomes(after=gone) <= {Outcome.ANSWERED, Outcome.UNAVAILABLE}
    fire.served_as_before()
    assert Outcome.UNAVAILABLE in fire.outcomes()  # and nobody waited until the clients gave up


# ---- the disks ----


@pytest.mark.long
def test_disk_under_the_leader_of_etcd_slow_by_200_ms(fire: Fire) -> None:
    slow = "strace -f -q -o /dev/null -e trace=fdatasync,fsync -e inject=fdatasync,fsync:delay_enter=200000"
    for _ in fire.times(1):
        pod = leader()
        server = processes(pod, ETCD).split()[0]
        on_node(pod["spec"]["nodeName"], f"timeout 10 {slow} -p {server}; true")
        fire.come()
    fire.served_as_before()


@pytest.fixture(scope="module")
def _small_disks(url: str) -> Iterator[None]:
    """One more counter, whose members have small disks."""
    run("kubectl", "apply", "--filename=-", answer=kubectl("kustomize", str(Path(__file__).parent / "disks/etcd")))
    kubectl(DISK, "rollout", "status", "statefulset/etcd", "--timeout=2m")
    yield
    kubectl("delete", "namespace", DISK.partition("=")[2])


@pytest.mark.long
@pytest.mark.disk("hello-world", DISK)
@pytest.mark.usefixtures("_small_disks")
def test_disk_under_the_leader_of_etcd_full(fire: Fire) -> None:
    for _ in fire.times(1):
        pod = leader(DISK)
        name, server = pod["metadata"]["name"], pod["spec"]["nodeName"]
        fill = f"/var/lib/kubelet/pods/{pod['metadata']['uid']}/volumes/kubernetes.io~empty-dir/data/fill"
        with fire.excusing(1, lost=10 * ONE_EACH):
            on_node(server, f"cat /dev/zero >{fill} 2>/dev/null; true")
            started_again(name, 0, DISK)
            fire.come()
            on_node(server, f"rm {fill}")
        kubectl(DISK, "rollout", "status", "statefulset/etcd", "--timeout=3m")
        fire.come()
    fire.served_as_before()


# ---- the data ----


@pytest.mark.long
def test_etcd_wiped(fire: Fire) -> None:
    fire.expected = {Kind.NEW_EPOCH, Kind.FORGOTTEN}  # a read may come while there is nothing yet
    for _ in fire.times(2):
        with fire.excusing(BACK, lost=10 * ONE_EACH):
            scale(0)
            kubectl("delete", "persistentvolumeclaim", OF_ETCD)
            scale(3)
            whole()
        fire.come()
    fire.served_as_before()
    assert Kind.NEW_EPOCH in fire.found()


@pytest.mark.long
def test_etcd_older_snapshot_restored(fire: Fire, tmp_path: Path) -> None:
    fire.announced = True
    for _ in fire.times(1):
        snapshot = f"FILE={tmp_path / 'count.db'}"
        make("backup", snapshot)
        fire.come()
        with fire.excusing(2, lost=20 * A_SECOND):  # all are refused at once
            make("restore", snapshot)
            gone = time.monotonic_ns()
            time.sleep(3)
            assert ready_endpoints() == 3
            back = time.monotonic_ns()
            kubectl("exec", "deployment/hello-world", "--", "hello", "reset", "--yes", "--to=1000000")
        fire.come()
        assert fire.answered(gone, back) == []
    fire.served_as_before()


@pytest.mark.long
def test_etcd_reset_under_load(fire: Fire) -> None:
    fire.announced = True
    for _ in fire.times(5):
        with fire.excusing(1):
            kubectl("exec", "deployment/hello-world", "--", "hello", "reset", "--yes")
        fire.come()
    fire.served_as_before()


def test_all_faults_of_etcd_together(visitors: Visitors) -> None:
    all_gone()
    visitors.leave()
    judged = visitors.judge()
    assert not judged.findings
    assert judged.repeated == 0, list(judged.repeats)
    assert visitors.failed(visitors.records) == []
