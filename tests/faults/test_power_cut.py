"""A power cut at any moment costs nothing that was acknowledged, and the store opens afterwards.

A program commits, checkpoints, deletes and stops under strace. Its calls are made again on a model of a disk; after
some of them the power goes, and what may be on the disk then is opened. `POWER_CUT_POINTS` says after how many.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from nomaflow.engine.store import Store
from tests.engine.stores import event
from tests.engine.world import START
from tests.faults.disk_model import VARIATIONS, Folder, write_out
from tests.faults.system_calls import Call, Replay, traced

POINTS = int(os.environ.get("POWER_CUT_POINTS", "16"))
ROOT = Path(__file__).parents[2]

# What the engine only does in its first moments, or in the dangerous ones, is always among the points.
ALWAYS = ("rename", "unlink", "mkdir")
DANGEROUS = ("pwrite64 runs.duckdb", "pwrite64 .runs.duckdb.new")


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Call]]:
    """The folder of the store, and what was done there."""
    base = tmp_path_factory.mktemp("power")
    store = base / "store"
    store.mkdir()
    command = [sys.executable, "-m", "tests.faults.power_cut_load", str(store), "2"]
    return store, list(traced(command, base / "calls", ROOT))


def moments(store: Path, calls: list[Call]) -> Iterator[tuple[int, str, Replay]]:
    """Each call to a file of the store that changes something, after it was made."""
    replay = Replay(store)
    for number, call in enumerate(calls):
        done = replay.do(call)
        if done is not None and not done.startswith("openat"):
            yield number, done, replay


def acknowledged(replay: Replay, what: str) -> int:
    """The last one that the program told of."""
    numbers = [int(line.split()[1]) for line in replay.said if re.fullmatch(rf"{what} \d+", line)]
    return numbers[-1] if numbers else 0


def test_the_model_does_what_the_disk_did(calls: tuple[Path, list[Call]]) -> None:
    """Without a power cut it holds the same files."""
    store, made = calls
    replay = Replay(store)
    for call in made:
        replay.do(call)

    def compare(folder: Folder, path: Path) -> None:
        assert set(folder.now) == {entry.name for entry in path.iterdir()}
        for name, found in folder.now.items():
            if isinstance(found, Folder):
                compare(found, path / name)
            else:
                assert bytes(found.now) == (path / name).read_bytes(), path / name

    compare(replay.disk.root, store)
    assert acknowledged(replay, "run") > 20


@pytest.mark.limit(40 + 5 * POINTS)
def test_a_power_cut_loses_nothing(calls: tuple[Path, list[Call]], tmp_path: Path) -> None:
    """Whatever part of what was not synced is on the disk."""
    store, made = calls
    draw = random.Random(1)
    chosen = points([(number, done) for number, done, _ in moments(store, made)], draw)
    opened = 0
    for number, done, replay in moments(store, made):
        if number not in chosen:
            continue
        for variation in VARIATIONS:
            place = tmp_path / "store"
            write_out(replay.disk, place, variation, random.Random(f"{number} {variation}"))
            try:
                check(place, acknowledged(replay, "run"), acknowledged(replay, "note"), again=opened % 5 == 0)
            except Exception as error:
                shutil.copytree(place, tmp_path / "failed", dirs_exist_ok=True)
                error.add_note(f"power cut after call {number} ({done}), with {variation}")
                raise
            shutil.rmtree(place)
            opened += 1
    assert opened >= POINTS * len(VARIATIONS)


def points(done: list[tuple[int, str]], draw: random.Random) -> set[int]:
    """At which calls the power goes: half of them in the middle of what is dangerous."""
    dangerous = [number for number, what in done if what in DANGEROUS]
    rare = [number for number, what in done if what.startswith(ALWAYS)]
    numbers = [number for number, _ in done]
    chosen = set(draw.sample(dangerous, min(len(dangerous), POINTS // 2)))
    chosen |= set(draw.sample(rare, min(len(rare), POINTS // 4)))
    rest = [number for number in numbers if number not in chosen]
    return chosen | set(draw.sample(rest, min(len(rest), POINTS - len(chosen))))


def check(place: Path, runs: int, notes: int, *, again: bool) -> None:
    """The store opens, has what was acknowledged, and only whole commits."""
    store = Store(place / "runs.duckdb", lambda: START)
    try:
        assert store.lost is None
        found = [
            int(row[0].split()[0]) for row in store._all("SELECT reason FROM event WHERE kind = 'job' ORDER BY seq")
        ]
        assert found == list(range(1, len(found) + 1))
        assert len(found) >= notes
        numbers = [row[0] for row in store._all("SELECT id FROM run ORDER BY id")]
        assert (numbers[-1] if numbers else 0) >= runs
        for table in ("step_run", "log_line", "slot"):
            assert [row[0] for row in store._all(f"SELECT run_id FROM {table} ORDER BY run_id")] == numbers, table
        if not again:
            return
        store.commit([event("after the cut")], [])
        store.close()
        store = Store(place / "runs.duckdb", lambda: START)
        assert store._all("SELECT count(*) FROM event WHERE reason = 'after the cut'") == [(1,)]
    finally:
        store.close()


def test_without_the_copy_a_power_cut_can_be_the_end(calls: tuple[Path, list[Call]], tmp_path: Path) -> None:
    """DuckDB alone does not open what some power cuts leave: so the model is no kinder than a disk."""
    store, made = calls
    refused = 0
    for number, done, replay in moments(store, made):
        if done != "pwrite64 runs.duckdb":
            continue
        place = tmp_path / str(number)
        write_out(replay.disk, place, "some pages, all names", random.Random(number))
        try:
            duckdb.connect(str(place / "runs.duckdb")).close()
        except duckdb.Error:
            refused += 1
            check(place, acknowledged(replay, "run"), acknowledged(replay, "note"), again=True)
        shutil.rmtree(place)
        if refused == 3:
            return
    raise AssertionError(f"DuckDB opened all but {refused}")
