"""The state of the store as this process sees it. Changes are logged."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from hello.counting.session import Session
from hello.metrics import Metrics

REASON_LIMIT = 20
"""The most reasons that are logged until the state changes."""

log = structlog.get_logger()


class StoreState:
    """One of `starting`, `up`, `lost` and `distrusted`, with the reason for the last two."""

    def __init__(self, session: Session, metrics: Metrics) -> None:
        self.name = "starting"
        self.reason = ""
        self.reached = asyncio.Event()
        """Set once the store has answered this process."""
        self._session = session
        self._metrics = metrics
        self._told = {""}
        """The reasons logged since the state changed."""

    def tell(self, event: str, reason: str) -> None:
        """Log a reason once until the state changes. Visitors are not told: a reason names the store's address."""
        if reason not in self._told and len(self._told) < REASON_LIMIT:
            self._told.add(reason)
            log.error(event, error=reason)

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Let the session learn from the store; log a wipe and another epoch."""
        epoch, wiped = self._session.epoch, self._session.may_begin_epoch
        yield
        self.reached.set()
        if self._session.may_begin_epoch and not wiped:
            self._metrics.wipes.inc()
            log.error("store was wiped: a new epoch begins", epoch=epoch)
        if self._session.epoch != epoch:
            if epoch and not wiped:
                log.warning("store is in another epoch", epoch=self._session.epoch, before=epoch)
            self._metrics.epoch.info({"epoch": self._session.epoch})

    def become(self, name: str, reason: str = "") -> None:
        """Note that the store is `up`, `lost` or `distrusted`."""
        self.reason = reason
        if name != "lost":
            self.reached.set()
        if name == self.name:
            self.tell(f"store is still {name}", reason)
            return
        self.name = name
        self._told = {"", reason}
        self._metrics.state.state(name)
        if name == "up":
            log.info("store is up", epoch=self._session.epoch, last=self._session.seen)
        else:
            log.error(f"store is {name}", error=reason)
