"""The store's files: where they lie, and how the one of DuckDB is made and opened.

While DuckDB has the file open, this process never opens it by other means, nor its write-ahead log: closing any
descriptor of either drops DuckDB's lock. What must be copied then is copied by a child process (`copying.py`).
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

SCHEMA_VERSION = 3

_NEVER = "1TB"
_CONFIG: dict[str, Any] = {
    "threads": 1,
    "memory_limit": "1GB",
    "enable_external_access": False,
    # A power cut in the middle of a checkpoint can leave a file that does not open: none without a copy made before it.
    "wal_autocheckpoint": _NEVER,
    "auto_checkpoint_skip_wal_threshold": 10**12,
}


class StoreError(Exception):
    """The file cannot be used; the message says why and what to do."""


class StoreBrokenError(StoreError):
    """The file must be opened anew, and it is not known whether the change is in it."""


@dataclass(frozen=True)
class StoreFiles:
    """A store and what belongs to it, all in the folder of its file."""

    database: Path

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return self.database.parent

    @property
    def wal(self) -> Path:
        """DuckDB's write-ahead log: what was committed since the last checkpoint."""
        return wal_of(self.database)

    @property
    def mark(self) -> Path:
        """The number of the newest event that was committed; see `mark.py`."""
        return self.database.with_suffix(".mark")

    @property
    def lost(self) -> Path:
        """A sentence that says what is missing; it stands until a person has decided how to go on."""
        return self.database.with_suffix(".lost")

    @property
    def before_checkpoint(self) -> Path:
        """The folder with the copy that was made before the last checkpoint."""
        return self.folder / "pre-checkpoint"

    @property
    def unfinished(self) -> Path:
        """There from before a checkpoint until after it; holds the boot in which it began."""
        return self.before_checkpoint / "unfinished"

    @property
    def quarantine(self) -> Path:
        """The folder with damaged files, one folder for each time."""
        return self.folder / "quarantine"

    @property
    def backups(self) -> Path:
        """The folder with a folder for each backup."""
        return self.folder / "backups"

    @property
    def workshop(self) -> Path:
        """The folder where files are mended before they take the place of others."""
        return self.folder / "recovering"


def wal_of(database: Path) -> Path:
    """The write-ahead log that belongs to a DuckDB file."""
    return database.with_name(database.name + ".wal")


def stamp(instant: datetime) -> str:
    """An instant as the name of a folder."""
    return instant.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def new_folder(parent: Path, instant: datetime) -> Path:
    """A folder of its own, named after the instant; made, with mode 0700."""
    parent.mkdir(mode=0o700, exist_ok=True)
    for number in range(1, 1000):
        path = parent / (stamp(instant) if number == 1 else f"{stamp(instant)}-{number}")
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            return path
    raise StoreError(f"{parent} has too many folders of one second; delete some")


def boot() -> str:
    """What the machine calls its running since the last boot: another one means that the power was gone between."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB file that is there, opened for writing.

    Raises:
        duckdb.Error: it does not open.
    """
    db = duckdb.connect(str(path), config=_CONFIG)
    try:
        db.execute("SET TimeZone = 'UTC'").fetchall()
        db.execute("PRAGMA disable_checkpoint_on_shutdown").fetchall()
    except BaseException:
        db.close()
        raise
    return db


def create(path: Path) -> None:
    """Make an empty store under another name and rename it: a kill in the middle of creating a DuckDB file can leave
    one that never opens again.

    Raises:
        duckdb.Error, OSError: it cannot be made.
    """
    making = path.with_name(f".{path.name}.new")
    for leftover in (making, wal_of(making)):
        leftover.unlink(missing_ok=True)
    db = connect(making)
    try:
        db.execute(schema()).fetchall()
        db.execute("INSERT INTO meta VALUES ('schema_version', ?), ('epoch', '0')", [str(SCHEMA_VERSION)]).fetchall()
        db.execute("CHECKPOINT").fetchall()
    finally:
        db.close()
    os.chmod(making, 0o600)
    os.rename(making, path)
    sync_folder(path.parent)


def schema() -> str:
    """The SQL that makes the tables, as this program knows them."""
    return resources.files("nomaflow.engine").joinpath("schema.sql").read_text()


def tables() -> dict[str, str]:
    """Each table's name and the statement that makes it."""
    return {found[1]: found[0] for found in re.finditer(r"CREATE TABLE (\w+) \(.*?\);", schema(), re.DOTALL)}


def copy_file(source: Path, target: Path) -> None:
    """Copy a file that nobody has open, durably, for its owner alone."""
    with source.open("rb") as read, open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as write:
        shutil.copyfileobj(read, write, 1024 * 1024)
        write.flush()
        os.fsync(write.fileno())


def keep(paths: list[Path], folder: Path) -> None:
    """Put files into a folder under their names too, before they are replaced where they are."""
    for path in paths:
        if not path.exists():
            continue
        try:
            os.link(path, folder / path.name)
        except OSError:
            copy_file(path, folder / path.name)
    sync_folder(folder)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make what was made, renamed or deleted in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
