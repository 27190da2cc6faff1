"""The log that a run writes as it goes, so that one that is killed leaves it."""

from pathlib import Path
from typing import Self

from hello.check.history import Record, write_record


class Log:
    """A file that gets a line for each record, up to the first error, which ends the log but not the run."""

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        """Why the file does not hold all records."""
        self._file = path.open("w", buffering=1, encoding="utf-8")

    def keep(self, record: Record) -> None:
        """Write a record."""
        if self.error is None:
            try:
                write_record(self._file, record)
            except OSError as error:
                self.error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()
        except OSError as error:
            self.error = self.error or error
