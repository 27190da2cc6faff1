"""A real Prometheus, with our rules."""

import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.support.linux import require
from tests.support.processes import free_port, until

EACH_SECOND = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}


class Prometheus:
    """Asks a Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def ask(self, path: str, **parameters: str) -> Any:
        async with aiohttp.request("GET", f"{self.url}/api/v1/{path}", params=parameters) as response:
            return (await response.json())["data"]

    async def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        alerts = (await self.ask("alerts"))["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    async def values(self, query: str) -> list[float]:
        return [float(each["value"][1]) for each in (await self.ask("query", query=query))["result"]]

    async def value(self, query: str) -> float:
        return sum(await self.values(query))

    async def answers(self) -> bool:
        try:
            return bool(await self.values("up"))
        except aiohttp.ClientError:
            return False


def plain_rules(component: Path, directory: Path) -> Path:
    """A component's PrometheusRule as a file for Prometheus, made as manifests/README.md says."""
    file = directory / "rules.yaml"
    plain = ["sed", "-n", "s/^  //; /^groups:/,$p", str(component / "prometheusrule.yaml")]
    file.write_bytes(subprocess.run(plain, check=True, stdout=subprocess.PIPE).stdout)
    return file


def assert_rules_pass(component: Path, directory: Path) -> None:
    """Let promtool judge a component's rules, and run its tests."""
    require("promtool", "--version")
    plain_rules(component, directory)
    shutil.copy(component / "rules_test.yaml", directory)
    for command in ("check", "rules", "rules.yaml"), ("test", "rules", "rules_test.yaml"):
        done = subprocess.run(["promtool", *command], cwd=directory, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@asynccontextmanager
async def prometheus(directory: Path, rules: Path, *targets: dict[str, Any]) -> AsyncIterator[Prometheus]:
    """Let a Prometheus scrape these targets each second; `targets` are its static_configs."""
    require("prometheus", "--version")
    address = f"127.0.0.1:{free_port()}"
    configuration = directory / "prometheus.yaml"
    job = {"job_name": "hello-world/hello-world", "static_configs": targets}
    written = {"global": EACH_SECOND, "rule_files": [str(rules)], "scrape_configs": [job]}
    configuration.write_text(yaml.safe_dump(written))
    command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={directory / 'data'}"]
    command.append(f"--web.listen-address={address}")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            asked = Prometheus(f"http://{address}")
            await until(asked.answers, "Prometheus scrapes")
            yield asked
        finally:
            process.terminate()
