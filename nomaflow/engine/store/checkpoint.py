"""When the store is checkpointed, and how.

A checkpoint rewrites a page that the file still needs, so a power cut in the middle of it can leave one that does not
open. Therefore DuckDB never begins one by itself, and before ours the file and its log are copied: the file while
commits go on, the log in a pause of some milliseconds.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nomaflow.engine.store.connection import Connection
from nomaflow.engine.store.copies import Copy
from nomaflow.engine.store.file import StoreBrokenError, StoreError, StoreFiles, boot, sync_folder

log = logging.getLogger(__name__)

COMMITS = 1000
"""After so many a checkpoint is due when nobody waits for the writer: a start replays 3,000 commits in a second, where
it has the machine to itself."""

COMMITS_AT_MOST = 2000
WAL_BYTES = 64 * 1024 * 1024
SECONDS = 3600.0

COMMITS_AT_STOP = 100
"""An engine that stops leaves fewer commits than this to be replayed."""

AGAIN_SECONDS = 60.0
SPARE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What makes a checkpoint due."""

    commits: int = COMMITS
    commits_at_most: int = COMMITS_AT_MOST
    wal_bytes: int = WAL_BYTES
    seconds: float = SECONDS


class Checkpoints:
    """The checkpoints of a store. `postponed` says why the one that is due cannot be made.

    Args:
        files: the store.
        limits: when one is due.
        monotonic: a clock for the time between two.
        free_bytes: how much room the disk has.
    """

    def __init__(
        self,
        files: StoreFiles,
        limits: Limits,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        self._files, self._limits, self._monotonic = files, limits, monotonic
        self._free_bytes = free_bytes or (lambda: shutil.disk_usage(files.folder).free)
        self.commits = 0
        self.is_urgent = False
        self._begun: Copy | None = None
        self.postponed: str | None = None
        self._since = self._not_before = monotonic()

    def is_due(self, *, quiet: bool) -> bool:
        """Whether it is time for one; `quiet` says that nobody waits for the writer."""
        if self.commits == 0 or self._monotonic() < self._not_before:
            return False
        limits = self._limits
        return (
            self.is_urgent
            or self.commits >= (limits.commits if quiet else limits.commits_at_most)
            or self.wal_bytes() >= limits.wal_bytes
            or self._monotonic() - self._since >= limits.seconds
        )

    def wal_bytes(self) -> int:
        """How long the write-ahead log is."""
        try:
            return self._files.wal.stat().st_size
        except FileNotFoundError:
            return 0

    def begin(self) -> Copy | None:
        """Copy the file, while commits may go on. None where there is no room, or the copy fails; see `postponed`."""
        files = self._files
        try:
            needed = 2 * (files.database.stat().st_size + self.wal_bytes()) + SPARE_BYTES
            free = self._free_bytes()
            if free < needed:
                raise StoreError(f"the disk has {free // 2**20} MB free, and a checkpoint needs {needed // 2**20} MB")
            folder = files.folder / "pre-checkpoint.tmp"
            shutil.rmtree(folder, ignore_errors=True)
            self._begun = Copy(files.database, folder, boot())
            return self._begun
        except (StoreError, OSError) as error:
            self._postpone(str(error))
            return None

    def finish(self, connection: Connection, copy: Copy) -> None:
        """Copy the log and make the checkpoint; no commit may run meanwhile. Postponed where the copy fails.

        Raises:
            StoreBrokenError: the store must be opened anew; everything that was committed is there.
        """
        files = self._files
        if copy is not self._begun:
            copy.give_up()
            return
        try:
            copy.take_log()
            copy.done()
            self.clear()
            if files.before_checkpoint.exists():
                files.before_checkpoint.rename(self._old)
            copy.folder.rename(files.before_checkpoint)
            sync_folder(files.folder)
        except (StoreError, OSError) as error:
            copy.give_up()
            self._postpone(str(error))
            return
        try:
            connection.checkpoint()
        except StoreBrokenError as error:
            self._postpone(str(error))
            raise
        self.commits, self.is_urgent, self.postponed = 0, False, None
        self._since = self._monotonic()
        try:
            files.unfinished.unlink()
            sync_folder(files.before_checkpoint)
        except OSError as error:
            self.is_urgent = True
            self._postpone(str(error))

    def clear(self) -> None:
        """Delete the copy of the time before, which takes long where it is large."""
        shutil.rmtree(self._old, ignore_errors=True)

    @property
    def _old(self) -> Path:
        return self._files.folder / "pre-checkpoint.tmp.old"

    def store_was_reopened(self) -> None:
        """The file may be another one: a copy that was begun counts for nothing. And what made the store break may have
        kept its log from the disk, so that a checkpoint, which writes everything once more, is urgent."""
        self._begun = None
        self.is_urgent = True

    def _postpone(self, why: str) -> None:
        self.postponed = why
        log.warning("the checkpoint that is due is postponed: %s", why)
        self._not_before = self._monotonic() + AGAIN_SECONDS
