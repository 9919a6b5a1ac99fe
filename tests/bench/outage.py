"""What an engine does that comes back after a month: every fire of 500 schedules is decided, one of each happens."""

from __future__ import annotations

import http.client
import json
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import duckdb

from tests.bench.calendar import MONTH, mixed_jobs
from tests.bench.runs import SETTINGS, SQL
from tests.servers.engine import Child, engine

PROBE_SECONDS = 0.02


@dataclass(frozen=True)
class Return:
    """Seconds from a green `/readyz` until the last of so many runs was accepted, and until it had ended; the longest
    answer of `/healthz` meanwhile; so many slots were decided."""

    runs: int
    slots: int
    accepted_seconds: float
    ended_seconds: float
    longest_answer_seconds: float


def back_after_a_month() -> Return:
    """Measure it on a home of its own, whose cursors are put back by a month while no engine runs."""
    with tempfile.TemporaryDirectory(prefix="nomaflow-bench-") as folder:
        home = Path(folder)
        _make(home)
        with engine(home):
            pass
        store = home / ".nomaflow" / "runs.duckdb"
        with duckdb.connect(str(store)) as db:
            db.execute("UPDATE schedule SET cursor = cursor - INTERVAL 30 DAY").fetchall()
        now = datetime.now(UTC)
        runs = sum(next(iter(cron.fires(now - MONTH, now)), None) is not None for cron in mixed_jobs())
        with engine(home) as child:
            accepted, ended, longest = _watch(child, runs)
        with duckdb.connect(str(store), read_only=True) as db:
            found = db.execute("SELECT sum(count) FROM slot").fetchone()
    assert found is not None
    return Return(runs, int(found[0]), accepted, ended, longest)


def _make(home: Path) -> None:
    (home / "jobs").mkdir()
    (home / "nomaflow.toml").write_text(SETTINGS)
    for number, cron in enumerate(mixed_jobs()):
        schedule = f'cron = "{cron.text}"\ntimezone = "{cron.timezone}"\ncatchup_window = "60d"\n'
        (home / "jobs" / f"job-{number:03}.toml").write_text(f"[[schedules]]\n{schedule}{SQL}")


def _watch(child: Child, runs: int) -> tuple[float, float, float]:
    """Poll the list of runs: an event stream might be opened too late for the first ones."""
    begun, is_over, longest = time.monotonic(), threading.Event(), [0.0]
    probe = threading.Thread(target=_probe, args=(child.url, is_over, longest))
    probe.start()
    accepted = None
    try:
        while True:
            page = child.request("GET", "/runs?limit=500")["items"]
            if accepted is None and len(page) >= min(runs, 500):
                accepted = time.monotonic() - begun
            if accepted is not None and all(run["finished_at"] for run in page):
                return accepted, time.monotonic() - begun, longest[0]
            time.sleep(0.25)
    finally:
        is_over.set()
        probe.join()


def _probe(url: str, is_over: threading.Event, longest: list[float]) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    while not is_over.wait(PROBE_SECONDS):
        begun = time.monotonic()
        connection.request("GET", "/healthz")
        json.loads(connection.getresponse().read())
        longest[0] = max(longest[0], time.monotonic() - begun)
    connection.close()
