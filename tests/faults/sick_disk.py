"""A program: a recorder whose disk fails once, in a call that strace chooses.

    python -m tests.faults.sick_disk FOLDER

It writes what came of it as JSON.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import trio

from nomaflow.engine.feed import Feed
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.store import Store, StoreBrokenError
from nomaflow.errors import NotReadyError
from tests.engine.stores import event

EVENTS = 12


async def main(folder: Path) -> dict[str, Any]:
    """Commits, a checkpoint, more commits."""
    store = Store(folder / "runs.duckdb")
    recorder = Recorder(store, Feed(store.epoch, store.seq))
    acknowledged, refused = [], []

    async def record(reason: str) -> None:
        try:
            await recorder.record(event(reason))
            acknowledged.append(reason)
        except NotReadyError:
            refused.append(reason)

    async with trio.open_nursery() as nursery:
        await nursery.start(recorder.run)
        for number in range(EVENTS):
            await record(f"before {number}")
        async with recorder.copying:
            copy = store.checkpoints.begin()
            assert copy is not None
            with suppress(StoreBrokenError):
                await recorder.ask(partial(Store.finish_checkpoint, copy=copy))
        for number in range(EVENTS):
            await record(f"after {number}")
        recorder.close()
    store.close()
    return {"acknowledged": acknowledged, "refused": refused}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(trio.run(main, Path(sys.argv[1]))))
