"""What can be found out about a store without an engine: each finding one sentence, with how to mend it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import duckdb

from nomaflow.engine.store import mark
from nomaflow.engine.store.backup import backups
from nomaflow.engine.store.checkpoint import SPARE_BYTES, WAL_BYTES
from nomaflow.engine.store.examination import examine, facts
from nomaflow.engine.store.file import SCHEMA_VERSION, StoreError, StoreFiles, connect, copy_file
from nomaflow.home import Home

OLD_BACKUP = timedelta(days=2)

MENDED_SHOWN = 5
"""Of what was done to open the store after a crash, the last steps."""

Level = Literal["well", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. A note is worth knowing; a problem wants something done."""

    subject: str
    level: Level
    message: str


def look_at_files(home: Home, now: Callable[[], datetime]) -> list[Finding]:
    """What the files tell without being opened: also while an engine works."""
    files = StoreFiles(home.store_file)
    return [
        *_modes(home, files),
        *_sizes(files),
        _last_checkpoint(files),
        _newest_backup(files, now()),
        *_kept_aside(files),
        *_loss(files),
    ]


def look_into(home: Home) -> list[Finding]:
    """What is in the store: a copy of it is opened and read as a whole. No engine may run.

    Raises:
        OSError: it cannot be copied.
    """
    files = StoreFiles(home.store_file)
    if not files.database.exists():
        return [Finding("store", "note", "there is none yet; the first start of the engine makes it")]
    place = files.workshop / "doctor" / files.database.name
    shutil.rmtree(place.parent, ignore_errors=True)
    place.parent.mkdir(parents=True, mode=0o700)
    try:
        for path in (files.database, files.wal):
            if path.exists():
                copy_file(path, place.with_name(path.name))
        return list(_examined(files, place))
    finally:
        shutil.rmtree(files.workshop, ignore_errors=True)


def _examined(files: StoreFiles, place: Path) -> Iterator[Finding]:
    try:
        db = connect(place)
    except duckdb.Error as error:
        yield Finding("store", "problem", f"it does not open ({error}); the next start of the engine mends it")
        return
    try:
        found = facts(db)
        yield _version(found.schema_version)
        yield _newest_event(files, found.seq)
        rows = examine(db)
        yield Finding("store", "well", f"all of it can be read: {rows['run']:,} runs, {rows['event']:,} events")
        yield from _unfinished(db)
        yield from _slots(db, rows)
        yield from _mended(db)
    except (duckdb.Error, StoreError) as error:
        yield Finding(
            "store",
            "problem",
            f"it is damaged ({error}); `nomaflow restore BACKUP --replace` puts a backup in its place",
        )
    finally:
        db.close()


def _version(version: int) -> Finding:
    text = f"schema version {version}, DuckDB {duckdb.__version__}"
    if version > SCHEMA_VERSION:
        return Finding("version", "problem", f"{text}; this program knows {SCHEMA_VERSION}: use the one that wrote it")
    if version < SCHEMA_VERSION:
        return Finding("version", "note", f"{text}; the next start of the engine brings it to {SCHEMA_VERSION}")
    return Finding("version", "well", text)


def _newest_event(files: StoreFiles, seq: int) -> Finding:
    marked = mark.read(files.mark)
    if marked is None:
        return Finding("events", "note", f"the newest one is {seq}; there is no mark to compare it with")
    if files.lost.exists():
        return Finding("events", "note", f"the newest one is {seq}, and event {marked} was committed")
    if seq < marked:
        return Finding(
            "events",
            "problem",
            f"the newest one is {seq}, and event {marked} was committed: the next start of the engine looks for the "
            f"rest, and only serves reads if it finds nothing",
        )
    return Finding("events", "well", f"the newest one is {seq}, and none that was committed is missing")


def _unfinished(db: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    sql = "SELECT count(*) FROM run WHERE state IN ('QUEUED', 'RUNNING', 'CANCELING')"
    if count := db.execute(sql).fetchall()[0][0]:
        message = f"{count} have not ended; the next start of the engine goes on with them or ends them"
        yield Finding("runs", "note", message)


def _slots(db: duckdb.DuckDBPyConnection, rows: dict[str, int]) -> Iterator[Finding]:
    if "slot" not in rows:
        return
    sql = "SELECT count(*) FROM slot WHERE state = 'FIRED' AND run_id NOT IN (SELECT id FROM run)"
    if count := db.execute(sql).fetchall()[0][0]:
        message = f"{count} fires have no run; `nomaflow restore BACKUP --replace` goes back to a state that has them"
        yield Finding("slots", "problem", message)
    else:
        yield Finding("slots", "well", f"each of the {rows['slot']:,} is there once, and every fire has its run")


def _mended(db: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    sql = (
        "SELECT happened_at, reason FROM event WHERE kind = 'alert' AND state = 'mended' "
        f"ORDER BY seq DESC LIMIT {MENDED_SHOWN}"
    )
    for happened_at, reason in reversed(db.execute(sql).fetchall()):
        yield Finding("mended", "note", f"{happened_at:%Y-%m-%d %H:%M} UTC: {reason}")


def _modes(home: Home, files: StoreFiles) -> Iterator[Finding]:
    private = [home.state_dir, files.database, files.wal, files.mark, home.admin_token_file]
    open_ones = [path for path in private if path.exists() and path.stat().st_mode & 0o077]
    for path in open_ones:
        mode = "700" if path.is_dir() else "600"
        yield Finding("modes", "problem", f"others on this machine may read {path}; run `chmod {mode} {path}`")
    if not open_ones:
        yield Finding("modes", "well", "only the owner may read the store and the token")


def _sizes(files: StoreFiles) -> Iterator[Finding]:
    sizes = [path.stat().st_size if path.exists() else 0 for path in (files.database, files.wal)]
    free = shutil.disk_usage(files.folder).free
    needed = 2 * sum(sizes) + SPARE_BYTES
    text = f"{_megabytes(free)} are free, and {_megabytes(needed)} are needed for a checkpoint or a backup"
    yield Finding("disk", "well", text) if free >= needed else Finding("disk", "problem", f"only {text}: make room")
    text = f"the store has {_megabytes(sizes[0])}, its write-ahead log {_megabytes(sizes[1])}"
    if sizes[1] <= 2 * WAL_BYTES:
        yield Finding("size", "well", text)
    else:
        yield Finding("size", "problem", f"{text}: no checkpoint could be made; the engine's log says why")


def _last_checkpoint(files: StoreFiles) -> Finding:
    if not files.before_checkpoint.exists():
        return Finding("checkpoint", "note", "none was made yet")
    if files.unfinished.exists():
        return Finding("checkpoint", "note", "one has not ended; the next start of the engine sorts it out")
    made_at = datetime.fromtimestamp(files.before_checkpoint.stat().st_mtime, UTC)
    return Finding("checkpoint", "well", f"the last one was made at {made_at:%Y-%m-%d %H:%M} UTC")


def _newest_backup(files: StoreFiles, now: datetime) -> Finding:
    newest = next(iter(backups(files)), None)
    if newest is None:
        return Finding("backup", "note", "there is none; `nomaflow backup` makes one")
    text = f"the newest one, {newest.name}, was verified at {newest.verified_at:%Y-%m-%d %H:%M} UTC"
    if now - newest.created_at > OLD_BACKUP:
        return Finding(
            "backup", "note", f"{text}, {(now - newest.created_at).days} days ago; `nomaflow backup` makes one"
        )
    return Finding("backup", "well", text)


def _kept_aside(files: StoreFiles) -> Iterator[Finding]:
    for folder in (files.quarantine, files.folder / "migrated"):
        if kept := [path for path in folder.rglob("*") if path.is_file()]:
            size = _megabytes(sum(path.stat().st_size for path in kept))
            message = f"{folder} holds {len(kept)} files of {size}; delete them when nobody needs them"
            yield Finding(folder.name, "note", message)


def _loss(files: StoreFiles) -> Iterator[Finding]:
    if files.lost.exists():
        yield Finding("loss", "problem", files.lost.read_text().strip())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
