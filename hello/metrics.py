"""Metrics for Prometheus, named by https://prometheus.io/docs/practices/naming/."""

from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Enum,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()

Reason = Literal["busy", "distrusted", "exhausted", "leaving", "prefetch", "unavailable"]
"""Why a visitor is refused."""

STATES = ["starting", "up", "lost", "distrusted"]
VISITORS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10)


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        for collector in ProcessCollector, PlatformCollector, GCCollector:
            collector(registry=registry)
        self.visitors = Counter("hello_visitors", "Visitors counted.", registry=registry)
        self.refused = Counter("hello_refused", "Visitors refused.", ["reason"], registry=registry)
        for reason in get_args(Reason):
            self.refused.labels(reason)  # there from the start, at 0: increase() sees the first one, too
        self.abandoned = Counter(
            "hello_abandoned_numbers", "Numbers counted for visitors who had left.", registry=registry
        )
        self.batch_visitors = Histogram(
            "hello_batch_visitors", "Visitors in one batch.", buckets=VISITORS, registry=registry
        )
        self.commit_seconds = Histogram(
            "hello_commit_duration_seconds",
            "Seconds until the store answered a batch.",
            buckets=SECONDS,
            registry=registry,
        )
        self.retries = Counter("hello_batch_retries", "Batches sent again.", registry=registry)
        self.wipes = Counter("hello_store_wipes", "Times that the store was found empty.", registry=registry)
        self.state = Enum("hello_store_state", "The store, as seen from here.", states=STATES, registry=registry)
        self.watchers = Gauge("hello_watchers", "Clients of this process' live stream.", registry=registry)
        self.last_number = Gauge(
            "hello_last_number", "The highest number that this process knows of.", registry=registry
        )
        self.epoch = Info("hello_epoch", "The epoch of the store.", registry=registry)

    def text(self) -> bytes:
        return generate_latest(self._registry)
