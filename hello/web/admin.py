"""The requests of the cluster."""

from aiohttp.web import BaseRequest, Response
from prometheus_client import CONTENT_TYPE_LATEST

from hello.counting.counter import Counter


async def healthz(_: BaseRequest) -> Response:
    """Say that this process is well, whatever the store does."""
    return Response(text="ok\n")


class Admin:
    """Readiness and metrics."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    async def readyz(self, _: BaseRequest) -> Response:
        """Answer 200 once the store has answered this process: from then on a lost store must not empty the Service."""
        if self._counter.state.reached.is_set():
            return Response(text="ok\n")
        text = ": ".join(filter(None, ("The store has not answered yet", self._counter.state.reason)))
        return Response(status=503, text=f"{text}.\n", headers={"Retry-After": "1"})

    async def metrics(self, _: BaseRequest) -> Response:
        """Answer in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/."""
        return Response(body=self._counter.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
