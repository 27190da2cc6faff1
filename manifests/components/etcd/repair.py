"""Gives an etcd member a new volume if the old one was lost with its node's disks: its claim would never let go of it.

It deletes a claim only if the node reports that the volume does not exist, and only while the other members report a
majority: they hold everything that was on it. If a disk only appeared late, at most one member loses its data.
"""

import json
import os
import ssl
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

MEMBERS = "etcd-0", "etcd-1", "etcd-2"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT = 5
PAUSE = 2
"""Seconds between two rounds."""


def call(path: str, method: str = "GET", **body: Any) -> dict[str, Any]:
    """Send Kubernetes a request about an object of this namespace. The token is read each time: it is renewed."""
    host = f"{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    token, namespace = ((ACCOUNT / name).read_text() for name in ("token", "namespace"))
    request = Request(
        f"https://{host}/api/v1/namespaces/{namespace}/{path}",
        json.dumps(body).encode() if body else None,
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method=method,
    )
    tls = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
    with urlopen(request, timeout=TIMEOUT, context=tls) as answer:
        read: dict[str, Any] = json.load(answer)
        return read


def volume_is_gone(pod: dict[str, Any]) -> bool:
    """Whether the pod waits for a volume that does not exist, as its node reports."""
    waits = any(
        condition["type"] == "PodReadyToStartContainers" and condition["status"] == "False"
        for condition in pod["status"].get("conditions", [])
    )
    return waits and any("does not exist" in event["message"] for event in failed_mounts(pod))


def failed_mounts(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """Its node's events about volumes that could not be mounted."""
    fields = f"involvedObject.uid={pod['metadata']['uid']},reason=FailedMount"
    events: list[dict[str, Any]] = call(f"events?{urlencode({'fieldSelector': fields})}")["items"]
    return events


def is_ready(name: str) -> bool:
    """Whether a member reports that it can read; without a majority it cannot."""
    try:
        with urlopen(f"http://{name}.etcd-members:2381/readyz", timeout=TIMEOUT):
            return True
    except (OSError, HTTPException):
        return False


def replace_volume(pod: dict[str, Any]) -> None:
    """Delete a pod and its claim, but not newer ones of the same names. The StatefulSet makes both again."""
    name = pod["metadata"]["name"]
    claim = call(f"persistentvolumeclaims/data-{name}")
    for path, thing in (f"persistentvolumeclaims/data-{name}", claim), (f"pods/{name}", pod):
        call(path, "DELETE", preconditions={"uid": thing["metadata"]["uid"]})
    print(f"{name}: its volume is lost; it gets a new one", flush=True)


def look() -> None:
    """Replace each lost volume while the other members are well."""
    for name in MEMBERS:
        try:
            pod = call(f"pods/{name}")
        except HTTPError as error:
            if error.code == 404:
                continue
            raise
        if volume_is_gone(pod) and all(is_ready(other) for other in MEMBERS if other != name):
            replace_volume(pod)


def main() -> None:
    """Look for lost volumes, again and again."""
    while True:
        try:
            look()
        except (OSError, HTTPException, ValueError) as error:
            print(f"unexpected answer from Kubernetes: {error}", flush=True)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
