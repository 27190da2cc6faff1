"""The counter on the cluster, as the faults need it: Redis' volume on node 2, two more counters on small disks."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import hello
from tests.support.commands import COUNTER, ROOT, kubectl, make, run, until
from tests.support.deployment import OF_REDIS, OTHER_VERSION, manifest, redis_ready
from tests.support.nodes import node, on_node, running

HERE = Path(__file__).parent
MINIKUBE = ROOT / "manifests/overlays/minikube"
REDIS_NODE = 2
DATA = "/data/hello-world-redis"
DISKS = "--namespace=hello-disks"
DISKS_DEADLINE = 3
"""Seconds, as in disks/: shorter than others' for a shorter test."""


@dataclass(frozen=True)
class Release:
    """A version of the counter, and its image on the nodes."""

    root: Path
    version: str
    image: str


def prepare(other: Path) -> list[Release]:
    """Make another version, and put it and this one on the nodes, while what ran there ends."""
    shutil.copytree(ROOT, other, ignore=shutil.ignore_patterns(".git", ".venv", "build", ".*_cache", ".hypothesis"))
    for file, old, new in (
        ("hello/__init__.py", hello.__version__, OTHER_VERSION),
        ("manifests/components/redis/redis.conf", "maxmemory 64mb", "maxmemory 65mb"),
    ):
        (other / file).write_text((other / file).read_text().replace(old, new))
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(make, "undeploy")
        releases = [Release(other, OTHER_VERSION, _load(other)), Release(ROOT, hello.__version__, _load(ROOT))]
        ended.result()
    return releases[::-1]


def deploy(release: Release) -> str:
    """Count on minikube, with Redis' data where its node can lose power; the counter's URL."""
    make("no-tour", "password")
    on_node(node(REDIS_NODE), f"mkdir -p {DATA} && find {DATA} -mindepth 1 -delete && chown 999:999 {DATA}")
    run("kubectl", "apply", "--filename=-", answer=_volume())
    apply(release, OF_REDIS)
    redis_ready()
    apply(release)
    kubectl("apply", f"--kustomize={HERE / 'disks'}")
    make("wait")
    return make("url")


def _volume() -> str:
    """Redis' volume, on its node."""
    volume: dict[str, Any] = yaml.safe_load((MINIKUBE / "volume/persistentvolume.yaml").read_text())
    volume["metadata"]["labels"]["app.kubernetes.io/part-of"] = "hello-world"
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    term["matchExpressions"] = [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node(REDIS_NODE)]}]
    return json.dumps(volume)


def undeploy() -> None:
    """Take it all away; the volume goes, so that the next `make deploy` makes its own."""
    kubectl("delete", "namespace", DISKS.partition("=")[2], "--ignore-not-found", "--wait=false")
    make("undeploy")


def _load(root: Path) -> str:
    """Build the image of a source tree, and put it on the nodes; its name."""
    lines = make(f"--directory={root}", "load").splitlines()
    return next(line.removeprefix("building ") for line in lines if line.startswith("building "))


def apply(release: Release, *selection: str) -> None:
    """Apply a version's manifests, or some of them."""
    kubectl("apply", f"--kustomize={manifest(release.root)}", *selection)


def disk_url(name: str, namespace: str = DISKS) -> str:
    """The URL of one of the counters on a small disk."""
    kubectl(namespace, "rollout", "status", f"deployment/{name}", "--timeout=2m")
    port = kubectl(namespace, "get", f"service/{name}", "--output=jsonpath={.spec.ports[0].nodePort}")
    return f"http://{run('minikube', 'ip')}:{port}"


def scale(pods: int) -> None:
    kubectl("scale", "deployment/hello-world", f"--replicas={pods}")
    settle(pods)


def settle(pods: int = 3) -> None:
    """Wait until so many pods serve, and no other but those that are leaving."""
    kubectl("rollout", "status", "deployment/hello-world", "--timeout=3m")
    until(lambda: len(running(COUNTER)) == pods, f"{pods} pods", 120)


def all_gone(pods: int = 3) -> None:
    """Wait until no pod is leaving any more."""
    until(lambda: len(kubectl("get", "pod", COUNTER, "--output=name").split()) == pods, "the others are gone")


def redis(up: bool) -> None:
    """Take Redis away, or bring it back."""
    kubectl("scale", "statefulset/redis", f"--replicas={int(up)}")
    if up:
        redis_ready()
    else:
        kubectl("wait", "pod/redis-0", "--for=delete", "--timeout=1m")


def ready_redis(*namespace: str) -> int:
    """How many Redis pods are ready."""
    return int(kubectl(*namespace, "get", "statefulset/redis", "--output=jsonpath={.status.readyReplicas}") or 0)


def lead_redis_to(name: str) -> None:
    """Choose the pods behind Redis' Service, by their name's label."""
    kubectl("patch", "service/redis", "--patch", f'{{"spec": {{"selector": {{"app.kubernetes.io/name": "{name}"}}}}}}')


def restarts() -> int:
    """How often Redis' container was started again."""
    return int(kubectl("get", "pod/redis-0", "--output=jsonpath={.status.containerStatuses[0].restartCount}") or 0)
