"""A program: a recorder on a disk that is full for a while, as a limit on the size of files makes it look.

    python -m tests.faults.full_disk FOLDER

It writes what came of it as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import trio

from nomaflow.engine.feed import Feed
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.store import Store
from nomaflow.errors import NotReadyError
from tests.engine.stores import event, reasons


def full(size: int | None) -> None:
    """Let no file grow beyond a size, or let them grow again."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


async def main(folder: Path) -> dict[str, Any]:
    """Fill, free, go on."""
    store = Store(folder / "runs.duckdb")
    recorder = Recorder(store, Feed(store.epoch, store.seq))
    found: dict[str, Any] = {"acknowledged": [], "refused": [], "errors": []}

    async def record(reason: str) -> None:
        try:
            await recorder.record(event(reason))
            found["acknowledged"].append(reason)
        except NotReadyError as error:
            found["refused"].append(reason)
            found["errors"].append(str(error))

    async def well() -> None:
        with trio.fail_after(20):
            for _ in iter(lambda: recorder.failed, None):
                await trio.sleep(0.02)

    async with trio.open_nursery() as nursery:
        await nursery.start(recorder.run)
        for number in range(20):
            await record(f"before {number}")
        full(store.files.wal.stat().st_size + 300)
        for number in range(10):
            await record(f"no room {number}")
        found["failed"] = recorder.failed
        full(None)
        await well()
        await record("room again")
        # A checkpoint that meets a full disk breaks the whole database.
        copy = store.checkpoints.begin()
        assert copy is not None
        full(12_288)
        try:
            await recorder.ask(lambda store: store.finish_checkpoint(copy))
        except Exception as error:
            found["checkpoint"] = f"{type(error).__name__}: {error}"
        full(None)
        await record("after the checkpoint")
        await well()
        found["read"] = len(await trio.to_thread.run_sync(reasons, store))
        recorder.close()
    store.close()
    store = Store(folder / "runs.duckdb")
    found |= {"stored": reasons(store), "lost": store.lost}
    store.close()
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(trio.run(main, Path(sys.argv[1]))))
