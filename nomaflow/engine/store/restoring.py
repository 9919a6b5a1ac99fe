"""Putting a backup in the place of a store."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from nomaflow.engine.store.backup import backups, check, home_files
from nomaflow.engine.store.examination import examine, facts
from nomaflow.engine.store.file import (
    SCHEMA_VERSION,
    StoreError,
    StoreFiles,
    copy_file,
    keep,
    new_folder,
    sync_folder,
)
from nomaflow.engine.store.mark import Mark
from nomaflow.engine.store.opening import change, mark_restored, replace
from nomaflow.home import Home

EPOCHS_BEYOND = 1000
"""An engine on a restored store must not begin an epoch that one on the lost store had: followers would take its events
for those that they have."""


@dataclass(frozen=True)
class Restored:
    """What was done. `kept_in` holds what was there before, also the newer `backups_aside`; `written` files of the home
    were missing, `other` ones are not as they were in the backup and were left alone."""

    runs: int
    seq: int
    kept_in: Path | None
    backups_aside: list[str]
    written: list[str]
    other: list[str]


def check_restorable(backup: Path) -> None:
    """See that a backup is whole and of a version that this program knows.

    Raises:
        StoreError: it is not.
    """
    manifest = check(backup)
    if manifest["schema_version"] > SCHEMA_VERSION:
        raise StoreError(
            f"the backup has schema version {manifest['schema_version']} and this program knows {SCHEMA_VERSION}; "
            f"restore it with the program that wrote it, or a newer one"
        )


def restore(home: Home, backup: Path, now: Callable[[], datetime], *, may_replace: bool) -> Restored:
    """Put a backup in place. The home's lock must be held.

    The store is marked, so that the next engine fires nothing for the time between; nobody is signed in any more. Files
    of the home are written where they are missing, never over others.

    Args:
        home: where to; its state folder is made.
        backup: the folder of the backup.
        now: the clock.
        may_replace: whether a store that is there may go into the quarantine.

    Raises:
        StoreError: the backup is damaged, or there is a store; nothing was changed.
    """
    check_restorable(backup)
    home.make_state_dir()
    files = StoreFiles(home.store_file)
    if files.database.exists() and not may_replace:
        raise StoreError(
            f"{home.path.resolve()} has a run store already; "
            f"with --replace it goes into the quarantine, or name another home"
        )
    made = files.workshop / "restored" / files.database.name
    shutil.rmtree(made.parent, ignore_errors=True)
    made.parent.mkdir(parents=True, mode=0o700)
    try:
        copy_file(backup / files.database.name, made)
        runs, seq = _read_and_marked(made, now())
    except duckdb.Error as error:
        raise StoreError(f"the backup {backup} does not open: {error}") from None
    kept_in, backups_aside = _set_aside(files, seq, now)
    # Before the store is there: a mark that is too low hides a loss, one that is too high invents one.
    files.mark.unlink(missing_ok=True)
    Mark(files.mark, seq).close()
    replace(files, made, its_own=False)
    files.lost.unlink(missing_ok=True)
    sync_folder(files.folder)
    shutil.rmtree(files.workshop)
    written, other = _home_files(home, backup)
    return Restored(runs, seq, kept_in, backups_aside, written, other)


def _read_and_marked(database: Path, restored_at: datetime) -> tuple[int, int]:
    read: list[tuple[int, int]] = []

    def mark(db: duckdb.DuckDBPyConnection) -> None:
        rows, found = examine(db), facts(db)
        read.append((rows["run"], found.seq))
        db.execute("DELETE FROM session").fetchall()
        epoch = str(found.epoch + EPOCHS_BEYOND)
        db.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", [epoch]).fetchall()
        mark_restored(db, restored_at)

    change(database, mark)
    return read[0]


def _set_aside(files: StoreFiles, seq: int, now: Callable[[], datetime]) -> tuple[Path | None, list[str]]:
    """Keep what is there in the quarantine. So is what a later mending could take for the restored store's: the copy
    from before the last checkpoint, and backups of what happened after event `seq`, whose names are given back."""
    there = [path for path in (files.database, files.wal, files.mark, files.lost) if path.exists()]
    newer = [Path(backup.path) for backup in backups(files) if backup.seq > seq]
    moved = [*([files.before_checkpoint] if files.before_checkpoint.exists() else []), *newer]
    if not there and not moved:
        return None, []
    kept_in = new_folder(files.quarantine, now())
    keep(there, kept_in)
    for folder in moved:
        folder.rename(kept_in / folder.name)
        sync_folder(folder.parent)
    return kept_in, [folder.name for folder in newer]


def _home_files(home: Home, backup: Path) -> tuple[list[str], list[str]]:
    written, other = [], []
    for source in home_files(Home(backup)):
        name = str(source.relative_to(backup))
        target = home.path / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_file(source, target)
            written.append(name)
        elif target.read_bytes() != source.read_bytes():
            other.append(name)
    return written, other
