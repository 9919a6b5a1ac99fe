"""The store as its callers know it: opened, written, asked, opened anew after a fatal error, closed."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb

from nomaflow.engine.change import Change, Happened, Row
from nomaflow.engine.rows import naive
from nomaflow.engine.store import pruning
from nomaflow.engine.store.checkpoint import Checkpoints, Limits
from nomaflow.engine.store.connection import Connection
from nomaflow.engine.store.copies import Copy
from nomaflow.engine.store.file import StoreBrokenError, StoreError, StoreFiles, new_folder, sync_folder
from nomaflow.engine.store.mark import Mark
from nomaflow.engine.store.opening import open_store
from nomaflow.engine.store.reading import Reading
from nomaflow.engine.store.searching import Searching
from nomaflow.engine.store.timing import Timing
from nomaflow.engine.store.writing import Proof, Writing, begin
from nomaflow.errors import NotReadyError
from nomaflow.seams import utc_now

log = logging.getLogger(__name__)


class Store(Reading, Searching, Timing):
    """An open store. `epoch` is one more than at the last start; `seq` is the newest event's number.

    `lost` says what committed changes are missing, where some are: nothing is to be started or changed then.
    `mended` tells what was done to open it.

    Args:
        path: the file.
        now: the clock.
        limits: when a checkpoint is due.

    Raises:
        StoreError: it cannot be opened.
    """

    def __init__(self, path: Path, now: Callable[[], datetime] = utc_now, limits: Limits | None = None) -> None:
        self.files = StoreFiles(path)
        self._now = now
        self.checkpoints = Checkpoints(self.files, limits or Limits())
        self._doubt: Proof | None = None
        opened = open_store(self.files, now)
        self.epoch = opened.facts.epoch + 1
        self.seq = max(opened.facts.seq, opened.mark)
        self.mended = opened.done
        self.lost = opened.lost
        try:
            self._mark = Mark(self.files.mark, self.seq)
            self._use(opened.db)
            if self.mended and self.lost is None:
                self.commit([self.telling(self.mended)], [])
        except (OSError, duckdb.Error) as error:
            opened.db.close()
            raise StoreError(f"{path} cannot be written: {error}") from error

    @property
    def path(self) -> Path:
        """The file."""
        return self.files.database

    def close(self) -> None:
        """Close the file; what was committed is in it."""
        self._writing.close()
        self._connection.close()
        self.sync_mark()
        self._mark.close()

    def commit(self, changes: Sequence[Change], log_rows: Sequence[Row]) -> None:
        """Write all of it in one transaction; events are numbered in the order given.

        Raises:
            duckdb.Error: nothing was written.
            StoreBrokenError: the store must be opened anew; `reopen` tells whether it was written.
        """
        self._doubt = proof = Proof.of(changes, log_rows, seq=self.seq, commits=self._commits + 1)
        try:
            with self._transaction() as db:
                self._writing.write(db, changes, log_rows, epoch=self.epoch, seq=self.seq, proof=proof)
        except StoreBrokenError:
            raise
        except BaseException:
            self._doubt = None
            raise
        self._believe(proof)

    def reopen(self) -> bool:
        """Close the file, where that is still needed, and open it anew; whether the last commit is in it.

        Raises:
            StoreError: it cannot be opened yet.
        """
        self._writing.close()
        self._connection.close()
        # DuckDB gives the same broken instance again for as long as anything still refers to it.
        gc.collect()
        opened = open_store(self.files, self._now, seq=self.seq)
        self.mended = opened.done
        self.lost = opened.lost
        try:
            self._use(opened.db)
            is_in = self._doubt is not None and self._doubt.is_in(self._connection)
        except (duckdb.Error, NotReadyError) as error:
            raise StoreBrokenError(str(error)) from error
        if is_in and self._doubt is not None:
            self._believe(self._doubt)
        self.checkpoints.store_was_reopened()
        return is_in

    def probe(self) -> None:
        """Write something that changes nothing, to see whether writing works."""
        with self._transaction() as db:
            db.execute("UPDATE meta SET value = value WHERE name = 'epoch'").fetchall()

    def forget(self, *, keys_before: datetime, sessions_before: datetime) -> None:
        """Delete keys and sessions that no longer count."""
        with self._transaction() as db:
            db.execute("DELETE FROM idempotency WHERE created_at < ?", [naive(keys_before)]).fetchall()
            db.execute("DELETE FROM session WHERE expires_at < ?", [naive(sessions_before)]).fetchall()

    def begin_anew(self) -> None:
        """The file is a backup's: its schedules count from now, and fire for nothing that was before."""
        with self._transaction() as db:
            db.execute("UPDATE schedule SET rule = ''").fetchall()
            db.execute("DELETE FROM meta WHERE name = 'restored_at'").fetchall()

    def prune(self, before: datetime, failed_before: datetime, limit: int) -> int:
        """Delete at most `limit` runs that ended before an instant (FAILED ones: before another), with all that is
        theirs. Never one that has not ended, nor the newest of its job; how many were deleted."""
        with self._transaction() as db:
            return pruning.prune(db, before, failed_before, limit)

    def accept_loss(self, who: str) -> None:
        """Go on with what is there: nothing counts as missing any more. The event says what was lost."""
        if self.lost is None:
            return
        event = Happened(self._now(), "alert", state="accepted", who=who, reason=f"accepted as lost: {self.lost}")
        self.commit([Change(events=[event])], [])
        self.sync_mark()
        self.files.lost.rename(new_folder(self.files.quarantine, self._now()) / self.files.lost.name)
        sync_folder(self.files.folder)
        self.lost = None

    def finish_checkpoint(self, copy: Copy) -> None:
        """Make the checkpoint whose copy was begun with `checkpoints.begin`; no commit may run meanwhile.

        Raises:
            StoreBrokenError: the store must be opened anew; everything that was committed is there.
        """
        self.checkpoints.finish(self._connection, copy)
        self._log_is_new = True

    def sync_mark(self) -> None:
        """Make the high-water mark durable; once a second is often enough."""
        try:
            self._mark.sync()
        except OSError as error:
            log.error("the high-water mark could not be made durable: %s", error)

    def telling(self, sentences: Sequence[str]) -> Change:
        """The change that puts on record what was mended."""
        happened_at = self._now()
        return Change(
            events=[Happened(happened_at, "alert", state="mended", who="engine", reason=s) for s in sentences]
        )

    def _use(self, db: duckdb.DuckDBPyConnection) -> None:
        """Work with a file that was opened: this engine's epoch begins in it, or goes on."""
        self._connection = Connection(db)
        self._log_is_new = True
        self._writing = Writing(db)
        with self._transaction() as db:
            self._commits = begin(db, self.epoch)

    @contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._connection.writing() as db:
            yield db
        self.checkpoints.commits += 1
        if self._log_is_new and self.files.wal.exists():
            # DuckDB makes a file for its log without making its name durable.
            try:
                self.files.wal.chmod(0o600)
                sync_folder(self.files.folder)
            except OSError as error:
                raise StoreBrokenError(f"the folder of the run store cannot be written: {error.strerror}") from error
            self._log_is_new = False

    def _believe(self, proof: Proof) -> None:
        """Take a commit as done: it is on disk."""
        self._doubt = None
        if proof.commits is not None:
            self._commits = proof.commits
        if proof.event is None:
            return
        self.seq = proof.event
        try:
            self._mark.write(self.seq)
        except OSError as error:
            log.error("the high-water mark could not be written: %s", error)
