"""What keeping a store safe costs: the pause of a checkpoint, a backup, the replay at a start, a piece of retention."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from nomaflow.engine.change import Change, Happened
from nomaflow.engine.store import Store
from nomaflow.engine.store.backup import make
from nomaflow.engine.store.checkpoint import COMMITS_AT_MOST
from nomaflow.home import Home
from nomaflow.seams import utc_now
from tests.bench.history import END

CHECKPOINTS = 5
RUNS_A_PIECE = 5000


@dataclass(frozen=True)
class Costs:
    """Seconds, and the size of the store in MB."""

    megabytes: float
    copy_seconds: float
    pause_seconds: list[float]
    replay_seconds: float
    backup_seconds: float
    piece_seconds: float


def costs(home: Path) -> Costs:
    """Measured on a copy of a home's store."""
    with tempfile.TemporaryDirectory(prefix="nomaflow-bench-") as folder:
        copy = Home(Path(folder))
        shutil.copytree(home / ".nomaflow", copy.state_dir)
        store = Store(copy.store_file)
        copies, pauses = [], []
        for _ in range(CHECKPOINTS):
            _commit(store, 500)
            began = time.monotonic()
            begun = store.checkpoints.begin()
            copies.append(time.monotonic() - began)
            assert begun is not None, store.checkpoints.postponed
            pauses.append(_seconds(partial(store.finish_checkpoint, begun)))
            store.checkpoints.clear()
        oldest: datetime = store._one("SELECT min(finished_at) FROM run")[0].replace(tzinfo=UTC)
        before = oldest + (END - oldest) / 50
        piece = _seconds(lambda: _prune(store, before))
        _commit(store, COMMITS_AT_MOST)
        store.close()
        began = time.monotonic()
        store = Store(copy.store_file)
        replay = time.monotonic() - began
        store.close()
        megabytes = copy.store_file.stat().st_size / 1e6
        return Costs(megabytes, max(copies), sorted(pauses), replay, _seconds(lambda: make(copy, utc_now)), piece)


def _commit(store: Store, count: int) -> None:
    for _ in range(count):
        store.commit([Change(events=[Happened(END, "job", "job", state=str(number)) for number in range(5)])], [])


def _prune(store: Store, before: datetime) -> None:
    assert store.prune(before, before, RUNS_A_PIECE) == RUNS_A_PIECE


def _seconds(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began
