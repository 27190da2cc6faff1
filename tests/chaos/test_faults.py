"""Each fault while visitors come: the six promises, and what must hold besides. It takes a cluster of three nodes."""

import json
import random
import time
from pathlib import Path

import pytest

from hello.check.history import Kind, Outcome
from hello.stores.redis.store import ROLL_CALL_TIMEOUT
from tests.chaos.cluster import (
    DATA,
    DISK,
    DISK_DEADLINE,
    REDIS_NODE,
    all_gone,
    apply,
    redis,
    reset,
    scale,
    settle,
)
from tests.chaos.fire import A_SECOND, BACK, DEADLINE, ONE_EACH, Fire, Visitors, pause
from tests.support.commands import COUNTER, kubectl, make, until
from tests.support.deployment import OF_REDIS, ready_endpoints, ready_replicas, redis_ready
from tests.support.nodes import (
    APP,
    REDIS,
    filter_packets,
    forget,
    kill,
    node,
    on_node,
    power,
    ready,
    running,
    started_again,
)

TABLE = "## Over Redis"
"""Where the README has its table."""

ENDPOINTS = 3
"""Seconds after which no new connection goes to a killed process any more."""


# ---- what no visitor may notice ----


# Pods that are leaving already, sooner than the others, are used as long as no other is ready: it would be two faults.
def test_all_pods_deleted_at_once(fire: Fire) -> None:
    for _ in fire.times(3):
        all_gone()
        kubectl("delete", "pod", COUNTER, f"--wait={str(not fire.short).lower()}")
        settle()
        until(lambda: ready_endpoints() == 3, "the new ones are ready")
    fire.served_as_before()


def test_scaled_to_8_to_1_to_3(fire: Fire) -> None:
    for _ in fire.times(1):
        for pods in 8, 1, 3:
            scale(pods)
            if not fire.short:
                all_gone(pods)
    fire.served_as_before()


def resize(pod: str, cpu: str, memory: str) -> None:
    """Change what a pod's container may use, while it runs."""
    limits = {"cpu": cpu, "memory": memory}
    patch = {"spec": {"containers": [{"name": "hello-world", "resources": {"limits": limits}}]}}
    kubectl("patch", "pod", pod, "--subresource=resize", "--patch", json.dumps(patch))
    has = "get", "pod", pod, "--output=jsonpath={.status.containerStatuses[0].resources.limits}"
    until(lambda: json.loads(kubectl(*has)) == limits, "the container has them")


def test_all_pods_resized_in_place(fire: Fire) -> None:
    pods = [pod["metadata"]["name"] for pod in running(COUNTER)]
    for _ in fire.times(3):
        for cpu, memory in ("500m", "128Mi"), ("1", "256Mi"):  # the last are those of the Deployment
            for pod in pods:
                resize(pod, cpu, memory)
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in running(COUNTER)] == [0, 0, 0]
    fire.served_as_before()


# One that serves: if each were deleted before it is ready, none would ever be.
def test_a_pod_deleted_every_2_s(fire: Fire, chance: random.Random) -> None:
    for _ in fire.times(12, 3):
        until(lambda: bool(ready(COUNTER)), "a pod is ready")
        name = chance.choice(ready(COUNTER))["metadata"]["name"]
        kubectl("delete", "pod", name, "--wait=false")
        time.sleep(2)
    settle()
    fire.served_as_before()


def test_upgraded_and_back_with_another_redis_configuration(fire: Fire, releases: dict[str, Path]) -> None:
    for _, (version, root) in zip(fire.times(2, 2), reversed(releases.items()), strict=True):
        with fire.excusing_beyond_the_deadline():
            apply(root, OF_REDIS)
            redis_ready()
        apply(root)
        make("wait")
        settle()
        assert version in kubectl("exec", "deployment/hello-world", "--", "hello", "--version")
    fire.served_as_before()


def replace_redis(fire: Fire) -> None:
    with fire.excusing_beyond_the_deadline():
        kubectl("delete", "pod", "redis-0")
        redis_ready()
    fire.come()


def test_redis_deleted(fire: Fire, chance: random.Random) -> None:
    for _ in fire.times(10, 2):
        pause(chance)
        replace_redis(fire)
    fire.served_as_before()


def test_redis_deleted_as_all_pods_leave(fire: Fire) -> None:
    """The old pods' drain ends while Redis is away. The new ones need not wait for them: they stay until it is back."""
    for _ in fire.times(3):
        all_gone()
        began = time.monotonic_ns()
        replace_redis(fire)
        alone = fire.silence(began)
        kubectl("delete", "pod", COUNTER, "--wait=false")
        time.sleep(12)  # their drain is 15 s
        began = time.monotonic_ns()
        replace_redis(fire)
        assert fire.silence(began) < alone + ROLL_CALL_TIMEOUT * 1e9 / 2
        settle()
    fire.served_as_before()


def test_redis_killed_with_9(fire: Fire, chance: random.Random) -> None:
    for number, _ in enumerate(fire.times(4)):
        if number:  # a container killed again would be held back longer
            replace_redis(fire)
        pause(chance)
        with fire.excusing_beyond_the_deadline():
            kill(running(OF_REDIS), REDIS)
            started_again("redis-0")
            redis_ready()
        fire.come()
    fire.served_as_before()


def test_redis_frozen_for_5_s(fire: Fire, chance: random.Random) -> None:
    for _ in fire.times(3):
        pause(chance)
        kill(running(OF_REDIS), REDIS, "STOP")
        time.sleep(5)
        kill(running(OF_REDIS), REDIS, "CONT")
        fire.come()
    fire.served_as_before()


# ---- what fails some ----


# Before those that kill processes of the counter: they would be waited for when Redis is back.
def test_redis_away_longer_than_the_deadline(fire: Fire) -> None:
    for _ in fire.times(2):
        with fire.excusing(BACK, lost=3 * ONE_EACH):  # each waits for the deadline, and comes again
            redis(up=False)
            gone = time.monotonic_ns()
            time.sleep(DEADLINE + 2)  # the fault itself
            assert ready_endpoints() == 3
            back = time.monotonic_ns()
            redis(up=True)
        fire.come()
        assert fire.answered(gone, back) == []
        assert fire.outcomes(after=gone) <= {Outcome.ANSWERED, Outcome.UNAVAILABLE}
    fire.served_as_before()
    assert Outcome.UNAVAILABLE in fire.outcomes()  # and nobody waited until the clients gave up


def test_an_app_process_killed_with_9(fire: Fire, chance: random.Random) -> None:
    for _ in fire.times(6):
        victim = chance.choice(running(COUNTER))
        pause(chance)
        with fire.excusing(ENDPOINTS, lost=A_SECOND // 2):  # a third of those who come over fresh connections
            kill([victim], APP)
        time.sleep(ENDPOINTS)
        kubectl("delete", "pod", victim["metadata"]["name"], f"--wait={str(not fire.short).lower()}")
        if not fire.short:
            forget([victim])
        settle()
    fire.served_as_before()


def test_all_app_processes_killed_with_9(fire: Fire, chance: random.Random) -> None:
    for number, _ in enumerate(fire.times(3)):
        if number:  # containers killed again would be held back longer
            all_gone()
            killed = running(COUNTER)
            kubectl("delete", "pod", COUNTER)
            forget(killed)
            settle()
        pause(chance)
        with fire.excusing(ENDPOINTS, lost=4 * A_SECOND):  # until the first is back
            kill(running(COUNTER), APP)
            until(lambda: ready_endpoints() < 3, "their death is seen")
            until(lambda: ready_endpoints() > 0, "the first is back")
        settle()
    fire.served_as_before()


def test_node_death_under_redis(fire: Fire) -> None:
    for _ in fire.times(1):
        dead = [pod for pod in running(COUNTER) if pod["spec"]["nodeName"] == node(REDIS_NODE)]
        with fire.excusing(5, lost=10 * ONE_EACH):  # each waits for the deadline, again and again
            power(REDIS_NODE, on=False)
            kubectl("wait", f"node/{node(REDIS_NODE)}", "--for=condition=Ready=Unknown", "--timeout=1m")
            power(REDIS_NODE, on=True)
            redis_ready()
            forget(dead)
        settle()
        fire.come()
    fire.served_as_before()


# ---- the network ----


DNS = "INPUT -p udp --sport 53"
INWARD = "INPUT ! -i lo -p tcp --dport 6379"
OUTWARD = "OUTPUT ! -o lo -p tcp --sport 6379"
SOME = "-m statistic --mode random --probability 0.05"


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param((f"{INWARD} {SOME}", f"{OUTWARD} {SOME}"), id="5 % of packets lost"),
        pytest.param((INWARD, OUTWARD), id="cut"),
        pytest.param((INWARD,), id="cut inward"),
        pytest.param((OUTWARD,), id="cut outward"),
    ],
)
def test_network_to_redis(fire: Fire, chance: random.Random, rules: tuple[str, ...]) -> None:
    (pod,) = running(OF_REDIS)
    for _ in fire.times(3):
        pause(chance)
        filter_packets([pod], REDIS, *(f"-I {rule} -j DROP" for rule in rules))
        time.sleep(5)
        filter_packets([pod], REDIS, *(f"-D {rule} -j DROP" for rule in rules))
        fire.come()
    fire.served_as_before()


# Whoever looks up Redis' name meanwhile waits for an answer that is lost, and must ask again before long: after 7 s, a
# resolver that waits for 5 s has lost its second question too, and all four look-ups that a process makes at once wait.
def test_network_to_redis_and_the_dns_cut(fire: Fire, chance: random.Random) -> None:
    (pod,) = running(OF_REDIS)
    pods = running(COUNTER)
    for _ in fire.times(2):
        pause(chance)
        with fire.excusing(BACK):
            filter_packets(pods, APP, f"-I {DNS} -j DROP")
            filter_packets([pod], REDIS, f"-I {INWARD} -j DROP")
            time.sleep(7)
            filter_packets([pod], REDIS, f"-D {INWARD} -j DROP")
            filter_packets(pods, APP, f"-D {DNS} -j DROP")
        fire.come_to(pods)
    fire.served_as_before()
    assert "exception" not in kubectl("logs", COUNTER, "--tail=-1")


# ---- the data ----


def test_redis_wiped(fire: Fire) -> None:
    fire.expected = {Kind.NEW_EPOCH, Kind.FORGOTTEN}  # a read may come while there is nothing yet
    for _ in fire.times(2):
        with fire.excusing(1):
            redis(up=False)
            on_node(node(REDIS_NODE), f"find {DATA} -mindepth 1 -delete")
            redis(up=True)
        fire.come()
    fire.served_as_before()
    assert Kind.NEW_EPOCH in fire.found()


def test_reset_under_load(fire: Fire) -> None:
    fire.announced = True
    for _ in fire.times(5, 2):
        with fire.excusing(1):
            reset()
        fire.come()
    fire.served_as_before()


def cut_batches(server: str) -> None:
    """Take the last batches off the end of Redis' file.

    A batch is a command HSET of ten words; its first line is 9 bytes before the name. As Redis ended, each pod's last
    one may have stayed unanswered: nobody would miss these three.
    """
    file = on_node(server, f"ls {DATA}/appendonlydir/*.incr.aof").splitlines()[-1]
    at = int(on_node(server, f"grep -abo HSET {file} | tail -n 4 | head -n 1 | cut -d: -f1")) - 9
    on_node(server, f"truncate -s {at} {file}")


WAY_TO_REDIS = "OUTPUT -p tcp --dport 6379 -j DROP"


LATE = "a few batches and a pod is late", "a few batches twice and a pod is late"


@pytest.mark.parametrize("how", ["a few batches", *LATE, "many"])
def test_redis_rolled_back_by(fire: Fire, how: str) -> None:
    fire.announced = True
    server, old = node(REDIS_NODE), f"{DATA}-rolled-back"
    on_node(server, f"rm -rf {old}; cp -a {DATA} {old}")
    fire.come()
    for _ in fire.times(1):
        with fire.excusing(2, lost=10 * A_SECOND):  # all are refused at once
            redis(up=False)
            late = fire.last_greeters() if "late" in how else []
            if how == "many":
                on_node(server, f"rm -r {DATA}/appendonlydir; mv {old}/appendonlydir {DATA}")
            else:
                cut_batches(server)
            gone = time.monotonic_ns()
            filter_packets(late, APP, f"-I {WAY_TO_REDIS}")
            redis(up=True)
            if "twice" in how:  # while the others wait for the late one: they must begin to wait anew
                kill(running(OF_REDIS), REDIS)
                started_again("redis-0")
                redis_ready()
            time.sleep(3)
            filter_packets(late, APP, f"-D {WAY_TO_REDIS}")
            time.sleep(3)
            assert ready_endpoints() == 3
            back = time.monotonic_ns()
            reset("--to=1000000")
        fire.come()
        assert fire.answered(gone, back) == []
    fire.served_as_before()


# ---- the disk ----


@pytest.mark.disk
def test_disk_under_redis_full(fire: Fire) -> None:
    (pod,) = running(DISK, OF_REDIS)
    server = pod["spec"]["nodeName"]
    filling = f"/var/lib/kubelet/pods/{pod['metadata']['uid']}/volumes/kubernetes.io~empty-dir/data/fill"
    for _ in fire.times(1):
        with fire.excusing(1, lost=10 * ONE_EACH):  # until its container is started again
            on_node(server, f"cat /dev/zero >{filling} 2>/dev/null; true")
            until(lambda: ready_replicas("redis", DISK) == 0, "Redis has exited")
            time.sleep(DISK_DEADLINE)
            assert ready_endpoints(DISK) == 1
            on_node(server, f"rm {filling}")
            fire.come()  # it may have been ready for a moment, and wait for its restart once more
    fire.served_as_before()
    assert Outcome.UNAVAILABLE in fire.outcomes()


def test_all_faults_together(visitors: Visitors) -> None:
    all_gone()
    visitors.leave()
    visitors.assert_promise_kept()
