"""Front ends beside the engine: started again when they end, gone when it stops."""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from nomaflow.supervise import FrontEnd, installed_front_ends, keep_running

APPEND = "import os, sys; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')"


async def starts_of(marks: Path, count: int) -> list[int]:
    """The process ids, once there are so many; a process outside has no event to wait for."""
    while True:
        pids = [int(line) for line in marks.read_text().splitlines()] if marks.exists() else []
        if len(pids) >= count:
            return pids
        await trio.sleep(0.02)


async def test_a_front_end_that_ends_is_started_again(tmp_path: Path) -> None:
    """Each end is followed by another start, as another process."""
    marks = tmp_path / "marks"
    front_end = FrontEnd("dashboard", [sys.executable, "-c", APPEND, str(marks)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: keep_running(front_end, {}, first_wait=0.01))
        pids = await starts_of(marks, 3)
        nursery.cancel_scope.cancel()
    assert len(set(pids)) == len(pids)


async def test_a_front_end_ends_with_the_engine(tmp_path: Path) -> None:
    """When the engine stops, the front end is told to end, and is gone then."""
    marks = tmp_path / "marks"
    front_end = FrontEnd("bot", [sys.executable, "-c", APPEND + "; import time; time.sleep(600)", str(marks)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_running, front_end, {})
        (pid,) = await starts_of(marks, 1)
        nursery.cancel_scope.cancel()
    assert not Path(f"/proc/{pid}").exists()


def test_only_what_is_installed_is_started() -> None:
    """A front end whose package is missing, or that is not wanted, is none."""
    assert installed_front_ends("127.0.0.1", dashboard_port=1, simulator_port=2, dashboard=False, bot=False) == []
