"""What one process knows of its store: which epoch it is in, and the highest number given there."""

import secrets

from hello.stores import (
    LIMIT,
    MEMORY,
    ForgottenError,
    OtherEpochError,
    OutdatedError,
    Range,
    Reading,
    StoreError,
    Trip,
    WipedError,
)


class Belief:
    """The epoch that a process believes in, and its identity there: in another epoch it is another process."""

    def __init__(self, pod: str) -> None:
        self.epoch = ""
        self.seen = 0
        self.changes = 0
        """How often the epoch has changed: it may be the same one again."""
        self._pod = pod
        self._left: set[str] = set()
        self._identify()

    def trip(self, n: int) -> Trip:
        """Make the next trip, for `n` numbers."""
        self._sequence += 1
        return Trip(
            epoch=self.epoch,
            process=self._process,
            sequence=self._sequence,
            answered=self._answered,
            n=n,
            seen=self.seen,
            pod=self._pod,
            new_epoch=secrets.token_hex(4),
        )

    def accept(self, trip: Trip, given: Range) -> bool:
        """Learn from a trip's range; false if its epoch was over already: then nobody may have its numbers."""
        if trip.process == self._process:
            self._answered, self._answered_at = trip.sequence, given.time
            if not self.epoch:
                self._take_up(given.epoch)
        if given.epoch == self.epoch:
            self.seen = max(self.seen, given.top)
        return given.epoch not in self._left

    def refused(self, trip: Trip, error: StoreError) -> None:
        """Learn from a trip that the store did not count."""
        if trip.process != self._process:
            return
        match error:
            case WipedError():
                self._adopt("")
            case OtherEpochError(epoch=epoch):
                self._adopt(epoch)
            case ForgottenError(time=time) if time - self._answered_at < MEMORY:
                self.seen = LIMIT  # not idle long enough to be forgotten: the store lost what it had
            case ForgottenError() | OutdatedError():
                self._identify()

    def read(self, reading: Reading) -> None:
        """Learn from a reading that was sent since the epoch last changed."""
        if reading.epoch != self.epoch:
            self._adopt(reading.epoch)
        self.seen = max(self.seen, reading.count)

    def _adopt(self, epoch: str) -> None:
        if self.epoch:
            self._left.add(self.epoch)
        self._take_up(epoch)
        self._identify()

    def _take_up(self, epoch: str) -> None:
        self.epoch = epoch
        self.changes += 1
        # A store that is back in an epoch it had left went back in time; this makes it distrust itself.
        self.seen = LIMIT if epoch in self._left else 0

    def _identify(self) -> None:
        self._process = secrets.token_hex(16)
        self._sequence = self._answered = self._answered_at = 0
