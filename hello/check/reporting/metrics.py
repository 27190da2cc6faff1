"""A canary's metrics for Prometheus, and its health for the kubelet."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from time import monotonic_ns, time

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from hello.check.history import Promise
from hello.check.judging.histogram import bucket, middle
from hello.check.judging.judge import Judge
from hello.check.judging.losses import MINUTE, SECOND
from hello.check.judging.verdict import Verdict
from hello.check.visiting.under_way import UnderWay

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LABELS = ("outcome", "url", "connection")


class Metrics(Collector):
    """The figures of a run so far."""

    def __init__(self, judge: Judge, under_way: UnderWay) -> None:
        self._judge = judge
        self._under_way = under_way

    def collect(self) -> Iterator[Metric]:
        verdict = self._judge.verdict(over=False)
        visits = CounterMetricFamily("hello_check_visits", "Visits by what became of them.", labels=LABELS)
        for values, part in verdict.losses.parts(*LABELS).items():
            visits.add_metric(values, part.made)
        yield visits
        broken = CounterMetricFamily("hello_check_broken_promises", "Proofs of a broken promise.", labels=("promise",))
        findings = verdict.findings
        for promise in Promise:
            count = sum(examples.count for kind, examples in findings.items() if kind.promise is promise)
            broken.add_metric((promise.name.lower(),), count)
        yield broken
        for name, help_, value in (
            ("due", "Visits that were due.", verdict.due),
            ("lost", "Visits that were due and got no number.", verdict.lost),
            ("repeated", "Numbers that pods counted and answered to nobody.", verdict.gaps.repeated),
            ("disrupted_seconds", "Seconds in which a visit was lost or late.", verdict.losses.disrupted),
            ("stood_still_seconds", "Seconds in which the canary did not run.", verdict.losses.stood_still / SECOND),
        ):
            yield CounterMetricFamily(f"hello_check_{name}", help_, value)
        yield _latency(verdict.losses.waits)
        for name, help_, value in (
            ("longest_gap_seconds", "The longest time without an answer in the last minute.", self._gap(verdict)),
            ("last_answer_timestamp_seconds", "When a visit was answered last.", self._last_answer()),
        ):
            yield GaugeMetricFamily(f"hello_check_{name}", help_, value)

    def _gap(self, verdict: Verdict) -> float:
        now = monotonic_ns()
        since = now // SECOND - MINUTE
        gaps = [gap for second, gap in verdict.losses.recent.items() if second >= since]
        going_on = now - max(self._under_way.waiting, self._under_way.answered_last or 0)
        return max(0, going_on, *gaps) / SECOND

    def _last_answer(self) -> float:
        last = self._under_way.answered_last
        return 0 if last is None else time() - (monotonic_ns() - last) / SECOND


def _latency(waits: Counter[int]) -> Metric:
    counts = {
        bound: sum(count for index, count in waits.items() if index <= bucket(int(bound * SECOND))) for bound in BUCKETS
    }
    return HistogramMetricFamily(
        "hello_check_latency_seconds",
        "How long visitors waited for a number, from when they were due.",
        buckets=[*((str(bound), count) for bound, count in counts.items()), ("+Inf", waits.total())],
        sum_value=sum(middle(index) * count for index, count in waits.items()) / SECOND,
    )


@asynccontextmanager
async def serving(metrics: Metrics, port: int) -> AsyncIterator[None]:
    """Serve /metrics and /healthz; OSError if the port is taken."""
    registry = CollectorRegistry()
    registry.register(metrics)

    async def tell(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    application = web.Application()
    application.add_routes([web.get("/metrics", tell), web.get("/healthz", healthz)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()
