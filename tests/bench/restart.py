"""How long an engine with a long history takes to be ready again after it was killed in the middle of its work."""

from __future__ import annotations

import http.client
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.old_home import job_ids
from tests.bench.runs import SQL
from tests.servers.engine import BusyError, Child, ChildFailedError

KILLS = 5
EACH_SECOND = 10
"""So many jobs fire each second."""

LOAD_SECONDS = 3
CONNECTIONS = 8


def seconds(home: Path) -> Iterator[float]:
    """From the start of each engine to its green `/readyz`, after the one before it was killed under load."""
    firing = [home / "jobs" / f"each-second-{number}.toml" for number in range(EACH_SECOND)]
    for path in firing:
        path.write_text('[[schedules]]\ncron = "* * * * * *"\n' + SQL)
    child = Child(home, "serve")
    try:
        for _ in range(KILLS):
            _kill_under_load(child)
            child = Child(home, "serve")
            yield child.start_seconds
    finally:
        child.stop()
        for path in firing:
            path.unlink()


def _kill_under_load(child: Child) -> None:
    """Launches one after another over some connections, beside what the schedules do, and then the end."""
    killed = threading.Event()

    def launch() -> None:
        draw = random.Random(threading.get_ident())
        while not killed.is_set():
            try:
                child.request("POST", f"/jobs/{draw.choice(job_ids())}/runs", {})
            except BusyError:
                continue
            except (OSError, http.client.HTTPException, ChildFailedError):
                return

    threads = [threading.Thread(target=launch) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    time.sleep(LOAD_SECONDS)
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()
    killed.set()
    for thread in threads:
        thread.join()
