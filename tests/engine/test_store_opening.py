"""A store opens whatever a crash has left; what is missing is said, and what was there is kept."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from nomaflow.engine.rows import step_record
from nomaflow.engine.store import SCHEMA_VERSION, Store, StoreError, StoreFiles, mark
from nomaflow.engine.store.file import boot
from tests.engine.stores import add_events, checkpoint, event, flip, numbers, opened, reasons
from tests.engine.world import START


def stored(folder: Path, *, before: int = 0, after: int = 0) -> StoreFiles:
    """A closed store: events, a checkpoint, events that are in the log only."""
    store = opened(folder)
    add_events(store, before)
    if before:
        checkpoint(store)
    add_events(store, after)
    store.close()
    return store.files


def set_mark(files: StoreFiles, number: int) -> None:
    """As a power cut leaves it: up to a second old."""
    mark.Mark(files.mark, number).close()


def in_quarantine(files: StoreFiles) -> set[str]:
    return {path.name for path in files.quarantine.glob("*/*")}


def test_a_store_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """The file, its log, the mark."""
    files = stored(tmp_path, after=1)
    for path in (files.database, files.wal, files.mark):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_what_was_committed_is_there_again(tmp_path: Path) -> None:
    """From the file and from the log; nothing had to be mended."""
    stored(tmp_path, before=3, after=2)
    store = opened(tmp_path)
    assert (reasons(store), store.seq, store.lost, store.mended) == (numbers(5), 5, None, [])
    store.close()


def test_a_half_made_store_is_made_anew(tmp_path: Path) -> None:
    """A program that was killed while it made its first file; nothing was in it yet."""
    files = StoreFiles(tmp_path / "runs.duckdb")
    files.database.write_bytes(bytes(4096))
    (tmp_path / ".runs.duckdb.new").write_bytes(b"half")
    store = opened(tmp_path)
    assert store.lost is None
    add_events(store, 1)
    store.close()
    assert in_quarantine(files) == {"runs.duckdb"}
    assert not list(tmp_path.glob(".runs*"))


@pytest.mark.parametrize("zeros", [1, 40, 5000])
def test_a_log_with_a_tail_of_zeros_is_cut_there(tmp_path: Path, zeros: int) -> None:
    """A power cut may leave the length of a write without its bytes; that commit was never acknowledged."""
    files = stored(tmp_path, before=3, after=2)
    whole = files.wal.read_bytes()
    store = opened(tmp_path)
    add_events(store, 1)
    store.close()
    torn = files.wal.read_bytes()
    files.wal.write_bytes(torn[: max(len(whole), len(torn) - zeros)].ljust(len(torn), b"\0"))
    set_mark(files, 5)
    store = opened(tmp_path)
    assert store.lost is None
    assert reasons(store) == numbers(5)
    add_events(store, 1)
    store.close()
    store = opened(tmp_path)
    assert len(reasons(store)) == 6
    store.close()


def test_mending_is_on_record(tmp_path: Path) -> None:
    """Each step is an event of the engine."""
    files = stored(tmp_path, before=3, after=2)
    raw = files.wal.read_bytes()
    files.wal.write_bytes(raw[:-40] + bytes(40))
    set_mark(files, 4)
    store = opened(tmp_path)
    told = store._all("SELECT state, who, reason FROM event WHERE kind = 'alert' ORDER BY seq")
    assert {row[:2] for row in told} == {("mended", "engine")}
    assert [row[2] for row in told] == store.mended
    assert any("its write-ahead log was cut at byte" in sentence for sentence in store.mended)
    assert (store.lost, reasons(store)) == (None, numbers(4))
    store.close()


def lost_wal(files: StoreFiles) -> None:
    files.wal.unlink()


def short_wal(files: StoreFiles) -> None:
    files.wal.write_bytes(files.wal.read_bytes()[:-10])


def bad_middle(files: StoreFiles) -> None:
    flip(files.wal, files.wal.stat().st_size // 2)


def empty_wal(files: StoreFiles) -> None:
    files.wal.write_bytes(b"")


def zero_wal(files: StoreFiles) -> None:
    files.wal.write_bytes(bytes(files.wal.stat().st_size))


def foreign_wal(files: StoreFiles) -> None:
    other = stored(files.folder / "other", after=20)
    files.wal.write_bytes(other.wal.read_bytes())
    shutil.rmtree(other.folder)


def older_wal(files: StoreFiles) -> None:
    files.wal.write_bytes((files.before_checkpoint / files.wal.name).read_bytes())


DAMAGE = [lost_wal, short_wal, bad_middle, empty_wal, zero_wal, foreign_wal, older_wal]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_loss_is_noticed(tmp_path: Path, damage: Callable[[StoreFiles], None]) -> None:
    """However well the file opens; what is left is there, and the damaged files are kept as they were."""
    (tmp_path / "other").mkdir()
    files = stored(tmp_path, before=3, after=9)
    damage(files)
    wal = files.wal.read_bytes() if files.wal.exists() else None
    store = opened(tmp_path)
    assert store.lost is not None
    assert "event 12 was committed" in store.lost
    assert "nomaflow restore" in store.lost
    assert "--accept-loss" in store.lost
    left = reasons(store)
    assert 3 <= len(left) < 12
    assert left == numbers(len(left))
    store.close()
    [kept] = files.quarantine.iterdir()
    assert (kept / files.database.name).exists()
    assert not wal or (kept / files.wal.name).read_bytes() == wal


def test_the_undamaged_store_of_that_test_loses_nothing(tmp_path: Path) -> None:
    """So it is the damage that is noticed."""
    stored(tmp_path, before=3, after=9)
    store = opened(tmp_path)
    assert store.lost is None
    store.close()


def test_a_loss_stays_until_it_is_accepted(tmp_path: Path) -> None:
    """The numbers of events go on after the lost ones, and the acceptance is on record."""
    files = stored(tmp_path, before=3, after=9)
    lost_wal(files)
    opened(tmp_path).close()
    store = opened(tmp_path)
    assert store.lost is not None
    assert store.seq == 12
    store.accept_loss("ana")
    assert store.lost is None
    store.close()
    store = opened(tmp_path)
    assert store.lost is None
    assert store.was_restored()
    [(seq, who, reason)] = store._all("SELECT seq, who, reason FROM event WHERE state = 'accepted'")
    assert (seq, who) == (13, "ana")
    assert "event 12 was committed" in reason
    store.close()


def test_a_checkpoint_that_a_power_cut_tore_is_undone(tmp_path: Path) -> None:
    """The copy that was made before it has every commit: none was made since."""
    store = opened(tmp_path)
    add_events(store, 3)
    checkpoint(store)
    add_events(store, 4)
    copy = store.checkpoints.begin()
    assert copy is not None
    copy.give_up()
    store.close()
    files = store.files
    shutil.rmtree(files.before_checkpoint)
    files.before_checkpoint.mkdir()
    shutil.copy(files.database, files.before_checkpoint)
    shutil.copy(files.wal, files.before_checkpoint)
    files.unfinished.write_text("another boot")
    flip(files.database, 13_000)
    store = opened(tmp_path)
    assert (store.lost, reasons(store)) == (None, numbers(7))
    assert not files.unfinished.exists()
    store.close()
    store = opened(tmp_path)
    assert store.mended == []
    store.close()


def test_a_checkpoint_that_a_kill_cut_needs_no_mending(tmp_path: Path) -> None:
    """In the same boot nothing that was written is gone, so DuckDB opens its file by itself."""
    files = stored(tmp_path, before=3, after=2)
    files.unfinished.write_text(boot())
    store = opened(tmp_path)
    assert (store.mended, reasons(store)) == ([], numbers(5))
    assert not files.unfinished.exists()
    store.close()


def test_a_flag_that_outlived_its_checkpoint_loses_nothing(tmp_path: Path) -> None:
    """The copy is older than the mark then, so the file itself is taken."""
    files = stored(tmp_path, before=3, after=2)
    files.unfinished.write_text("another boot")
    store = opened(tmp_path)
    assert (store.lost, reasons(store)) == (None, numbers(5))
    store.close()


def test_a_damaged_file_gives_way_to_the_copy_before_the_last_checkpoint(tmp_path: Path) -> None:
    """What was committed since the checkpoint is lost, and that is said."""
    files = stored(tmp_path, before=3, after=2)
    flip(files.database, 13_000)
    store = opened(tmp_path)
    assert reasons(store) == numbers(3)
    assert store.lost is not None
    assert "the copy from before the last checkpoint" in store.lost
    store.close()


def backup(files: StoreFiles, name: str) -> None:
    """What a verified backup of the store as it is looks like to the one who opens it."""
    folder = files.backups / name
    folder.mkdir(parents=True)
    shutil.copy(files.database, folder)
    shutil.copy(files.wal, folder)
    (folder / "manifest.json").write_text(json.dumps({"seq": 1}))


def test_where_nothing_else_is_left_the_newest_backup_is_taken(tmp_path: Path) -> None:
    """Not one whose making was cut."""
    for number in range(1, 5):
        store = opened(tmp_path)
        add_events(store, 1)
        store.close()
        backup(store.files, f"2026030{number}T000000Z")
    files = StoreFiles(tmp_path / "runs.duckdb")
    (files.backups / "20260304T000000Z" / "manifest.json").write_text("{")
    files.database.unlink()
    store = opened(tmp_path)
    assert reasons(store) == numbers(3)
    assert store.lost is not None
    assert "the backup 20260303T000000Z" in store.lost
    store.close()


def test_a_store_that_is_gone_is_not_made_anew_in_silence(tmp_path: Path) -> None:
    """The mark tells that there was one."""
    files = stored(tmp_path, after=2)
    files.database.unlink()
    store = opened(tmp_path)
    assert reasons(store) == []
    assert store.lost is not None
    store.close()


@pytest.mark.parametrize("step", ["rename", "unlink"])
@pytest.mark.parametrize("damage", [bad_middle, foreign_wal], ids=lambda damage: damage.__name__)
def test_mending_that_is_cut_short_is_done_again(
    tmp_path: Path, damage: Callable[[StoreFiles], None], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second crash between its steps changes nothing."""
    (tmp_path / "other").mkdir()
    files = stored(tmp_path, before=3, after=9)
    damage(files)
    set_mark(files, 3)

    def crash(path: Path, *rest: object, **more: object) -> None:
        if path in (files.wal, files.workshop / "0" / "runs.duckdb"):
            raise KeyboardInterrupt
        real(path, *rest, **more)

    real: Callable[..., None] = getattr(Path, step)
    monkeypatch.setattr(Path, step, crash)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path)
    monkeypatch.undo()
    store = opened(tmp_path)
    left = reasons(store)
    assert store.lost is None
    assert left == numbers(len(left))
    assert len(left) >= 3
    store.close()


def test_a_store_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    """Both versions are named, and nothing is touched."""
    files = stored(tmp_path, after=1)
    with duckdb.connect(str(files.database)) as db:
        db.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    before = files.database.read_bytes()
    with pytest.raises(StoreError, match=f"schema version 99 and this program knows {SCHEMA_VERSION}"):
        opened(tmp_path)
    assert files.database.read_bytes() == before
    assert not files.quarantine.exists()


def test_a_store_that_another_process_has_open_is_left_alone(tmp_path: Path) -> None:
    """That is no damage."""
    files = stored(tmp_path, after=1)
    script = f"import duckdb\ndb = duckdb.connect({str(files.database)!r})\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StoreError, match="lock"):
            opened(tmp_path)
        holder.kill()
    assert not files.quarantine.exists()


def test_a_mark_that_is_torn_says_nothing(tmp_path: Path) -> None:
    """It is no proof of a loss."""
    files = stored(tmp_path, after=2)
    files.mark.write_bytes(files.mark.read_bytes()[:5])
    store = opened(tmp_path)
    assert (store.lost, store.seq) == (None, 2)
    store.close()
    assert mark.read(files.mark) == 2


def test_the_mark_follows_each_commit(tmp_path: Path) -> None:
    """Also where the process is killed before it is synced."""
    store = opened(tmp_path)
    for number in (1, 2, 3):
        store.commit([event("one")], [])
        assert mark.read(store.files.mark) == number
    store.commit([], [(1, 1, START.replace(tzinfo=None), "INFO", None, 0, "log", "a line")])
    assert mark.read(store.files.mark) == 3
    store.close()


def test_what_a_killed_program_left_half_made_is_cleared(tmp_path: Path) -> None:
    """Copies and backups that have not got their name."""
    files = stored(tmp_path, after=1)
    for name in ("pre-checkpoint.tmp", "recovering", "backups/20260301T000000Z.tmp", "backups/20260301T000000Z"):
        (tmp_path / name).mkdir(parents=True)
    opened(tmp_path).close()
    assert not list(tmp_path.glob("*.tmp"))
    assert not list(files.backups.iterdir())
    assert not files.workshop.exists()


def test_the_store_of_version_1_is_brought_up(tmp_path: Path) -> None:
    """With all its runs, findable by their parameters; why a job is off is kept, and so is the old file."""
    schema = Path(__file__).with_name("schema_1.sql").read_text()
    plan = (
        '{"log_level": "INFO", "steps": [{"name": "s", "type": "python", "runs": true, "reason": null, "kwargs": %s}]}'
    )
    kwargs = '{"period": {"value": "2026-01", "origin": "saved"}}'
    files = StoreFiles(tmp_path / "runs.duckdb")
    with duckdb.connect(str(files.database)) as db:
        db.execute(schema)
        db.execute("INSERT INTO meta VALUES ('schema_version', '1'), ('epoch', '7')")
        for number in range(1, 4):
            db.execute(
                "INSERT INTO run SELECT ?, 'job', 'SUCCEEDED', NULL, ?, ?, ?, 'ana', 'web', NULL, NULL, NULL, NULL, "
                "'INFO', 'etag', 1, 1, NULL, NULL, ?, NULL, 7",
                [number, START, START, START, plan % kwargs],
            )
            db.execute(
                "INSERT INTO step_run SELECT ?, 0, 's', 'python', 'FAILED', NULL, 1, '[]', ?, ?, NULL, NULL, ?",
                [number, START, START, '{"type": "ValueError", "message": "no such thing\\nand more"}'],
            )
        for seq, state in enumerate(("disabled", "enabled", "disabled"), 1):
            db.execute(
                "INSERT INTO event VALUES (?, 7, ?, 'job', 'job', NULL, NULL, ?, 'ana', 'broken')", [seq, START, state]
            )
    store = opened(tmp_path)
    texts = store._all("SELECT DISTINCT params, step_ends, problem FROM run")
    assert texts == [("\x1fperiod=2026-01\x1f", "\x1fs=began\x1fs=failed\x1f", "\x1fvalueerror: no such thing\x1f")]
    assert [(pause.job_id, pause.reason, pause.who) for pause in store.pauses()] == [("job", "broken", "ana")]
    assert (store.epoch, store.seq - len(store.mended), store.lost) == (8, 3, None)
    assert f"from schema version 1 to {SCHEMA_VERSION}" in store.mended[0]
    migrated = columns(store)
    store.close()
    [kept] = (tmp_path / "migrated").iterdir()
    with duckdb.connect(str(kept / "runs.duckdb"), read_only=True) as db:
        assert db.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchall() == [("1",)]
    (tmp_path / "new").mkdir()
    store = opened(tmp_path / "new")
    assert migrated == columns(store)
    store.close()


def test_the_store_of_version_2_is_brought_up(tmp_path: Path) -> None:
    """Every row of its runs and steps is there; the tries of a step read as they did."""
    tries = '[{"n": 1, "started_at": "2026-03-01T02:30:00.001Z", "finished_at": "2026-03-01T02:30:01Z"}]'
    files = StoreFiles(tmp_path / "runs.duckdb")
    with duckdb.connect(str(files.database)) as db:
        db.execute(Path(__file__).with_name("schema_2.sql").read_text())
        db.execute("INSERT INTO meta VALUES ('schema_version', '2'), ('epoch', '7')")
        for number in range(1, 4):
            db.execute(
                "INSERT INTO run BY NAME SELECT ? AS id, 'job' AS job_id, 'SUCCEEDED' AS state, ? AS queued_at, "
                "'ana' AS account, 'web' AS via, 'INFO' AS log_level, 'etag' AS etag, 1 AS step_index, "
                "1 AS step_count, '{}' AS plan, 7 AS epoch",
                [number, START],
            )
            db.execute(
                "INSERT INTO step_run SELECT ?, 0, 's', 'python', 'SUCCEEDED', NULL, 1, ?, ?, ?, NULL, NULL, NULL",
                [number, tries, START, START + timedelta(microseconds=1999)],
            )
        runs = db.execute("SELECT * FROM run").fetchall()
    store = opened(tmp_path)
    assert store._all("SELECT * FROM run ORDER BY id") == runs
    assert [len(step_record(row).attempts) for number in range(1, 4) for row in store.steps_of(number)] == [1, 1, 1]
    finished_at = step_record(store.steps_of(2)[0]).finished_at
    assert finished_at is not None
    assert finished_at.microsecond == 1000  # not rounded up: no step ends later than its run
    assert step_record(store.steps_of(2)[0]).attempts[0].started_at == datetime(2026, 3, 1, 2, 30, 0, 1000, UTC)
    migrated = columns(store)
    store.close()
    (tmp_path / "new").mkdir()
    store = opened(tmp_path / "new")
    assert migrated == columns(store)
    store.close()


def columns(store: Store) -> list[tuple[object, ...]]:
    sql = (
        "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() ORDER BY table_name, column_index"
    )
    keys = (
        "SELECT table_name, constraint_text FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY' ORDER BY 1"
    )
    return store._all(sql) + store._all(keys)
