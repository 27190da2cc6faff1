"""The counter in a namespace of its own, whole or without one of its lines; and who visits it there."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from tests.support.commands import ENVIRONMENT, OURS, RATE, ROOT, kubectl, make, own_namespace, until
from tests.support.deployment import end_leaving_pods, manifest, purge, redis_ready
from tests.support.jobs import Job

NAMESPACE = "hello-without"
KUSTOMIZATION = ROOT / "build/without/kustomization.yaml"


@contextmanager
def namespace() -> Iterator[None]:
    """Make a namespace, and let kubectl and make mean it; at the end, take away all that was made there."""
    make("load")
    with TemporaryDirectory() as directory, own_namespace(NAMESPACE, Path(directory) / "configuration"):
        _remove()
        try:
            kubectl("create", "namespace", NAMESPACE)
            kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/warn=restricted")
            make("volume", "password")
            yield
        finally:
            _remove()


def _remove() -> None:
    if kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "--output=name"):
        purge()
        kubectl("delete", "namespace", NAMESPACE)


def deploy(line: str | None) -> None:
    """Put the counter without that line in the place of what is there."""
    kustomization = {
        "resources": [f"../../{manifest(ROOT).relative_to(ROOT)}"],
        "components": [f"../../manifests/without/{line}"] if line else [],
        "labels": [{"pairs": {"app.kubernetes.io/instance": NAMESPACE}, "includeTemplates": True}],
    }
    KUSTOMIZATION.parent.mkdir(parents=True, exist_ok=True)
    KUSTOMIZATION.write_text(yaml.safe_dump(kustomization))
    kubectl("delete", "networkpolicy,poddisruptionbudget", OURS)  # which it may lack
    kubectl("apply", f"--kustomize={KUSTOMIZATION.parent}")


def settle() -> None:
    """Wait until all that was applied serves, from an epoch of its own, and nothing of before is left."""
    redis_ready()
    kubectl("rollout", "status", "deployment/hello-world", "--timeout=2m")
    end_leaving_pods()
    tried("kubectl", "exec", "deployment/hello-world", "--", "hello", "reset", "--yes")  # no memory can be
    make("wait")


def tried(*command: str, errors: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    """Run a command that may fail."""
    return subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=errors, text=True)


@dataclass(frozen=True)
class Outcome:
    """What was seen. well: nothing was lost, or whatever else the line is there for; said: a sentence."""

    well: bool
    said: str


def visited(experiment: Callable[[], None]) -> Callable[[], Outcome]:
    """Let `hello check` visit meanwhile, from the node that carries the control plane; what it says in the end."""

    @wraps(experiment)
    def judged() -> Outcome:
        check = "hello", "check", "http://hello-world", "--alone", "--duration=600", f"--rate={RATE}"
        job = Job(*check, namespace=NAMESPACE, nodeSelector={"minikube.k8s.io/primary": "true"})
        try:
            before = count()
            until(lambda: count() > before + RATE, "visitors are counted")
            experiment()
            job.interrupt()
            # What comes from two streams is in no order: the line on the interruption may be the last one.
            said = next(line for line in reversed(job.output().splitlines()) if not line.startswith("Interrupted"))
            code = job.exit_code()
            assert code in {0, 1}, said
            return Outcome(code == 0, said)
        finally:
            job.delete()

    return judged


def count() -> int:
    """The total, as a pod tells it that is asked through the API server."""
    with suppress(AssertionError):
        return int(json.loads(kubectl("get", "--raw", proxied("/count")))["count"])
    return 0


def proxied(path: str) -> str:
    """Where the API server gives what the Service answers."""
    return f"/api/v1/namespaces/{NAMESPACE}/services/hello-world:80/proxy{path}"
