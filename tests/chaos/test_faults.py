"""Each fault while visitors come: the six promises, and what must hold besides. It takes a cluster of three nodes."""

import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hello.check.history import Outcome
from tests.chaos.conftest import Times
from tests.chaos.fire import DEADLINE, Fire
from tests.chaos.nodes import APP, REDIS, filter_packets, forget, kill, node, on_node, power, primary, running
from tests.e2e.commands import COUNTER, ROOT, kubectl, make, run, total, until

REDIS_POD = "--selector=app.kubernetes.io/name=redis"
ENDPOINTS = 3
"""Seconds after which no new connection goes to a killed process any more."""

DATA = "/data/hello-world-redis"


def scale(pods: int) -> None:
    kubectl("scale", "deployment/hello-world", f"--replicas={pods}")
    settle(pods)


def settle(pods: int = 3) -> None:
    """Wait until so many pods serve, and no other is there."""
    kubectl("rollout", "status", "deployment/hello-world", "--timeout=3m")
    until(lambda: len(running(COUNTER)) == pods and len(all_pods()) == pods, f"{pods} pods", 120)


def all_pods() -> list[str]:
    return kubectl("get", "pod", COUNTER, "--output=name").split()


def redis(up: bool) -> None:
    """Take Redis away, or bring it back."""
    kubectl("scale", "statefulset/redis", f"--replicas={int(up)}")
    if up:
        redis_ready()
    else:
        kubectl("wait", "pod/redis-0", "--for=delete", "--timeout=1m")


def redis_ready() -> None:
    kubectl("rollout", "status", "statefulset/redis", "--timeout=3m")


def ready_endpoints() -> int:
    """How many pods the Service sends visitors to."""
    ready = kubectl(
        *("get", "endpointslice", "--selector=kubernetes.io/service-name=hello-world"),
        "--output=jsonpath={.items[*].endpoints[*].conditions.ready}",
    )
    return ready.split().count("true")


def pause(chance: random.Random, seconds: float) -> None:
    """Let a random time pass, so that the next fault hits at any moment of what the visitors do."""
    time.sleep(chance.uniform(0, seconds))


def no_visitor_noticed(fire: Fire) -> None:
    assert fire.found() == set()
    assert fire.unexcused() == []


def aof() -> str:
    """Where Redis' file is, on its node."""
    return on_node(primary(), f"ls {DATA}/appendonlydir/*.incr.aof").splitlines()[-1]


def present_image() -> str:
    return kubectl("get", "deployment/hello-world", "--output=jsonpath={.spec.template.spec.containers[0].image}")


def served_as_before(fire: Fire) -> None:
    """No promise was broken, and visits failed only when they might."""
    assert fire.found() == set()
    assert fire.unexcused() == []


# ---- what no visitor may notice ----


def test_rolling_update(fire: Fire, url: str, times: Times) -> None:
    with fire.under_visitors(url):
        for _ in times(5):
            fire.injected += 1
            make("restart")
        settle()
    served_as_before(fire)


def test_scaled_to_8_to_1_to_3(fire: Fire, url: str) -> None:
    with fire.under_visitors(url):
        for pods in 8, 1, 3:
            fire.injected += 1
            scale(pods)
    served_as_before(fire)


def test_a_pod_deleted_every_2_s(fire: Fire, url: str, times: Times, chance: random.Random) -> None:
    with fire.under_visitors(url):
        for _ in times(12, 4):
            fire.injected += 1
            until(lambda: bool(running(COUNTER)), "a pod runs")
            name = chance.choice(running(COUNTER))["metadata"]["name"]
            kubectl("delete", "pod", name, "--wait=false")
            time.sleep(2)
        settle()
    served_as_before(fire)


def test_all_pods_deleted_at_once(fire: Fire, url: str, times: Times) -> None:
    with fire.under_visitors(url):
        for _ in times(3):
            fire.injected += 1
            kubectl("delete", "pod", COUNTER)
            settle()
    served_as_before(fire)


def test_upgraded_and_back_with_another_redis_configuration(fire: Fire, url: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(ROOT, other, ignore=shutil.ignore_patterns(".git", ".venv", "build", ".*_cache", ".hypothesis"))
    for file, old, new in (
        ("hello/__init__.py", "1.0.0", "1.0.1"),
        ("manifests/components/redis/redis.conf", "maxmemory 64mb", "maxmemory 65mb"),
    ):
        (other / file).write_text((other / file).read_text().replace(old, new))
    make(f"--directory={other}", "load")
    with fire.under_visitors(url):
        for directory, version in (other, "1.0.1"), (ROOT, "1.0.0"):
            fire.injected += 1
            make(f"--directory={directory}", "apply", "wait")
            settle()
            assert version in kubectl("exec", "deployment/hello-world", "--", "hello", "--version")
    served_as_before(fire)


def test_redis_deleted(fire: Fire, url: str, times: Times, chance: random.Random) -> None:
    with fire.under_visitors(url):
        for _ in times(10, 2):
            fire.injected += 1
            pause(chance, 1)
            kubectl("delete", "pod", "redis-0")
            redis_ready()
            await_answers(url)
    served_as_before(fire)


def test_redis_killed_with_9(fire: Fire, url: str, times: Times, chance: random.Random) -> None:
    with fire.under_visitors(url):
        for _ in times(4):
            fire.injected += 1
            pause(chance, 1)
            kill(running(REDIS_POD), REDIS)
            until(lambda: restarts() > 0, "redis-server is started again")
            redis_ready()
            await_answers(url)
            kubectl("delete", "pod", "redis-0")  # a container killed again would be held back longer
            redis_ready()
            await_answers(url)
    served_as_before(fire)


def restarts() -> int:
    return int(kubectl("get", "pod/redis-0", "--output=jsonpath={.status.containerStatuses[0].restartCount}") or 0)


def test_redis_frozen_for_5_s(fire: Fire, url: str, times: Times, chance: random.Random) -> None:
    with fire.under_visitors(url):
        for _ in times(3):
            fire.injected += 1
            pause(chance, 1)
            kill(running(REDIS_POD), REDIS, "STOP")
            time.sleep(5)
            kill(running(REDIS_POD), REDIS, "CONT")
            await_answers(url)
    served_as_before(fire)


def await_answers(url: str) -> None:
    before = total(url)
    until(lambda: total(url) > before + 100, "visitors are counted")


# ---- what fails some ----


def test_an_app_process_killed_with_9(fire: Fire, url: str, times: Times, chance: random.Random) -> None:
    with fire.under_visitors(url):
        for _ in times(6, 2):
            victim = chance.choice(running(COUNTER))
            pause(chance, 1)
            with fire.excusing(ENDPOINTS):
                kill([victim], APP)
            time.sleep(ENDPOINTS)
            kubectl("delete", "pod", victim["metadata"]["name"], "--wait=false")
            settle()
    served_as_before(fire)


def test_all_app_processes_killed_with_9(fire: Fire, url: str, times: Times, chance: random.Random) -> None:
    with fire.under_visitors(url):
        for _ in times(3):
            pause(chance, 1)
            with fire.excusing(ENDPOINTS):
                kill(running(COUNTER), APP)
                until(lambda: ready_endpoints() < 3, "their death is seen")
                until(lambda: ready_endpoints() > 0, "the first is back")
            time.sleep(ENDPOINTS)
            kubectl("delete", "pod", COUNTER, "--wait=false")
            settle()
    served_as_before(fire)


def test_redis_away_longer_than_the_deadline(fire: Fire, url: str, times: Times) -> None:
    away: list[tuple[int, int]] = []
    with fire.under_visitors(url):
        for _ in times(2):
            with fire.excusing(2):
                redis(up=False)
                gone = time.monotonic_ns()
                time.sleep(DEADLINE + 5)
                assert ready_endpoints() == 3
                back = time.monotonic_ns()
                redis(up=True)
            away.append((gone, back))
            time.sleep(3)
    served_as_before(fire)
    for gone, back in away:
        assert fire.answered(gone, back) == []
    refused = [record for record in fire.records if record.outcome is Outcome.UNAVAILABLE]
    assert refused
    assert max(record.answered - record.sent for record in refused) <= DEADLINE * 1e9
    assert {record.outcome for record in fire.records} <= {"answered", "unavailable", "interrupted"}


def test_node_death_under_app_pods(fire: Fire, url: str) -> None:
    victim = node(3)
    dead = [pod for pod in running(COUNTER) if pod["spec"]["nodeName"] == victim]
    with fire.under_visitors(url):
        with fire.excusing(5):
            power(3, on=False)
            kubectl("wait", f"node/{victim}", "--for=condition=Ready=Unknown", "--timeout=1m")
            time.sleep(2)
            forget(dead)
        until(
            lambda: len([pod for pod in running(COUNTER) if pod["spec"]["nodeName"] != victim]) == 3,
            "its pods run elsewhere",
            60,
        )
        settled = time.monotonic_ns()
        time.sleep(3)
        power(3, on=True)
        settle()
    served_as_before(fire)
    assert fire.answered(settled, time.monotonic_ns())


@pytest.fixture
def _redis_on_node_2() -> Iterator[None]:
    """Redis with its volume on node 2, where an empty directory awaits it."""
    name = node(2)
    on_node(name, f"mkdir -p {DATA} && find {DATA} -mindepth 1 -delete && chown 999:999 {DATA}")
    move_redis(("minikube.k8s.io/primary", "kubernetes.io/hostname"), ('- "true"', f"- {name}"))
    yield
    move_redis()


@pytest.fixture
def _redis_on_a_small_disk() -> Iterator[None]:
    """Redis with 16 MiB, which an old pod does not leave to a new one."""
    small = "emptyDir:\n          medium: Memory\n          sizeLimit: 16Mi"
    move_redis(("persistentVolumeClaim:\n          claimName: redis", small))
    yield
    move_redis()


def move_redis(*changes: tuple[str, str]) -> None:
    """Put Redis on another volume. Who counted on the one must not see the other: it would be a step back in time."""
    image = present_image()
    kubectl("delete", "deployment/hello-world", "statefulset/redis", "persistentvolumeclaim/redis", "--wait")
    kubectl("wait", "pod", REDIS_POD, COUNTER, "--for=delete", "--timeout=1m")
    kubectl("delete", "persistentvolume/hello-world-redis")
    manifest = kubectl("kustomize", str(ROOT / "manifests/overlays/minikube"))
    for old, new in [*changes, ("image: hello-counter\n", f"image: {image}\n")]:
        assert old in manifest
        manifest = manifest.replace(old, new)
    run("kubectl", "apply", "--filename=-", answer=manifest)
    make("wait")


@pytest.mark.usefixtures("_redis_on_node_2")
def test_node_death_under_redis(fire: Fire, url: str) -> None:
    dead = [pod for pod in running(COUNTER) if pod["spec"]["nodeName"] == node(2)]
    with fire.under_visitors(url):
        with fire.excusing(5):
            power(2, on=False)
            kubectl("wait", f"node/{node(2)}", "--for=condition=Ready=Unknown", "--timeout=1m")
            power(2, on=True)
            redis_ready()
            forget(dead)
        settle()
        await_answers(url)
    served_as_before(fire)


# ---- the network ----


@pytest.fixture
def through(url: str) -> Iterator[Callable[[str], None]]:
    """Lets the pods reach Redis another way: `through("redis-proxy:6379")`."""
    proxy = Path(__file__).with_name("proxy.yaml").read_text().replace("IMAGE", present_image())
    code = Path(__file__).with_name("proxy.py")
    kubectl("create", "configmap", "redis-proxy", f"--from-file={code}")
    run("kubectl", "apply", "--filename=-", answer=proxy)
    kubectl("wait", "pod/redis-proxy", "--for=condition=Ready", "--timeout=1m")

    def lead(way: str) -> None:
        kubectl("set", "env", "deployment/hello-world", f"HELLO_STORE=redis://hello@{way}/0")
        settle()

    yield lead
    kubectl("delete", "pod/redis-proxy", "service/redis-proxy", "configmap/redis-proxy", "networkpolicy/redis-proxy")


def test_redis_behind_100_ms_and_resets_in_mid_answer(
    fire: Fire, url: str, times: Times, through: Callable[[str], None]
) -> None:
    with fire.under_visitors(url):
        for way in "redis-proxy:6379", "redis-proxy:6380":
            fire.injected += 1
            through(way)
            time.sleep(10 if times.short else 15)
        through("redis:6379")
    served_as_before(fire)


INWARD = "INPUT ! -i lo -p tcp --dport 6379"
OUTWARD = "OUTPUT ! -o lo -p tcp --sport 6379"
SOME = "-m statistic --mode random --probability 0.05"


@pytest.mark.parametrize(
    ("rules", "seconds"),
    [
        pytest.param((f"{INWARD} {SOME}", f"{OUTWARD} {SOME}"), 10, id="5 % lost"),
        pytest.param((INWARD, OUTWARD), 5, id="cut"),
        pytest.param((INWARD,), 5, id="cut inward"),
        pytest.param((OUTWARD,), 5, id="cut outward"),
    ],
)
def test_packets_to_redis(
    fire: Fire, url: str, times: Times, chance: random.Random, rules: tuple[str, ...], seconds: float
) -> None:
    (pod,) = running(REDIS_POD)
    with fire.under_visitors(url):
        for _ in times(2):
            fire.injected += 1
            pause(chance, 1)
            filter_packets(pod, *(f"-I {rule} -j DROP" for rule in rules))
            time.sleep(seconds)
            filter_packets(pod, *(f"-D {rule} -j DROP" for rule in rules))
            await_answers(url)
    served_as_before(fire)


# ---- the data ----


@pytest.mark.expected("new epoch")
def test_redis_wiped(fire: Fire, url: str, times: Times) -> None:
    with fire.under_visitors(url):
        for _ in times(2):
            with fire.excusing(1):
                redis(up=False)
                on_node(primary(), f"find {DATA} -mindepth 1 -delete")
                redis(up=True)
            await_answers(url)
    assert fire.found() == {"new epoch"}
    assert fire.unexcused() == []


def test_reset_under_load(fire: Fire, url: str, times: Times) -> None:
    with fire.under_visitors(url, "--allow-reset"):
        for _ in times(5, 2):
            with fire.excusing(1):
                kubectl("exec", "deployment/hello-world", "--", "hello", "reset", "--yes")
            await_answers(url)
    served_as_before(fire)


@pytest.mark.parametrize("how", ["one trip", "many"])
def test_redis_rolled_back_by(fire: Fire, url: str, how: str) -> None:
    with fire.under_visitors(url, "--allow-reset"):
        old = f"{DATA}-rolled-back"
        on_node(primary(), f"rm -rf {old}; cp -a {DATA} {old}")
        time.sleep(3)
        with fire.excusing(2):
            redis(up=False)
            if how == "many":
                on_node(primary(), f"rm -r {DATA}/appendonlydir; mv {old}/appendonlydir {DATA}")
            else:
                file = aof()
                # A trip is a MULTI … EXEC at the end of the file; its first line is 8 bytes before the word.
                at = int(on_node(primary(), f"grep -abo MULTI {file} | tail -n 1 | cut -d: -f1")) - 8
                on_node(primary(), f"truncate -s {at} {file}")
            gone = time.monotonic_ns()
            redis(up=True)
            time.sleep(3)
            assert ready_endpoints() == 3
            back = time.monotonic_ns()
            kubectl("exec", "deployment/hello-world", "--", "hello", "reset", "--yes", "--to=1000000")
        await_answers(url)
    served_as_before(fire)
    assert fire.answered(gone, back) == []


# ---- the disk ----


def fill(workload: str, path: str) -> None:
    """Fill a disk to its last byte."""
    kubectl("exec", workload, "--", "sh", "-c", f"cat /dev/zero >{path} 2>/dev/null; true")


def free(selector: str, path: str) -> None:
    """Make room again, from the node: the container may wait for its restart."""
    for pod in running(selector):
        volumes = f"/var/lib/kubelet/pods/{pod['metadata']['uid']}/volumes/kubernetes.io~empty-dir"
        on_node(pod["spec"]["nodeName"], f"rm {volumes}/data/{path}")


@pytest.mark.usefixtures("_redis_on_a_small_disk")
def test_disk_under_redis_full(fire: Fire, url: str) -> None:
    with fire.under_visitors(url):
        with fire.excusing(1):
            fill("redis-0", "/data/fill")
            until(lambda: ready_redis() == 0, "Redis has exited")
            time.sleep(DEADLINE)
            assert ready_endpoints() == 3
            free(REDIS_POD, "fill")
            redis_ready()
        await_answers(url)
    served_as_before(fire)
    assert [record for record in fire.records if record.outcome is Outcome.UNAVAILABLE]


def ready_redis() -> int:
    return int(kubectl("get", "statefulset/redis", "--output=jsonpath={.status.readyReplicas}") or 0)


@pytest.fixture
def sqlite_url() -> Iterator[str]:
    """A counter of its own, in a SQLite file on a small disk."""
    manifest = Path(__file__).with_name("sqlite.yaml").read_text().replace("IMAGE", present_image())
    run("kubectl", "apply", "--filename=-", answer=manifest)
    kubectl("rollout", "status", "deployment/hello-sqlite", "--timeout=1m")
    port = kubectl("get", "service/hello-sqlite", "--output=jsonpath={.spec.ports[0].nodePort}")
    yield f"http://{run('minikube', 'ip')}:{port}"
    kubectl("delete", "deployment/hello-sqlite", "service/hello-sqlite")


# SQLite writes a log of full size in place, and would not notice: it is emptied before the disk is filled.
FILL = f"""
import sqlite3, time
end = time.time() + {DEADLINE + 2}
while time.time() < end:
    try:
        sqlite3.connect("/data/hello.db", timeout=1).execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        pass
    try:
        with open("/data/fill", "ab", buffering=0) as fill:
            while True:
                fill.write(bytes(4096))
    except OSError:
        time.sleep(0.1)
"""


def test_disk_under_sqlite_full(fire: Fire, sqlite_url: str, times: Times) -> None:
    with fire.under_visitors(sqlite_url):
        for _ in times(3):
            with fire.excusing(1):
                kubectl("exec", "deployment/hello-sqlite", "--", "python", "-c", FILL)
                free("--selector=app.kubernetes.io/name=hello-sqlite", "fill")
            await_answers(sqlite_url)
    served_as_before(fire)
    assert [record for record in fire.records if record.outcome is Outcome.UNAVAILABLE]
