"""A program: what an engine does to its store, with a line for each event that is acknowledged.

python -m tests.faults.power_cut_load FOLDER ROUNDS
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

from nomaflow.engine.change import Change, Happened
from nomaflow.engine.store import Store, checkpoint
from tests.engine.test_store_pruning import add
from tests.engine.world import START

BOOT = "the boot before the power cut"


def say(text: str) -> None:
    """A line that strace sees at once."""
    os.write(1, f"{text}\n".encode())


def main(folder: Path, rounds: int) -> None:
    """Runs, log lines, deletions, checkpoints; a clean stop and a new start in each round."""
    checkpoint.boot = lambda: BOOT  # type: ignore[attr-defined]
    old = START + timedelta(days=1)
    number = 0
    for _ in range(rounds):
        store = Store(folder / "runs.duckdb", lambda: START)
        for _ in range(2):
            for _ in range(6):
                number += 1
                add(store, number, 0)
                say(f"run {number}")
                note(store, number)
            store.sync_mark()
            copy = store.checkpoints.begin()
            assert copy is not None
            note(store, number := number + 1)
            store.finish_checkpoint(copy)
            store.prune(old, old, 2)
        store.close()


def note(store: Store, number: int) -> None:
    """Commit an event that no deletion reaches."""
    happened = Happened(START + timedelta(days=100), "job", "job", reason=f"{number} {'x' * 300}")
    store.commit([Change(events=[happened])], [])
    say(f"note {number}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
