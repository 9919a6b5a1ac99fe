"""Checkpoints: when one is due, the copy that is made before it, and what they leave alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from nomaflow.engine.store import Store
from nomaflow.engine.store.checkpoint import SPARE_BYTES, Checkpoints, Limits
from nomaflow.engine.store.copies import Copy
from nomaflow.engine.store.file import StoreError, StoreFiles
from tests.engine.stores import add_events, checkpoint, numbers, opened, reasons
from tests.engine.test_recorder import recording


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty one."""
    store = opened(tmp_path)
    yield store
    store.close()


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_when_one_is_due(tmp_path: Path) -> None:
    """After some commits when nobody waits, after more in any case, for a long log, after an hour; not for nothing."""
    files, hand = StoreFiles(tmp_path / "runs.duckdb"), Hand()
    limits = Limits(commits=10, commits_at_most=20, wal_bytes=1000, seconds=3600)
    checkpoints = Checkpoints(files, limits, monotonic=hand)
    hand.seconds += 4000
    assert not checkpoints.is_due(quiet=True)
    hand.seconds -= 4000
    checkpoints.commits = 9
    assert not checkpoints.is_due(quiet=True)
    checkpoints.commits = 10
    assert checkpoints.is_due(quiet=True)
    assert not checkpoints.is_due(quiet=False)
    checkpoints.commits = 20
    assert checkpoints.is_due(quiet=False)
    checkpoints.commits = 1
    files.wal.write_bytes(bytes(1000))
    assert checkpoints.is_due(quiet=False)
    files.wal.write_bytes(bytes(999))
    assert not checkpoints.is_due(quiet=False)
    hand.seconds += 3600
    assert checkpoints.is_due(quiet=False)


def test_after_one_all_is_in_the_file(store: Store) -> None:
    """The log begins anew, and the copy beside it holds what was there before, for its owner alone."""
    add_events(store, 30)
    checkpoint(store)
    files = store.files
    assert not files.wal.exists()
    assert store.checkpoints.commits == 0
    assert not files.unfinished.exists()
    names = {path.name: path.stat().st_mode & 0o777 for path in files.before_checkpoint.iterdir()}
    assert names == {"runs.duckdb": 0o600, "runs.duckdb.wal": 0o600}
    with duckdb.connect(str(files.before_checkpoint / "runs.duckdb")) as db:
        assert db.execute("SELECT count(*) FROM event").fetchall() == [(30,)]
    add_events(store, 1)
    assert reasons(store) == numbers(31)


def test_what_is_committed_while_the_file_is_copied_is_in_the_copy(store: Store) -> None:
    """Its log is copied last."""
    add_events(store, 3)
    copy = store.checkpoints.begin()
    assert copy is not None
    add_events(store, 4)
    store.finish_checkpoint(copy)
    with duckdb.connect(str(store.files.before_checkpoint / "runs.duckdb")) as db:
        assert db.execute("SELECT count(*) FROM event").fetchall() == [(7,)]
    assert reasons(store) == numbers(7)


def test_between_two_the_file_is_left_alone(tmp_path: Path) -> None:
    """Commits, deletions and a close only write the log: so the file can be copied meanwhile."""
    store = opened(tmp_path)
    add_events(store, 20)
    checkpoint(store)
    stat = store.files.database.stat()
    add_events(store, 50)
    with store._transaction() as db:
        db.execute("DELETE FROM event WHERE seq < 10").fetchall()
        db.execute("INSERT INTO meta SELECT 'name', 'value' FROM range(100000)").fetchall()
    store.close()
    store = opened(tmp_path)
    add_events(store, 1)
    after = store.files.database.stat()
    assert (stat.st_mtime_ns, stat.st_size) == (after.st_mtime_ns, after.st_size)
    store.close()


def test_a_reader_keeps_what_it_saw(store: Store) -> None:
    """A checkpoint does not wait for readers, nor disturb them."""
    add_events(store, 3)
    with store._connection.cursor() as cursor:
        cursor.execute("BEGIN")
        assert cursor.execute("SELECT count(*) FROM event").fetchall() == [(3,)]
        add_events(store, 2)
        checkpoint(store)
        assert cursor.execute("SELECT count(*) FROM event").fetchall() == [(3,)]
        cursor.execute("COMMIT")
    assert reasons(store) == numbers(5)


def test_without_room_it_waits(tmp_path: Path) -> None:
    """For twice the store's size and some more; the reason can be read, and it is tried again a minute later."""
    files, hand, free = StoreFiles(tmp_path / "runs.duckdb"), Hand(), [0]
    store = opened(tmp_path)
    add_events(store, 1)
    size = files.database.stat().st_size + files.wal.stat().st_size
    free[0] = 2 * size + SPARE_BYTES - 1
    checkpoints = Checkpoints(files, Limits(commits=1), monotonic=hand, free_bytes=lambda: free[0])
    checkpoints.commits = 1
    assert checkpoints.begin() is None
    assert "MB free" in (checkpoints.postponed or "")
    assert not checkpoints.is_due(quiet=True)
    hand.seconds += 60
    assert checkpoints.is_due(quiet=True)
    free[0] += 1
    copy = checkpoints.begin()
    assert copy is not None
    checkpoints.finish(store._connection, copy)
    assert checkpoints.postponed is None
    store.close()


def test_a_copy_that_fails_makes_no_checkpoint(store: Store) -> None:
    """The child was killed; the store goes on, and the copy of the time before stays."""
    add_events(store, 3)
    checkpoint(store)
    add_events(store, 3)
    copy = store.checkpoints.begin()
    assert copy is not None
    os.kill(copy.pid, signal.SIGKILL)
    store.finish_checkpoint(copy)
    assert store.checkpoints.postponed is not None
    assert store.files.wal.exists()
    assert (store.files.before_checkpoint / "runs.duckdb").exists()
    add_events(store, 1)
    assert reasons(store) == numbers(7)


def test_a_copy_that_cannot_be_begun_says_why(tmp_path: Path) -> None:
    """Of what the child says, the last line."""
    with pytest.raises(StoreError, match=r"could not be copied: .*No such file"):
        Copy(tmp_path / "nothing.duckdb", tmp_path / "copy")


def test_a_copy_of_another_file_counts_for_nothing(store: Store) -> None:
    """The store was opened anew meanwhile: its file may have been mended."""
    add_events(store, 3)
    copy = store.checkpoints.begin()
    assert copy is not None
    store.reopen()
    add_events(store, 1)
    store.finish_checkpoint(copy)
    assert not store.files.before_checkpoint.exists()
    assert reasons(store) == numbers(4)


def test_no_copy_loosens_the_lock(store: Store) -> None:
    """A second process is kept out while this one has the store open, whatever was copied."""
    script = f"import duckdb\nduckdb.connect({str(store.path)!r})"
    add_events(store, 3)
    checkpoint(store)
    add_events(store, 3)
    checkpoint(store)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "Could not set lock" in done.stderr
    # As it would be if this process itself had copied it.
    shutil.copy(store.path, store.path.with_name("copy"))
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0


async def test_the_recorder_makes_them_by_itself(tmp_path: Path) -> None:
    """While commits go on."""
    async with recording(tmp_path, limits=Limits(commits=5, commits_at_most=5)) as here:
        for number in range(40):
            await here.recorder.ask(lambda store: add_events(store, 1))
            if number % 10 == 9:
                async with here.recorder.copying:
                    pass
        assert here.store.files.before_checkpoint.exists()
        assert here.store.checkpoints.commits < 40
        assert reasons(here.store) == numbers(40)


async def test_an_engine_that_stops_leaves_little_to_replay(tmp_path: Path) -> None:
    """Where there is more, it makes a checkpoint."""
    async with recording(tmp_path) as here:
        await here.recorder.ask(lambda store: add_events(store, 50))
    assert here.store.files.wal.exists()
    async with recording(tmp_path) as here:
        await here.recorder.ask(lambda store: add_events(store, 150))
    assert not here.store.files.wal.exists()
    store = opened(tmp_path)
    assert reasons(store) == numbers(200)
    store.close()
