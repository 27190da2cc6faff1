"""The client session of a process with its store: Raft (Ongaro, 2014), section 6.3."""

import secrets
from dataclasses import replace

from hello.stores import Batch, ForgottenError, OtherEpochError, OutdatedError, Range, Reading, StoreError, WipedError
from hello.stores.rules import is_earlier


class Session:
    """What a process has seen of its store: the latest epoch, and the highest number there.

    In another epoch, and when the store has forgotten it, it starts over under a new id.
    """

    def __init__(self, pod: str) -> None:
        self.epoch = ""
        self.seen = 0
        self.may_begin_epoch = True
        """Whether a batch may begin an epoch, since the store was empty when last heard of, or never heard of."""
        self.changes = 0
        """How often the known epoch has changed."""
        self._pod = pod
        self._sequence = 0
        self._begin()

    @property
    def is_open(self) -> bool:
        """Whether the store has answered a batch, so that it knows the session or knows of its end."""
        return self._answered > 0

    def batch(self, n: int, *, ends: bool = False) -> Batch:
        """Make the next batch, for `n` numbers.

        The first one is for nobody: a store that has forgotten the session could not tell that it was counted.
        """
        self._sequence = self._sequence + 1 if self.is_open else 1
        return Batch(
            epoch=self.epoch,
            client=self._client,
            sequence=self._sequence,
            answered=self._answered,
            n=n if self.is_open else 0,
            seen=self.seen,
            pod=self._pod,
            new_epoch=secrets.token_hex(4) if self.may_begin_epoch else "",
            ends=ends,
        )

    def again(self, batch: Batch) -> Batch | None:
        """A batch as it is sent again, or None if its session is over.

        It tells what readings have seen meanwhile, so that a rollback in between is noticed.
        """
        return replace(batch, seen=self.seen) if batch.client == self._client else None

    def accept(self, batch: Batch, given: Range) -> bool:
        """Learn from a batch's range; false if its epoch is over, so that nobody may have its numbers."""
        if batch.client == self._client:
            if given.epoch != self.epoch:
                self._take_up(given.epoch)
            self.may_begin_epoch = False
            self._answered = given.index
        elif is_earlier(self.epoch, given.epoch):
            self._adopt(given.epoch)  # the batch was sent before a reading told of the epoch in between
        if given.epoch == self.epoch:
            self.seen = max(self.seen, given.top)
        return not is_earlier(given.epoch, self.epoch)

    def rejected(self, batch: Batch, error: StoreError) -> None:
        """Learn from a batch that the store did not count."""
        if batch.client != self._client:
            return
        match error:
            case WipedError():
                self._note_wipe()
            case OtherEpochError(epoch=epoch):
                self._adopt(epoch)
            case ForgottenError() | OutdatedError():
                self._begin()

    def read(self, reading: Reading) -> None:
        """Learn from a reading that began after the epoch last changed."""
        if not reading.epoch:
            self._note_wipe()
        elif reading.epoch != self.epoch:
            self._adopt(reading.epoch)
        if reading.epoch == self.epoch:
            self.seen = max(self.seen, reading.count)

    def _note_wipe(self) -> None:
        if not self.may_begin_epoch:
            self.may_begin_epoch = True
            self.changes += 1
            self._begin()

    def _adopt(self, epoch: str) -> None:
        self._take_up(epoch)
        self.may_begin_epoch = False
        self._begin()

    def _take_up(self, epoch: str) -> None:
        self.epoch = epoch
        self.changes += 1
        self.seen = 0

    def _begin(self) -> None:
        self._client = secrets.token_hex(16)
        self._sequence = self._answered = 0
