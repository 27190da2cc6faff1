"""Commands that run in the cluster, each as a Job."""

import json
from typing import Any

import yaml

from tests.support.commands import ROOT, kubectl, run, until


class Job:
    """A command that runs as `hello check` does by manifests/check; `pod` changes the pod's specification."""

    def __init__(self, *command: str, namespace: str, labelled: bool = True, **pod: Any) -> None:
        job = yaml.safe_load((ROOT / "manifests/check/job.yaml").read_text())
        job["metadata"] = {"generateName": "hello-check-"}
        template = job["spec"]["template"]
        template["spec"] |= pod
        template["spec"]["containers"][0] |= {"command": command, "args": []}
        if not labelled:
            del template["metadata"]["labels"]
        self._namespace = f"--namespace={namespace}"
        create = "kubectl", self._namespace, "create", "--filename=-", "--output=jsonpath={.metadata.name}"
        self.name = run(*create, answer=json.dumps(job))

    def exit_code(self) -> int | None:
        """None before its end."""
        told = kubectl(
            *(self._namespace, "get", "pod", f"--selector=job-name={self.name}"),
            "--output=jsonpath={.items[*].status.containerStatuses[*].state.terminated.exitCode}",
        )
        return int(told) if told else None

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        kubectl(self._namespace, "exec", f"job/{self.name}", "--", "sh", "-c", "kill -INT 1")

    def output(self) -> str:
        """Wait for its end; what it printed."""
        until(lambda: self.exit_code() is not None, f"{self.name} ends")
        return kubectl(self._namespace, "logs", f"job/{self.name}")

    def delete(self) -> None:
        kubectl(self._namespace, "delete", f"job/{self.name}", "--cascade=foreground", "--wait=false")
