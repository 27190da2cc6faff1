"""The counter in a namespace of its own, whole or without one of its lines; and who visits it there."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Self

import yaml

from tests.support.commands import COUNTER, ENVIRONMENT, OURS, RATE, ROOT, kubectl, make, pods, run, until
from tests.support.deployment import manifest, redis_ready
from tests.support.nodes import running

NAMESPACE = "hello-without"
KUSTOMIZATION = ROOT / "build/without/kustomization.yaml"
CHECK = """\
  - target: {{kind: Job}}
    patch: |
      - {{op: replace, path: /spec/template/spec/containers/0/args, value: {arguments}}}
      - {{op: add, path: /spec/template/spec/nodeSelector, value: {{minikube.k8s.io/primary: "true"}}}}
nameSuffix: "-{suffix}"
"""
"""What differs in a Job from the one of manifests/check."""


@contextmanager
def namespace(nodes: int = 1) -> Iterator[None]:
    """Make a namespace, and let kubectl and make mean it; at the end, take away all that was made there.

    nodes: how many the cluster must have.
    """
    make("load")
    before = dict(ENVIRONMENT)
    with TemporaryDirectory() as directory:
        configuration = Path(directory) / "configuration"
        context = run("minikube", "profile").strip("* ")
        configuration.write_text(kubectl(f"--context={context}", "config", "view", "--raw", "--flatten", "--minify"))
        ENVIRONMENT["KUBECONFIG"] = str(configuration)
        try:
            there = len(kubectl("get", "node", "--output=name").split())
            assert there >= nodes, (
                f"this needs {nodes} nodes, and there is {there}: minikube delete, minikube start --nodes={nodes}"
            )
            kubectl("config", "use-context", context)
            kubectl("config", "set-context", "--current", f"--namespace={NAMESPACE}")
            _remove()
            try:
                kubectl("create", "namespace", NAMESPACE)
                kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/warn=restricted")
                make("volume", "password")
                yield
            finally:
                _remove()
        finally:
            ENVIRONMENT.clear()
            ENVIRONMENT.update(before)


def _remove() -> None:
    if kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "--output=name"):
        kubectl("delete", "deployment,statefulset,job", "--all")
        kubectl("delete", "pod", "--all", "--grace-period=1")
        make("purge", answer="yes\n")
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
    there = {f"pod/{pod['metadata']['name']}" for pod in running(COUNTER)}
    if leaving := pods() - there:
        kubectl("delete", "--grace-period=1", "--ignore-not-found", *leaving)
    tried("kubectl", "exec", "deployment/hello-world", "--", "hello", "reset", "--yes")  # no memory can be
    make("wait")


def tried(*command: str, errors: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    """Run a command that may fail."""
    return subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=errors, text=True)


class Visitors:
    """`hello check` in the cluster, as manifests/check has it, on the node that carries the control plane."""

    def __init__(self) -> None:
        self.kept = False
        """Whether the promise was kept and nothing lost."""
        self.said = ""
        """The last line of the report."""

    def __enter__(self) -> Self:
        visits = ["--alone", "--duration=600", f"--rate={RATE}"]
        patches = CHECK.format(arguments=json.dumps(["check", "http://hello-world", *visits]), suffix=token_hex(3))
        command = ("sh", "manifests/scripts/kustomization.sh", "manifests/check", NAMESPACE, _image())
        self._job = kubectl("create", f"--kustomize={run(*command, answer=patches)}", "--output=name")
        try:
            before = count()
            until(lambda: count() > before + RATE, "visitors are counted")
        except BaseException:
            self._delete()
            raise
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None:
                kubectl("exec", self._job, "--", "sh", "-c", "kill -INT 1")
                until(lambda: self._status() is not None, "the visitors have left")
                # What comes from two streams is in no order: the line on the interruption may be the last one.
                said = kubectl("logs", self._job).splitlines()
                self.said = next(line for line in reversed(said) if not line.startswith("Interrupted"))
                status = self._status()
                assert status in {0, 1}, self.said
                self.kept = status == 0
        finally:
            self._delete()

    def _status(self) -> int | None:
        name = self._job.partition("/")[2]
        status = kubectl(
            *("get", "pod", f"--selector=job-name={name}"),
            "--output=jsonpath={.items[*].status.containerStatuses[*].state.terminated.exitCode}",
        )
        return int(status) if status else None

    def _delete(self) -> None:
        kubectl("delete", self._job, "--cascade=foreground", "--wait=false")


def count() -> int:
    """The total, as a pod tells it that is asked through the API server."""
    with suppress(AssertionError):
        return int(json.loads(kubectl("get", "--raw", proxied("/count")))["count"])
    return 0


def proxied(path: str) -> str:
    """Where the API server gives what the Service answers."""
    return f"/api/v1/namespaces/{NAMESPACE}/services/hello-world:80/proxy{path}"


def _image() -> str:
    """The image that is deployed."""
    return kubectl("get", "deployment/hello-world", "--output=jsonpath={.spec.template.spec.containers[0].image}")
