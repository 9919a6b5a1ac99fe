"""Backups while the engine works: the store is copied between two checkpoints, and commits go on."""

from __future__ import annotations

import logging
import os
import sys
from datetime import datetime
from functools import partial
from pathlib import Path

import trio

from nomaflow.engine.recorder import Recorder
from nomaflow.engine.store import StoreError, StoreFiles
from nomaflow.engine.store.backup import DAYS_KEPT, WEEKS_KEPT, backups, clear, info, thin_out
from nomaflow.engine.store.copies import Copy
from nomaflow.engine.store.file import new_folder
from nomaflow.errors import NotReadyError
from nomaflow.home import Home
from nomaflow.seams import Seams
from nomaflow.wire import BackupInfo, iso
from nomaflow.worker.pool import ENVIRONMENT

log = logging.getLogger(__name__)


class Backups:
    """The backups of a home whose engine runs."""

    def __init__(self, home: Home, recorder: Recorder, seams: Seams) -> None:
        self._home, self._recorder, self._seams = home, recorder, seams
        self._files = StoreFiles(home.store_file)
        self._one_at_a_time = trio.Lock()

    async def make(self, days: int = DAYS_KEPT, weeks: int = WEEKS_KEPT) -> BackupInfo:
        """Make a backup of the store, the settings and the job files, and read it as a whole; then older ones go.

        It holds what was committed when this was called, or more. Canceled, there is none.

        Args:
            days: of so many days the newest backup is kept, and all of the last day.
            weeks: of so many weeks the newest one is kept.

        Raises:
            NotReadyError: it could not be made.
        """
        async with self._one_at_a_time:
            try:
                made = await self._made()
                gone = await trio.to_thread.run_sync(partial(thin_out, self._files, days=days, weeks=weeks))
            except (StoreError, OSError) as error:
                raise NotReadyError(f"no backup was made: {error}") from None
        log.info("made the backup %s: %d runs", made.name, made.runs)
        for name in gone:
            log.info("deleted the backup %s, since newer ones are kept", name)
        return made

    async def all(self) -> list[BackupInfo]:
        """Those that there are, newest first."""
        return await trio.to_thread.run_sync(backups, self._files)

    async def _made(self) -> BackupInfo:
        created_at = self._seams.now()
        # Taken now, so that no other backup gets its name; what is complete takes the place of an empty folder.
        place = await trio.to_thread.run_sync(new_folder, self._files.backups, created_at)
        making = place.with_name(f"{place.name}.tmp")
        try:
            # Between checkpoints DuckDB only appends to its log.
            async with self._recorder.copying:
                await trio.to_thread.run_sync(_copy, self._files, making)
            await self._complete(making, created_at)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(clear, place, making)
        return await trio.to_thread.run_sync(info, place)

    async def _complete(self, making: Path, created_at: datetime) -> None:
        program = [sys.executable, "-P", "-m", "nomaflow.engine.store.backup"]
        given = [*_absolute(self._home.path, making), iso(created_at)]
        done = await trio.run_process(
            [*program, *given],
            capture_stderr=True,
            check=False,
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            cwd=making,
            start_new_session=True,
        )
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise StoreError(said or f"the process that verifies it ended with {done.returncode}")


def _absolute(*paths: Path) -> list[str]:
    return [str(path.absolute()) for path in paths]


def _copy(files: StoreFiles, making: Path) -> None:
    copy = Copy(files.database, making)
    try:
        copy.take_log()
    except BaseException:
        copy.give_up()
        raise
    copy.done()
