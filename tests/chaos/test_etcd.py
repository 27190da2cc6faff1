"""Each fault of the counter over etcd, while visitors come. It takes a cluster of three nodes."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hello.check.history import Outcome
from tests.chaos.cluster import all_gone, reset, settle
from tests.chaos.fire import A_SECOND, BACK, DEADLINE, ONE_EACH, Fire, Visitors, pause
from tests.chaos.members import (
    ETCD,
    NAMES,
    OF_ETCD,
    lead_on,
    leader,
    others,
    pod,
    replace,
    scale,
    volumes,
    whole,
)
from tests.support.commands import COUNTER, kubectl, make, until
from tests.support.deployment import end_pods, ready_endpoints, ready_replicas
from tests.support.nodes import (
    APP,
    filter_packets,
    forget,
    kill,
    lose,
    node,
    power,
    restarts,
    running,
    started_again,
)

TABLE = "## Over etcd"
"""Where the README has its table."""


def remove() -> None:
    """Take the counter away, and the members' disks."""
    end_pods()
    make("undeploy")
    kubectl("delete", "persistentvolumeclaim", OF_ETCD)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The URL of the counter over etcd, deployed from nothing."""
    remove()
    yield make("deploy", "OVERLAY=replicated").splitlines()[-1]
    remove()


# ---- the members' processes: no visitor may notice ----


def test_etcd_leader_killed_with_9(fire: Fire, chance: random.Random) -> None:
    for _ in fire.times(10, 2):
        name = leader()["metadata"]["name"]
        if restarts(name):  # a container killed again would be held back longer
            replace(name)
            name = leader()["metadata"]["name"]
        pause(chance)
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


# ---- the nodes ----


def given_up(number: int) -> None:
    """Wait until a node without power is given up. Visitors on its own pods fail until then."""
    victim = node(number)
    dead = [pod for pod in running(COUNTER) if pod["spec"]["nodeName"] == victim]
    kubectl("wait", f"node/{victim}", "--for=condition=Ready=Unknown", "--timeout=1m")
    time.sleep(2)
    forget(dead)


def nodes_die(fire: Fire, cut: Callable[[int], None]) -> None:
    """Let each node die under the leader, and come back: perhaps without our image, which is in no registry."""
    for _, number in zip(fire.times(2), (2, 3), strict=False):
        lead_on(node(number))
        with fire.excusing(5, lost=3 * ONE_EACH):
            cut(number)
            given_up(number)
            fire.come()
        power(number, on=True)
        make("load")
        whole()
        settle()
        fire.come()
    fire.served_as_before()
    assert Outcome.UNAVAILABLE not in fire.outcomes()


@pytest.mark.long
def test_node_death_under_the_leader_of_etcd(fire: Fire) -> None:
    nodes_die(fire, lambda number: power(number, on=False))


def test_node_lost_with_its_disks_under_the_leader_of_etcd(fire: Fire) -> None:
    began = volumes()
    nodes_die(fire, lose)
    assert len(began - volumes()) == (1 if fire.short else 2)


# ---- the network ----


def between(other: dict[str, Any], *chains: str) -> list[str]:
    """The rules that cut a pod off from another, inward or outward."""
    ways = {"INPUT": "-s", "OUTPUT": "-d"}
    return [f"{chain} {ways[chain]} {other['status']['podIP']} -j DROP" for chain in chains]


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
        pause(chance)
        cut = leader()
        rules = [rule for other in others(cut) for rule in between(other, *chains)]
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
        pause(chance)
        (rule,) = between(pod(name), "OUTPUT")
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
            until(lambda: ready_replicas("etcd") == 2, "there is a majority")
        fire.come()
        scale(3)
        whole()
        assert fire.answered(gone, back) == []
        assert fire.outcomes(after=gone) <= {Outcome.ANSWERED, Outcome.UNAVAILABLE}
    fire.served_as_before()
    assert Outcome.UNAVAILABLE in fire.outcomes()  # and nobody waited until the clients gave up


# ---- the data ----


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
            reset("--to=1000000")
        fire.come()
        assert fire.answered(gone, back) == []
    fire.served_as_before()


def test_all_faults_of_etcd_together(visitors: Visitors) -> None:
    all_gone()
    visitors.leave()
    visitors.assert_promise_kept()
