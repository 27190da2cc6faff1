"""What can be known of the manifests and the image without a cluster; tests/e2e tries them on one."""

import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import product
from pathlib import Path
from signal import SIGKILL
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

import hello
from hello.cli import serve
from hello.counting.leaving import LEAVE_TIMEOUT
from hello.stores import Batch
from hello.stores.redis.store import RedisStore
from hello.web.connections import LINGERING
from tests.support.processes import PATIENCE, REDIS_SERVER, free_port, until

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
COMPONENT = MANIFESTS / "components/redis"
MINIKUBE = MANIFESTS / "overlays/minikube"
KUBERNETES = "1.34", "1.35", "1.36", "1.37"
CUSTOM = "HTTPRoute", "PodMonitor", "PrometheusRule", "ServiceMonitor"
"""Kinds that Kubernetes' own schemas do not have; the API server validates them in tests/e2e."""


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def load_all(file: Path) -> list[Any]:
    return list(yaml.safe_load_all(file.read_text()))


KUSTOMIZATIONS = [*MANIFESTS.rglob("kustomization.yaml")]
PATCHES = [
    file.parent / patch["path"] for file in KUSTOMIZATIONS for patch in load(file).get("patches", []) if "path" in patch
]
OBJECTS = sorted(
    file
    for file in {*MANIFESTS.rglob("*.yaml")} - {*KUSTOMIZATIONS, *PATCHES}
    if load_all(file)[0].get("kind") not in (None, *CUSTOM)
)
TRIP = Batch(epoch="", client="a", sequence=1, answered=0, n=3, seen=0, pod="pod", new_epoch="e")
PODS = [file for file in OBJECTS if "containers:" in file.read_text() and file.parent.name != "tour"]


def pod_spec(manifest: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = manifest["spec"]
    return spec if manifest["kind"] == "Pod" else spec["template"]["spec"]


def each(files: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("file", files, ids=lambda file: str(file.relative_to(MANIFESTS)))


@each(OBJECTS)
def test_an_object_is_valid_kubernetes(file: Path) -> None:
    for manifest, version in product(load_all(file), KUBERNETES):
        kubernetes_validate.validate(manifest, version, strict=True)


@each(PODS)
def test_a_pod_can_do_no_more_than_it_must(file: Path) -> None:
    spec = pod_spec(load(file))
    assert spec["automountServiceAccountToken"] is ("serviceAccountName" in spec)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        assert container["resources"]["limits"].keys() == {"cpu", "memory"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_a_leaving_pod_has_time_to_drain_and_to_finish_what_is_in_flight() -> None:
    spec = pod_spec(load(MANIFESTS / "base/deployment.yaml"))
    variables = {variable["name"]: variable.get("value", "") for variable in spec["containers"][0]["env"]}
    deadline = next(option.default for option in serve.params if option.name == "deadline")
    drain = float(variables["HELLO_DRAIN"])
    assert drain >= 5
    assert isinstance(deadline, int)
    assert spec["terminationGracePeriodSeconds"] >= drain + deadline + LINGERING + LEAVE_TIMEOUT


@each(OBJECTS)
def test_a_field_reference_has_its_version_so_that_a_server_side_apply_meets_no_conflict(file: Path) -> None:
    text = file.read_text()
    assert len(re.findall("fieldRef:", text)) == len(re.findall("fieldRef:\n +apiVersion: v1\n", text))


def test_the_context_of_the_image_has_the_dockerfile_and_what_it_copies() -> None:
    ignoring, *kept = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if "__pycache__" not in line]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    needed = {f"!{name}" for names in copied for name in names.split()} | {"!Dockerfile"}
    assert ignoring == "*"
    assert needed <= set(kept)


def test_the_image_is_of_this_version_and_of_the_user_that_the_pods_run_as() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    context = pod_spec(load(MANIFESTS / "base/deployment.yaml"))["securityContext"]
    assert f'image.version="{hello.__version__}"' in dockerfile
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in dockerfile


def test_the_counters_user_has_the_rights_that_the_readme_names() -> None:
    _, counting, _ = (COMPONENT / "users.acl").read_text().splitlines()
    documented = counting.replace("user ", "ACL SETUSER ").replace("#PASSWORD_SHA256", ">PASSWORD")
    assert f"    {documented}\n" in (MANIFESTS / "README.md").read_text()


class Pod:
    """The component's Redis, started by its own script, with a directory in place of the pod's file system."""

    def __init__(self, root: Path, password: str) -> None:
        self.root = root
        self.port = free_port()
        self.url = f"redis://hello@127.0.0.1:{self.port}/0"
        for directory in "data", "etc/redis", "run/redis", "run/secrets/redis":
            (root / directory).mkdir(parents=True)
        (root / "run/secrets/redis/password").write_text(password)
        (root / "bin").mkdir()
        (root / "bin/redis-server").symlink_to(REDIS_SERVER)
        for name in "users.acl", "redis.conf", "start.sh":
            (root / "etc/redis" / name).write_text(self._moved((COMPONENT / name).read_text()))
        with (root / "etc/redis/redis.conf").open("a") as configuration:
            configuration.write(f"port {self.port}\nlogfile {root}/log\n")

    def _moved(self, text: str) -> str:
        return re.sub(r"(?<=[ >(])(?=/(data|etc|run)\b)", str(self.root), text).replace("--timeout 20", "--timeout 0")

    def start(self) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PATH": f"{self.root}/bin:{os.environ['PATH']}"}
        command = ["sh", str(self.root / "etc/redis/start.sh")]
        with (self.root / "errors").open("w") as errors:
            return subprocess.Popen(command, stderr=errors, env=environment, start_new_session=True)

    def client(self, username: str | None, password: str | None) -> Redis:
        once = Retry(NoBackoff(), 0)
        return Redis(port=self.port, username=username, password=password, protocol=2, retry=once, driver_info=None)

    async def answers(self) -> bool:
        try:
            async with self.client("probe", "any") as client:
                return bool(await client.ping())
        except RedisError:
            return False


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    pod = Pod(tmp_path, "a password\n")
    async with running(pod):
        yield pod


@asynccontextmanager
async def running(pod: Pod) -> AsyncIterator[None]:
    process = pod.start()
    try:
        await until(pod.answers, "the component's Redis")
        yield
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)


@asynccontextmanager
async def opened(pod: Pod) -> AsyncIterator[RedisStore]:
    store = RedisStore(pod.url, lambda: "a password")
    try:
        yield store
    finally:
        await store.close()


async def test_the_counter_counts_as_its_user_and_redis_knows_the_count_after_a_restart(tmp_path: Path) -> None:
    pod = Pod(tmp_path, "a password\n")
    async with running(pod), opened(pod) as store:
        assert (await store.commit(TRIP)).top == 3
        await store.reset("f", 7)
    async with running(pod), opened(pod) as store:
        assert (await store.read("f", 7)).count == 7


async def test_the_counters_user_may_touch_nothing_else(pod: Pod) -> None:
    async with pod.client("hello", "a password") as client:
        for forbidden in ("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("GET", "other"), ("SHUTDOWN",):
            with pytest.raises(NoPermissionError):
                await client.execute_command(*forbidden)


@pytest.mark.parametrize(
    ("user", "password"), [(None, None), ("default", ""), ("hello", ""), ("hello", "a password\n")]
)
async def test_nobody_comes_in_without_the_password(pod: Pod, user: str | None, password: str | None) -> None:
    with pytest.raises(AuthenticationError):
        async with pod.client(user, password) as client:
            await client.execute_command("GET", "{hello}")


async def test_the_probes_user_may_only_ping(pod: Pod) -> None:
    async with pod.client("probe", "any") as client:
        with pytest.raises(NoPermissionError):
            await client.execute_command("GET", "{hello}")


async def test_a_second_redis_on_the_same_directory_does_not_start(pod: Pod) -> None:
    configuration = pod.root / "etc/redis/redis.conf"
    configuration.write_text(configuration.read_text().replace(f"port {pod.port}", f"port {free_port()}"))
    with pod.start() as second:
        try:
            assert second.wait(PATIENCE) == 1
        finally:
            second.kill()
    assert await pod.answers()


def test_redis_does_not_start_with_an_empty_password(tmp_path: Path) -> None:
    with Pod(tmp_path, "\n").start() as process:
        try:
            assert process.wait(PATIENCE) == 1
        finally:
            process.kill()
    assert (tmp_path / "errors").read_text() == "the Secret redis-password holds an empty password\n"
