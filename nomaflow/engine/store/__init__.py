"""The run store: every SQL statement of ours, synchronous.

One connection writes, from one thread at a time; readers take cursors of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from nomaflow.engine.change import Change, Row
from nomaflow.engine.rows import naive
from nomaflow.engine.store import pruning
from nomaflow.engine.store.connection import Connection
from nomaflow.engine.store.file import SCHEMA_VERSION, StoreError, connect
from nomaflow.engine.store.reading import Reading
from nomaflow.engine.store.searching import Searching
from nomaflow.engine.store.timing import Timing
from nomaflow.engine.store.writing import Writing

__all__ = ["SCHEMA_VERSION", "Store", "StoreError"]


class Store(Reading, Searching, Timing):
    """An open store. `epoch` is one more than at the last start; `seq` is the newest event's number."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = Connection(connect(path))
        self._check_version()
        self.epoch = self._next_epoch()
        self.seq: int = self._one("SELECT coalesce(max(seq), 0) FROM event")[0]
        self._writing = Writing(self._connection)

    def close(self) -> None:
        """Close the file; what was committed is in it."""
        self._writing.close()
        self._connection.close()

    def commit(self, changes: Sequence[Change], log_rows: Sequence[Row]) -> None:
        """Write all of it in one transaction; events are numbered in the order given.

        Raises:
            duckdb.Error: nothing was written.
        """
        self.seq = self._writing.commit(changes, log_rows, epoch=self.epoch, seq=self.seq)

    def probe(self) -> None:
        """Write something that changes nothing, to see whether writing works."""
        self._connection.write("UPDATE meta SET value = value WHERE name = 'epoch'")

    def forget(self, *, keys_before: datetime, sessions_before: datetime) -> None:
        """Delete keys and sessions that no longer count."""
        self._connection.write("DELETE FROM idempotency WHERE created_at < ?", [naive(keys_before)])
        self._connection.write("DELETE FROM session WHERE expires_at < ?", [naive(sessions_before)])

    def prune(self, before: datetime, failed_before: datetime, limit: int) -> int:
        """Delete at most `limit` runs that ended before an instant (FAILED ones: before another), with all that is
        theirs. Never one that has not ended, nor the newest of its job; how many were deleted."""
        return pruning.prune(self._connection, before, failed_before, limit)

    def _check_version(self) -> None:
        found = int(self._one("SELECT value FROM meta WHERE name = 'schema_version'")[0])
        if found != SCHEMA_VERSION:
            self._connection.close()
            raise StoreError(
                f"{self.path} has schema version {found} and this program knows {SCHEMA_VERSION}; "
                f"start it with the program that wrote it"
            )

    def _next_epoch(self) -> int:
        epoch = int(self._one("SELECT value FROM meta WHERE name = 'epoch'")[0]) + 1
        self._connection.write("UPDATE meta SET value = ? WHERE name = 'epoch'", [str(epoch)])
        return epoch
