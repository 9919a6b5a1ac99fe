"""How long a page of runs takes over HTTP, in a history of a million runs and five million steps."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from tests.bench import history
from tests.servers.engine import Child, engine

RUNS = 1_000_000
LINES = 10
PAGES = 15

SEARCHES = {
    "any run": "",
    "common": "state:failed",
    "one job": "job:nomasx1-000 -state:succeeded",
    "a common value": "apps_id=10 since:2026-09-01",
    "a value of 17 runs": "apps_id=777",
    "a value of no run": "ticket=INC9999999",
    "a word of errors": "refused",
    "a word of no run": "nowhere",
    "a step": "step:notify",
    "a step of no run": "step:nowhere",
    "long runs": "dur>1h late<1m",
    "a common text of logs": "text:ORA-00942",
    "a text of no log, for each page of it": "text:nowhere",
}


@dataclass(frozen=True)
class Measured:
    """One search: milliseconds of its first page, in the middle and at worst, and how many runs are on it."""

    name: str
    text: str
    p50_ms: float
    worst_ms: float
    found: int


def pages() -> Iterator[Measured]:
    """Measure every search on an engine of its own."""
    with tempfile.TemporaryDirectory(prefix="nomaflow-bench-") as folder:
        home = Path(folder)
        (home / ".nomaflow").mkdir(mode=0o700)
        (home / "jobs").mkdir()
        (home / "nomaflow.toml").write_text(
            '[retention]\ndays = 3650\nfailed_days = 3650\n[engine]\ntimezone = "UTC"\n'
        )
        history.build(home / ".nomaflow" / "runs.duckdb", runs=RUNS, lines=LINES)
        with engine(home) as child:
            for name, text in SEARCHES.items():
                yield _measured(child, name, text)


def _measured(child: Child, name: str, text: str) -> Measured:
    path, found, took = f"/runs?{urlencode({'q': text, 'limit': 50})}", 0, []
    for _ in range(PAGES):
        began = time.perf_counter()
        found = len(child.request("GET", path)["items"])
        took.append((time.perf_counter() - began) * 1000)
    # The first one reads from the disk.
    return Measured(name, text, statistics.median(took[1:]), max(took[1:]), found)
