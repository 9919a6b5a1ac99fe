"""Backups: a folder with the store, the job files and a manifest, complete or not there.

    python -m nomaflow.engine.store.backup HOME FOLDER CREATED_AT

is the second half of making one: FOLDER holds a copy of the store. The copy is opened and read as a whole, which is
better done by a process that ends afterwards; the rest is added, and the folder gets its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from nomaflow.engine.store.examination import examine, facts
from nomaflow.engine.store.file import StoreError, StoreFiles, connect, copy_file, new_folder, sync_folder
from nomaflow.home import Home
from nomaflow.seams import utc_now
from nomaflow.wire import BackupInfo, iso

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1

DAYS_KEPT, WEEKS_KEPT = 7, 4
ALL_KEPT = timedelta(days=1)


def complete(home: Home, making: Path, created_at: datetime, now: Callable[[], datetime]) -> BackupInfo:
    """Verify the copy of the store in a folder, add the rest of the home, and give the folder its name: what it is
    called without `.tmp`.

    Raises:
        StoreError: the copy is not whole; the folder is left as it is.
    """
    from importlib import metadata

    files = StoreFiles(making / Home(Path()).store_file.name)
    try:
        db = connect(files.database)
        try:
            rows = examine(db)
            found = facts(db)
            db.execute("CHECKPOINT").fetchall()
        finally:
            db.close()
    except duckdb.Error as error:
        raise StoreError(f"the copy of the store is not whole: {error}") from None
    files.database.chmod(0o600)
    for source in home_files(home):
        target = making / source.relative_to(home.path)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy_file(source, target)
    manifest = {
        "manifest_version": MANIFEST_VERSION,
        "created_at": iso(created_at),
        "verified_at": iso(now()),
        "program": f"nomaflow {metadata.version('nomaflow')} with duckdb {duckdb.__version__}",
        "schema_version": found.schema_version,
        "epoch": found.epoch,
        "seq": found.seq,
        "rows": rows,
        "files": {
            str(path.relative_to(making)): {"size": path.stat().st_size, "sha256": sha256(path)}
            for path in sorted(making.rglob("*"))
            if path.is_file()
        },
    }
    path = making / MANIFEST
    path.write_text(json.dumps(manifest, indent=2) + "\n")
    path.chmod(0o600)
    for folder in (making, *(entry for entry in making.rglob("*") if entry.is_dir())):
        sync_folder(folder)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    done = making.with_suffix("")
    making.rename(done)
    sync_folder(done.parent)
    return info(done)


def make(home: Home, now: Callable[[], datetime]) -> BackupInfo:
    """Make a backup of a home whose engine does not run; its lock must be held. Older ones go that are not to be kept.

    Raises:
        StoreError: there is no store, or it is not whole; there is no backup then.
        OSError: the disk does not take it.
    """
    files = StoreFiles(home.store_file)
    if not files.database.exists():
        raise StoreError(f"{home.path.resolve()} has no run store yet: there is nothing to back up")
    created_at = now()
    place = new_folder(files.backups, created_at)
    making = place.with_name(f"{place.name}.tmp")
    try:
        making.mkdir(mode=0o700)
        for source in (files.database, files.wal):
            if source.exists():
                copy_file(source, making / source.name)
        made = complete(home, making, created_at, now)
    finally:
        clear(place, making)
    thin_out(files)
    return made


def clear(place: Path, making: Path) -> None:
    """Delete what is left of a backup that was not completed."""
    shutil.rmtree(making, ignore_errors=True)
    if not any(place.iterdir()):
        place.rmdir()


def copy_to(made: BackupInfo, folder: Path) -> Path:
    """Copy a backup into another folder, and compare every byte's hash; the folder that it has there.

    Raises:
        StoreError: it is there already, or the copy is another.
        OSError: the disk does not take it.
    """
    target = folder / made.name
    if target.exists():
        raise StoreError(f"{target} is there already")
    making = folder / f".{made.name}.tmp"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(making, ignore_errors=True)
    try:
        for source in sorted(Path(made.path).rglob("*")):
            place = making / source.relative_to(made.path)
            if source.is_file():
                place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                copy_file(source, place)
        check(making)
        making.rename(target)
        sync_folder(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return target


def home_files(home: Home) -> Iterator[Path]:
    """What a backup holds beside the store: the settings, the job files, the Python beside them; no file of secrets."""
    if home.settings_file.is_file():
        yield home.settings_file
    for suffix in ("*.toml", "*.py"):
        for path in sorted(home.jobs_dir.rglob(suffix)):
            hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(home.path).parts)
            if path.is_file() and not path.is_symlink() and not hidden:
                yield path


def info(folder: Path) -> BackupInfo:
    """What the manifest of a backup says.

    Raises:
        StoreError: there is none, or it makes no sense.
    """
    manifest = read_manifest(folder)
    return BackupInfo(
        name=folder.name,
        path=str(folder.resolve()),
        created_at=datetime.fromisoformat(manifest["created_at"]),
        verified_at=datetime.fromisoformat(manifest["verified_at"]),
        size_bytes=sum(file["size"] for file in manifest["files"].values()),
        runs=manifest["rows"]["run"],
        seq=manifest["seq"],
        epoch=manifest["epoch"],
        schema_version=manifest["schema_version"],
        program=manifest["program"],
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a backup.

    Raises:
        StoreError: there is none, or it makes no sense.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        if manifest["manifest_version"] != MANIFEST_VERSION:
            raise StoreError(f"{folder} is a backup of another version of nomaflow")
        return manifest
    except FileNotFoundError:
        raise StoreError(f"{folder} is no backup: it has no {MANIFEST}") from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StoreError(f"{folder} is no backup: its {MANIFEST} cannot be read: {error}") from None


def check(folder: Path) -> dict[str, Any]:
    """The manifest of a backup whose files are all as they were when it was made.

    Raises:
        StoreError: one is missing or another.
    """
    manifest = read_manifest(folder)
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise StoreError(f"the backup {folder} is damaged: {name} is missing")
        if path.stat().st_size != expected["size"] or sha256(path) != expected["sha256"]:
            raise StoreError(f"the backup {folder} is damaged: {name} is not what was written")
    return manifest


def backups(files: StoreFiles) -> list[BackupInfo]:
    """The complete backups, newest first."""
    found = []
    for path in files.backups.glob(f"*/{MANIFEST}"):
        try:
            found.append(info(path.parent))
        except (StoreError, LookupError, ValueError):
            continue
    return sorted(found, key=lambda backup: backup.created_at, reverse=True)


def thin_out(files: StoreFiles, *, days: int = DAYS_KEPT, weeks: int = WEEKS_KEPT) -> list[str]:
    """Delete the backups that are not to be kept; their names."""
    there = backups(files)
    keep = kept([backup.created_at for backup in there], days, weeks)
    gone = [backup for backup in there if backup.created_at not in keep]
    for backup in gone:
        shutil.rmtree(backup.path)
    return [backup.name for backup in gone]


def kept(made: Sequence[datetime], days: int, weeks: int) -> set[datetime]:
    """Which of these are kept: all of the last 24 hours before the newest one, and the newest of each of so many days
    and weeks that have one."""
    if not made:
        return set()
    newest_first = sorted(made, reverse=True)
    keep = {instant for instant in newest_first if newest_first[0] - instant < ALL_KEPT}
    keep |= _newest_of_each(newest_first, [instant.date() for instant in newest_first], days)
    mondays = [instant.date() - timedelta(days=instant.weekday()) for instant in newest_first]
    return keep | _newest_of_each(newest_first, mondays, weeks)


def _newest_of_each(instants: Iterable[datetime], spans: Iterable[date], count: int) -> set[datetime]:
    newest: dict[date, datetime] = {}
    for instant, span in zip(instants, spans, strict=True):
        newest.setdefault(span, instant)
    return set(list(newest.values())[:count])


def sha256(path: Path) -> str:
    """The hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(home: str, making: str, created_at: str) -> int:
    """Complete a backup; 1 and a sentence where it cannot be."""
    try:
        os.nice(10)
        complete(Home(Path(home)), Path(making), datetime.fromisoformat(created_at), utc_now)
    except (StoreError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
