"""Opening a store whatever a crash has left, without losing or hiding anything.

What does not open, or has fewer events than the high-water mark says, is mended on copies: its write-ahead log cut
where it is damaged, the copy from before the last checkpoint, the newest backup, an empty store. The first of them that
has every committed event is taken, else the one that has most of them; then a sentence says what is missing, and the
engine only serves reads until a person has decided. What was there before is kept in the quarantine.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb

from nomaflow.engine.store import mark
from nomaflow.engine.store.examination import Facts, examine, facts
from nomaflow.engine.store.file import (
    SCHEMA_VERSION,
    StoreError,
    StoreFiles,
    boot,
    connect,
    copy_file,
    create,
    keep,
    new_folder,
    sync_folder,
    wal_of,
)
from nomaflow.engine.store.migrations import migrate
from nomaflow.wire import iso

log = logging.getLogger(__name__)

_NO_DAMAGE = ("could not set lock", "permission denied", "no space left", "read-only file system", "version number")
"""What an error says that is not the file's fault: nothing is mended then."""

_CUT_AT = re.compile(r"WAL.*byte position (\d+)", re.DOTALL)
_WRONG_WAL = ("WAL does not match", "the WAL checkpoint iteration does not match")


@dataclass
class Opened:
    """An open store. `done` tells, a sentence for each step, what had to be mended; `lost` says what is missing."""

    db: duckdb.DuckDBPyConnection
    facts: Facts
    mark: int
    lost: str | None
    done: list[str]


@dataclass
class Candidate:
    """A way to get a store that opens. `of_now` says that it is made of the files that are there."""

    what: str
    database: Path | None
    of_now: bool = False
    steps: list[str] = field(default_factory=list)


def open_store(
    files: StoreFiles, now: Callable[[], datetime], *, boot_id: str | None = None, seq: int | None = None
) -> Opened:
    """Open the store, made or mended where that is needed. Nobody else may have it open, or this process.

    Args:
        files: where it lies.
        now: the clock.
        boot_id: the machine's present boot.
        seq: the newest event that this process committed, where it had the store open already.

    Raises:
        StoreError: it cannot be opened, and why.
    """
    if not files.folder.is_dir():
        raise StoreError(f"{files.folder} is missing: the run store lies there")
    opening = _Opening(files, now, boot_id or boot(), seq)
    try:
        if seq is None:
            _tidy(files)
        return opening.open()
    except (duckdb.Error, OSError) as error:
        raise StoreError(f"{files.database} cannot be opened as the run store: {error}") from error


class _Opening:
    def __init__(self, files: StoreFiles, now: Callable[[], datetime], boot_id: str, seq: int | None) -> None:
        self._files, self._now, self._boot_id = files, now, boot_id
        self._mark = max(mark.read(files.mark) or 0, seq or 0)
        # A loss that is known already is not looked for again.
        self._needed = 0 if files.lost.exists() else self._mark
        self._done: list[str] = []

    def open(self) -> Opened:
        if self._is_new():
            create(self._files.database)
        db = self._as_it_is()
        if db is None:
            self._recover()
            db = connect(self._files.database)
        found = facts(db)
        if found.schema_version != SCHEMA_VERSION:
            db.close()
            self._migrate(found)
            db = connect(self._files.database)
            found = facts(db)
        lost = self._files.lost.read_text().strip() if self._files.lost.exists() else None
        return Opened(db, found, self._mark, lost, self._done)

    def _is_new(self) -> bool:
        files = self._files
        traces = (files.database, files.wal, files.before_checkpoint, files.lost)
        return self._mark == 0 and not any(path.exists() for path in traces) and not _backups(files)

    def _say(self, sentence: str) -> None:
        log.warning("%s", sentence)
        self._done.append(sentence)

    def _as_it_is(self) -> duckdb.DuckDBPyConnection | None:
        """The files that are there, if nothing is wrong with them. Nothing is written yet."""
        files = self._files
        if self._was_cut():
            self._say("the machine stopped in the middle of a checkpoint")
            return None
        if not files.database.exists():
            self._say(f"{files.database.name} is missing")
            return None
        try:
            db = connect(files.database)
        except duckdb.Error as error:
            _raise_if_not_damaged(error, files)
            self._say(f"{files.database.name} does not open: {error}")
            return None
        try:
            seq = facts(db).seq
        except duckdb.Error as error:
            seq = -1
            self._say(f"{files.database.name} cannot be read: {error}")
        else:
            if seq >= self._needed:
                if files.unfinished.exists():
                    files.unfinished.unlink()
                    sync_folder(files.before_checkpoint)
                return db
            self._say(f"{files.database.name} ends at event {seq}, and event {self._mark} was committed")
        db.close()
        return None

    def _was_cut(self) -> bool:
        try:
            return self._files.unfinished.read_text().strip() != self._boot_id
        except FileNotFoundError:
            return False

    def _recover(self) -> None:
        best: tuple[int, Candidate, Path] | None = None
        for number, candidate in enumerate(self._candidates()):
            place = self._files.workshop / str(number) / self._files.database.name
            try:
                seq = _made(candidate, place)
            except (duckdb.Error, StoreError) as error:
                _raise_if_not_damaged(error, self._files)
                self._say(f"{candidate.what} cannot be used: {error}")
                continue
            if best is None or seq > best[0]:
                best = (seq, candidate, place)
            if seq >= self._needed:
                break
        assert best is not None, "an empty store can always be made"
        self._install(*best)

    def _candidates(self) -> Iterator[Candidate]:
        files = self._files
        copy = files.before_checkpoint / files.database.name
        found = [Candidate("the store as it is", files.database, of_now=True)]
        found.insert(0 if self._was_cut() else 1, Candidate("the copy from before the last checkpoint", copy))
        found += [Candidate(f"the backup {path.parent.name}", path) for path in _backups(files)]
        yield from (candidate for candidate in found if candidate.database and candidate.database.exists())
        yield Candidate("an empty store", None)

    def _install(self, seq: int, candidate: Candidate, made: Path) -> None:
        files = self._files
        kept = new_folder(files.quarantine, self._now())
        keep([files.database, files.wal], kept)
        for step in candidate.steps:
            self._say(step)
        self._say(f"{candidate.what} was put in place; what was there is kept in {kept}")
        if seq < self._needed:
            lost = (
                f"the store ends at event {seq}, and event {self._mark} was committed: what happened between them is "
                f"missing. It is made of {candidate.what}; the damaged files are in {kept}. `nomaflow restore BACKUP "
                f"--replace` puts a backup in its place, `nomaflow doctor --accept-loss` goes on with what is there"
            )
            files.lost.write_text(lost + "\n")
            log.error("%s", lost)
            # What ran since is not known: nothing may be caught up with.
            change(made, lambda db: mark_restored(db, self._now()))
        replace(files, made, its_own=candidate.of_now)
        if files.unfinished.exists():
            files.unfinished.unlink()
            sync_folder(files.before_checkpoint)
        shutil.rmtree(files.workshop)

    def _migrate(self, found: Facts) -> None:
        files = self._files
        if found.schema_version > SCHEMA_VERSION:
            raise StoreError(
                f"{files.database} has schema version {found.schema_version} and this program knows {SCHEMA_VERSION}; "
                f"start it with the program that wrote it, or a newer one"
            )
        place = files.workshop / "migrated" / files.database.name
        _copy(files.database, place)
        db = connect(place)
        try:
            before = examine(db)
            migrate(db, found.schema_version)
            after = examine(db)
            if less := [name for name, count in before.items() if after.get(name, 0) < count]:
                raise StoreError(f"{files.database} cannot be brought to schema version {SCHEMA_VERSION}: {less}")
            db.execute("CHECKPOINT").fetchall()
        finally:
            db.close()
        kept = new_folder(files.folder / "migrated", self._now())
        keep([files.database, files.wal], kept)
        replace(files, place, its_own=True)
        shutil.rmtree(files.workshop)
        self._say(
            f"the store was brought from schema version {found.schema_version} to {SCHEMA_VERSION}; "
            f"the one before is kept in {kept}"
        )


def replace(files: StoreFiles, made: Path, *, its_own: bool) -> None:
    """Put a checkpointed file in the place of the store and its write-ahead log.

    Between the two steps the machine may stop. A log beside a later state of `its_own` file is known as one that does
    not belong to it; beside another file it might be taken for its log, so it goes first.
    """
    made.chmod(0o600)
    if not its_own:
        files.wal.unlink(missing_ok=True)
        sync_folder(files.folder)
    made.rename(files.database)
    sync_folder(files.folder)
    if its_own:
        files.wal.unlink(missing_ok=True)
        sync_folder(files.folder)


def change(database: Path, how: Callable[[duckdb.DuckDBPyConnection], object]) -> None:
    """Change a file that nobody has open; all of it is in the file itself afterwards.

    Raises:
        duckdb.Error: it could not be changed.
    """
    db = connect(database)
    try:
        db.begin()
        how(db)
        db.commit()
        db.execute("CHECKPOINT").fetchall()
    finally:
        db.close()


def mark_restored(db: duckdb.DuckDBPyConnection, restored_at: datetime) -> None:
    """Say in a store that it may lack what happened lately, so that the next engine lets its schedules begin anew."""
    db.execute("DELETE FROM meta WHERE name = 'restored_at'").fetchall()
    db.execute("INSERT INTO meta VALUES ('restored_at', ?)", [iso(restored_at)]).fetchall()


def _made(candidate: Candidate, place: Path) -> int:
    """Make the candidate at a place, as one file without a log; the number of its newest event.

    Raises:
        duckdb.Error, StoreError: it is of no use.
    """
    place.parent.mkdir(parents=True, mode=0o700)
    if candidate.database is None:
        create(place)
        return 0
    _copy(candidate.database, place)
    db = _mended(candidate, place)
    try:
        seq = facts(db).seq
        examine(db)
        # Twice, so that it is later than every state that any log was written for.
        for _ in range(2):
            db.execute("UPDATE meta SET value = value WHERE name = 'epoch'").fetchall()
            db.execute("CHECKPOINT").fetchall()
        return seq
    finally:
        db.close()


def _mended(candidate: Candidate, place: Path) -> duckdb.DuckDBPyConnection:
    """Open a copy; its log is cut at a damaged place, or left out where it belongs to another file."""
    wal = wal_of(place)
    for _ in range(3):
        try:
            return connect(place)
        except duckdb.Error as error:
            if found := _CUT_AT.search(str(error)):
                position = int(found[1])
                size = wal.stat().st_size
                candidate.steps.append(
                    f"its write-ahead log was cut at byte {position} of {size}: the rest makes no sense"
                )
                with wal.open("r+b") as file:
                    file.truncate(position)
            elif any(words in str(error) for words in _WRONG_WAL):
                candidate.steps.append("its write-ahead log was left out: it belongs to another state of the file")
                wal.unlink()
            else:
                raise
    return connect(place)


def _copy(database: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    copy_file(database, place)
    if wal_of(database).exists():
        copy_file(wal_of(database), wal_of(place))


def _backups(files: StoreFiles) -> list[Path]:
    """The stores of the backups that were verified, newest first."""
    found = []
    for manifest in files.backups.glob("*/manifest.json"):
        try:
            verified = json.loads(manifest.read_bytes())["seq"] >= 0
        except (OSError, ValueError, LookupError, TypeError):
            verified = False
        if verified:
            found.append(manifest.with_name(files.database.name))
    return sorted(found, reverse=True)


def _tidy(files: StoreFiles) -> None:
    for path in files.folder.glob(f".{files.database.name}.new*"):
        path.unlink()
    for path in (files.workshop, *files.folder.glob("pre-checkpoint.tmp*"), *files.backups.glob("*.tmp")):
        shutil.rmtree(path, ignore_errors=True)
    for path in files.backups.glob("*"):
        # The place of a backup that was not completed.
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _raise_if_not_damaged(error: Exception, files: StoreFiles) -> None:
    text = str(error)
    if isinstance(error, duckdb.OutOfMemoryException) or any(words in text.lower() for words in _NO_DAMAGE):
        raise StoreError(f"{files.database} cannot be opened as the run store: {text}") from None
