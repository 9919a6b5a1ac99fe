"""Backups: complete or not there, verified, restored as they were; what is kept of them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from nomaflow.engine.backups import Backups
from nomaflow.engine.change import Change, SessionRow
from nomaflow.engine.store import StoreError, StoreFiles, mark
from nomaflow.engine.store.backup import backups, check, complete, kept, make, thin_out
from nomaflow.engine.store.restoring import restore
from nomaflow.errors import NotReadyError
from nomaflow.home import Home
from nomaflow.seams import Seams
from tests.engine.stores import add_events, flip, numbers, opened, reasons
from tests.engine.test_recorder import Bench, recording
from tests.engine.world import START


def now() -> datetime:
    return START


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Settings, two jobs, Python beside them, and what does not belong into a backup."""
    home = Home(tmp_path / "home")
    (home.jobs_dir / "lib" / "__pycache__").mkdir(parents=True)
    (home.path / "secrets").mkdir()
    home.make_state_dir()
    for name in ("nomaflow.toml", "jobs/a.toml", "jobs/lib/code.py"):
        (home.path / name).write_text(f"# {name}\n")
    for name in ("secrets/key.toml", "jobs/lib/__pycache__/x.py", "jobs/.hidden.toml", "jobs/data.csv"):
        (home.path / name).write_text("not this")
    return home


@asynccontextmanager
async def backing_up(home: Home, created_at: datetime = START) -> AsyncIterator[tuple[Bench, Backups]]:
    async with recording(home.state_dir) as here:
        yield here, Backups(home, here.recorder, Seams(now=lambda: created_at))


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


async def test_a_backup_holds_the_store_and_the_home_files(home: Home) -> None:
    """Everything that was committed, in one file without a log; readable by the owner alone."""
    async with backing_up(home) as (here, made_by):
        await here.recorder.ask(lambda store: add_events(store, 5))
        made = await made_by.make()
        folder = Path(made.path)
        assert folder == home.state_dir / "backups" / "20260301T023000Z"
        names = {"runs.duckdb", "manifest.json", "nomaflow.toml", "jobs/a.toml", "jobs/lib/code.py"}
        assert files_of(folder) == names
        assert {path.stat().st_mode & 0o077 for path in [folder, *folder.rglob("*")]} == {0}
        assert (made.seq, made.epoch, made.runs, made.created_at) == (5, here.store.epoch, 0, START)
        assert set(check(folder)["files"]) == names - {"manifest.json"}
        assert await made_by.all() == [made]


async def test_commits_go_on_while_it_is_made(home: Home) -> None:
    """Only checkpoints wait."""
    async with backing_up(home) as (here, made_by), trio.open_nursery() as nursery:
        await here.recorder.ask(lambda store: add_events(store, 5))

        async def commit() -> None:
            while True:
                await here.recorder.ask(lambda store: add_events(store, 1))

        nursery.start_soon(commit)
        made = [await made_by.make() for _ in range(3)]
        nursery.cancel_scope.cancel()
    assert len({backup.name for backup in made}) == 3
    assert 5 <= made[0].seq <= made[1].seq <= made[2].seq


async def test_a_backup_that_is_canceled_is_not_there(home: Home) -> None:
    """Nor is anything left of it."""
    async with backing_up(home) as (here, made_by):
        await here.recorder.ask(lambda store: add_events(store, 5))
        (home.state_dir / "backups").mkdir()
        for seconds in (0, 0.02, 0.1, 0.3):
            with trio.move_on_after(seconds):
                await made_by.make()
                pytest.fail("made so fast")
            assert list((home.state_dir / "backups").iterdir()) == []


async def test_a_copy_that_is_not_whole_is_no_backup(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is opened and read before it gets its name."""
    async with backing_up(home) as (here, made_by):
        await here.recorder.ask(lambda store: add_events(store, 5))
        making = home.state_dir / "backups" / "20260301T023000Z.tmp"
        making.mkdir(parents=True)
        (making / "runs.duckdb").write_bytes(b"x" * 5000)
        with pytest.raises(StoreError, match="not whole"):
            complete(home, making, START, now)
        assert backups(here.store.files) == []
        with pytest.raises(NotReadyError, match=r"no backup was made: .* File exists"):
            await made_by.make()


async def restored(home: Home, to: Home, events: int = 5, *, may_replace: bool = False) -> None:
    async with backing_up(home) as (here, made_by):
        await here.recorder.ask(lambda store: add_events(store, events))
        await here.recorder.record(Change(sessions=[SessionRow("s", "ana", "web", "password", START, START)]))
        made = await made_by.make()
    restore(to, Path(made.path), now, may_replace=may_replace)


async def test_a_backup_is_restored_into_an_empty_home(home: Home, tmp_path: Path) -> None:
    """With all its runs and files; nobody is signed in, the store is marked, and the epoch is a new one."""
    to = Home(tmp_path / "new")
    to.path.mkdir()
    await restored(home, to)
    assert files_of(to.path) - files_of(to.state_dir.parent / ".nomaflow") >= {"nomaflow.toml", "jobs/lib/code.py"}
    store = opened(to.state_dir)
    assert (reasons(store), store.lost, store.mended) == (numbers(5), None, [])
    assert store.sessions() == []
    assert store._all("SELECT value FROM meta WHERE name = 'restored_at'") == [("2026-03-01T02:30:00.000Z",)]
    assert store.epoch > 1000
    assert mark.read(store.files.mark) == 5
    store.close()


async def test_a_store_that_is_there_is_replaced_only_when_told(home: Home) -> None:
    """It goes into the quarantine, with the copy from before its last checkpoint; files of the home are left alone."""
    with pytest.raises(StoreError, match="--replace"):
        await restored(home, home)
    store = opened(home.state_dir)
    add_events(store, 10)
    store.close()
    store.files.lost.write_text("something is missing\n")
    (home.jobs_dir / "a.toml").write_text("changed since")
    [made] = backups(store.files)
    newer = make(home, lambda: START + timedelta(hours=1))
    assert newer.seq == 15
    done = restore(home, Path(made.path), now, may_replace=True)
    assert (done.runs, done.seq, done.written, done.other) == (0, 5, [], ["jobs/a.toml"])
    assert done.kept_in is not None
    assert files_of(done.kept_in) >= {"runs.duckdb", "runs.mark", "runs.lost", f"{newer.name}/manifest.json"}
    assert mark.read(done.kept_in / "runs.mark") == 15
    assert backups(store.files) == [made]
    assert (home.jobs_dir / "a.toml").read_text() == "changed since"
    store = opened(home.state_dir)
    assert (reasons(store), store.lost, store.mended) == (numbers(5), None, [])
    store.close()


@pytest.mark.parametrize("name", ["runs.duckdb", "jobs/a.toml"])
async def test_a_damaged_backup_is_refused(home: Home, tmp_path: Path, name: str) -> None:
    """By the hash of each file; what is there stays."""
    async with backing_up(home) as (here, made_by):
        await here.recorder.ask(lambda store: add_events(store, 5))
        made = await made_by.make()
    flip(Path(made.path, name), 5)
    with pytest.raises(StoreError, match=f"{name} is not what was written"):
        restore(home, Path(made.path), now, may_replace=True)
    Path(made.path, name).unlink()
    with pytest.raises(StoreError, match=f"{name} is missing"):
        restore(home, Path(made.path), now, may_replace=True)
    with pytest.raises(StoreError, match="is no backup"):
        restore(home, tmp_path, now, may_replace=True)
    store = opened(home.state_dir)
    assert reasons(store) == numbers(5)
    store.close()


@pytest.mark.parametrize(
    ("ages", "left"),
    [
        ([0], [0]),
        ([0, 1, 2, 3, 23], [0, 1, 2, 3, 23]),
        ([0, 25, 26, 49], [0, 25, 49]),
        ([24 * day for day in range(40)], [24 * day for day in (0, 1, 2, 3, 4, 5, 6, 7, 14, 21)]),
        ([24 * 7 * week for week in range(9)], [24 * 7 * week for week in range(7)]),
    ],
    ids=["one", "one day", "days", "every day", "every week"],
)
def test_what_is_kept(ages: list[int], left: list[int]) -> None:
    """All of the last day, the newest of each of seven days and of four weeks; the newest one in any case.

    The ages are in hours before a Sunday night.
    """
    sunday = datetime(2026, 3, 1, 23, tzinfo=UTC)
    made = [sunday - timedelta(hours=age) for age in ages]
    assert kept(made, 7, 4) == {sunday - timedelta(hours=age) for age in left}


async def test_older_ones_go_when_a_new_one_is_made(home: Home) -> None:
    """Ten daily ones leave those of seven days, and one of a week before."""
    for day in range(10):
        async with backing_up(home, START + timedelta(days=day)) as (here, made_by):
            await here.recorder.ask(lambda store: add_events(store, 1))
            await made_by.make()
    files = StoreFiles(home.store_file)
    assert len(backups(files)) == 8
    assert backups(files)[0].seq == 10
    assert thin_out(files) == []
    assert set(os.listdir(files.backups)) == {backup.name for backup in backups(files)}
