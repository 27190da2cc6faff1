"""What one process knows of its store: the latest epoch, and the highest number given there."""

import secrets

from hello.stores import ForgottenError, OtherEpochError, OutdatedError, Range, Reading, StoreError, Trip, WipedError
from hello.stores.rules import is_earlier


class Belief:
    """The latest epoch that a process has seen, and its identity there: in another epoch it is another process."""

    def __init__(self, pod: str) -> None:
        self.epoch = ""
        self.seen = 0
        self.wiped = True
        """Whether the store was empty when last heard of, or was never heard of: then a trip may begin an epoch."""
        self.changes = 0
        """How often what is known of the epoch has changed."""
        self._pod = pod
        self._identify()

    def trip(self, n: int, *, leaves: bool = False) -> Trip:
        """Make the next trip, for `n` numbers; the last one of a process that leaves."""
        self._sequence += 1
        return Trip(
            epoch=self.epoch,
            process=self._process,
            sequence=self._sequence,
            answered=self._answered,
            n=n,
            seen=self.seen,
            pod=self._pod,
            new_epoch=secrets.token_hex(4) if self.wiped else "",
            leaves=leaves,
        )

    def accept(self, trip: Trip, given: Range) -> bool:
        """Learn from a trip's range; false if its epoch was over already: then nobody may have its numbers."""
        if trip.process == self._process:
            if given.epoch != self.epoch:
                self._take_up(given.epoch)
            self.wiped = False
            self._answered = given.index
        if given.epoch == self.epoch:
            self.seen = max(self.seen, given.top)
        return not is_earlier(given.epoch, self.epoch)

    def refused(self, trip: Trip, error: StoreError) -> None:
        """Learn from a trip that the store did not count."""
        if trip.process != self._process:
            return
        match error:
            case WipedError():
                self._note_wipe()
            case OtherEpochError(epoch=epoch):
                self._adopt(epoch)
            case ForgottenError() | OutdatedError():
                self._identify()

    def read(self, reading: Reading) -> None:
        """Learn from a reading that was sent since the epoch last changed."""
        if not reading.epoch:
            self._note_wipe()
        elif reading.epoch != self.epoch:
            self._adopt(reading.epoch)
        if reading.epoch == self.epoch:
            self.seen = max(self.seen, reading.count)

    def _note_wipe(self) -> None:
        if not self.wiped:
            self.wiped = True
            self.changes += 1
            self._identify()

    def _adopt(self, epoch: str) -> None:
        self._take_up(epoch)
        self.wiped = False
        self._identify()

    def _take_up(self, epoch: str) -> None:
        self.epoch = epoch
        self.changes += 1
        self.seen = 0

    def _identify(self) -> None:
        self._process = secrets.token_hex(16)
        self._sequence = self._answered = 0
