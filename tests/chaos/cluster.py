"""The counter on the cluster, as the faults need it: Redis' volume on node 2, another counter on a small disk."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

import hello
from tests.support.commands import COUNTER, ROOT, kubectl, make, run, until
from tests.support.deployment import OF_REDIS, OTHER_VERSION, end_pods, manifest, other_version, redis_ready
from tests.support.nodes import node, on_node, running

HERE = Path(__file__).parent
MINIKUBE = ROOT / "manifests/overlays/minikube"
REDIS_NODE = 2
DATA = "/data/hello-world-redis"
DISK = "--namespace=hello-disk"
DISK_DEADLINE = 3
"""Seconds, as in disk/: shorter than others' for a shorter test."""


def prepare(other: Path) -> dict[str, Path]:
    """Put this version and another one on the nodes, while what ran there ends; their source trees."""
    other_version(other)
    configuration = other / "manifests/components/redis/redis.conf"
    configuration.write_text(configuration.read_text().replace("maxmemory 64mb", "maxmemory 65mb"))
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(make, "undeploy")
        for root in other, ROOT:
            make(f"--directory={root}", "load")
        ended.result()
    return {hello.__version__: ROOT, OTHER_VERSION: other}


def deploy() -> str:
    """Count on minikube, with Redis' data where its node can lose power; the counter's URL."""
    make("no-tour", "password")
    on_node(node(REDIS_NODE), f"mkdir -p {DATA} && find {DATA} -mindepth 1 -delete && chown 999:999 {DATA}")
    run("kubectl", "apply", "--filename=-", answer=_volume())
    apply(ROOT, OF_REDIS)
    redis_ready()
    apply(ROOT)
    kubectl("apply", f"--kustomize={HERE / 'disk'}")
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
    kubectl("delete", "namespace", DISK.partition("=")[2], "--ignore-not-found", "--wait=false")
    end_pods()
    make("undeploy")


def apply(root: Path, *selection: str) -> None:
    """Apply the manifests of a source tree, or some of them."""
    kubectl("apply", f"--kustomize={manifest(root)}", *selection)


def disk_url() -> str:
    """The URL of the counter on a small disk."""
    kubectl(DISK, "rollout", "status", "deployment/hello-world", "--timeout=2m")
    port = kubectl(DISK, "get", "service/hello-world", "--output=jsonpath={.spec.ports[0].nodePort}")
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


def reset(*options: str) -> None:
    """Begin a new epoch."""
    kubectl("exec", "deployment/hello-world", "--", "hello", "reset", "--yes", *options)
