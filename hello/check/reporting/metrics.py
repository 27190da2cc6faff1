"""What a canary tells Prometheus: /metrics, and /healthz for the kubelet."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from time import monotonic_ns

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hello.check.history import Outcome, Promise, Record
from hello.check.judging.judge import Judge
from hello.check.judging.losses import MINUTE, SECOND
from hello.check.judging.verdict import Verdict
from hello.check.visiting.under_way import UnderWay

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics(Collector):
    """The figures of a run that goes on."""

    def __init__(self, judge: Judge, under_way: UnderWay) -> None:
        self._judge = judge
        self._under_way = under_way
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._visits = Counter(
            "hello_check_visits",
            "Visits by what became of them.",
            ("outcome", "url", "connection"),
            registry=self.registry,
        )
        self._last_answer = Gauge(
            "hello_check_last_answer_timestamp_seconds", "When a visit was answered last.", registry=self.registry
        )
        self._latency = Histogram(
            "hello_check_latency_seconds",
            "How long visitors waited for a number, from when they were due.",
            buckets=BUCKETS,
            registry=self.registry,
        )

    def add(self, record: Record) -> None:
        if record.read or record.outcome is Outcome.STOOD_STILL:
            return
        labels = record.labels
        self._visits.labels(labels.outcome, labels.url, "kept" if labels.kept else "fresh").inc()
        if labels.outcome is Outcome.ANSWERED:
            self._last_answer.set_to_current_time()
            self._latency.observe((record.answered - record.since) / SECOND)

    def collect(self) -> Iterator[Metric]:
        """What the judge found so far."""
        verdict = self._judge.verdict(over=False)
        broken = CounterMetricFamily("hello_check_broken_promises", "Proofs of a broken promise.", labels=("promise",))
        for promise in Promise:
            count = sum(finding.count for finding in verdict.findings if finding.kind.promise is promise)
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
        gap = "The longest time without an answer in the last minute."
        yield GaugeMetricFamily("hello_check_longest_gap_seconds", gap, self._longest_gap(verdict))

    def _longest_gap(self, verdict: Verdict) -> float:
        now = monotonic_ns()
        since = now // SECOND - MINUTE
        gaps = [gap for second, gap in verdict.losses.recent.items() if second >= since]
        going_on = now - max(self._under_way.waiting, self._under_way.answered_last or 0)
        return max(0, going_on, *gaps) / SECOND


@asynccontextmanager
async def serving(metrics: Metrics, port: int) -> AsyncIterator[None]:
    """Serve them on a port; OSError if it cannot be had."""

    async def tell(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

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
