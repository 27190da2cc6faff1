"""A real Prometheus, with our rules."""

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
