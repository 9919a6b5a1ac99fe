"""How long a page of runs takes in a history of a million runs and five million steps: over HTTP, and in the store."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from nomaflow.engine.finding import cursor_number, searched
from nomaflow.engine.query import RunQuery
from nomaflow.engine.store import Store
from nomaflow.engine.store.conditions import Around
from nomaflow.wire import RunState, iso
from tests.bench.history import END
from tests.bench.old_home import job_ids
from tests.bench.runs import percentile
from tests.servers.engine import Child, engine

TIMES = 30

RARE_JOB = job_ids()[-1]

LISTS = {
    "newest": RunQuery(),
    "newest 500": RunQuery(limit=500),
    "of a busy job": RunQuery(job=job_ids()[0]),
    "of a rare job": RunQuery(job=RARE_JOB),
    "of a state": RunQuery(state=RunState.FAILED),
    "of a rare job, of a state": RunQuery(job=RARE_JOB, state=RunState.CANCELED),
    "of a week": RunQuery(since=END - timedelta(days=7)),
    "of a week two months ago": RunQuery(since=END - timedelta(days=67), until=END - timedelta(days=60)),
    "of a rare job, two months ago": RunQuery(job=RARE_JOB, until=END - timedelta(days=60)),
}
DEEP = "in the middle of all"

SEARCHES = {
    "common": "state:failed",
    "one job": "job:nomasx1-000 -state:succeeded",
    "a common value": "apps_id=10 since:2026-09-01",
    "a value of 17 runs": "apps_id=777",
    "a value of no run": "ticket=INC9999999",
    "a word of errors": "refused",
    "a word of no run": "nowhere",
    "a step": "step:notify",
    "a step of no run": "step:nowhere",
    "a step by a pattern": "failed:no*fy",
    "a rare value and a step": "apps_id=777 step:notify",
    "what one leaves out": "-refused failed:index -apps_id=10",
    "a rare job, a word of no run": f"job:{RARE_JOB} nowhere",
    "long runs": "dur>1h late<1m",
    "a common text of logs": "text:ORA-00942",
    "a text of no log, for each page of it": "text:nowhere",
    "the same, of a rare value": "text:nowhere apps_id=777",
}


@dataclass(frozen=True)
class Measured:
    """A list: milliseconds of its page over HTTP, of the same page in the store, and how many runs are on it."""

    name: str
    http_p50_ms: float
    http_p99_ms: float
    store_p50_ms: float
    found: int


def pages(home: Path) -> Iterator[Measured]:
    """Measure every list on an engine of its own, then in the store, which only one process can open."""
    over_http: dict[str, tuple[RunQuery, list[float], int]] = {}
    with engine(home) as child:
        lists = LISTS | {f"searched: {name}: {text}": RunQuery(q=text) for name, text in SEARCHES.items()}
        middle = _page(child, RunQuery(until=END - timedelta(days=45), limit=1))[0]["id"]
        lists[DEEP] = RunQuery(cursor=middle)
        for name, query in lists.items():
            found = len(_page(child, query))
            over_http[name] = query, _times(partial(_page, child, query)), found
    store = Store(home / ".nomaflow" / "runs.duckdb")
    try:
        for name, (query, took, found) in over_http.items():
            in_store = _times(partial(_rows, store, query))
            yield Measured(name, percentile(took, 50), percentile(took, 99), statistics.median(in_store), found)
    finally:
        store.close()


def _times(work: Callable[[], object]) -> list[float]:
    """Milliseconds of some repetitions, in order of length. The first one, which reads from the disk, is left out."""
    took = []
    for _ in range(TIMES + 1):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1000)
    return sorted(took[1:])


def _page(child: Child, query: RunQuery) -> list[dict[str, str]]:
    given = {
        "q": query.q,
        "job": query.job,
        "state": query.state,
        "since": query.since and iso(query.since),
        "until": query.until and iso(query.until),
        "limit": query.limit,
        "cursor": query.cursor,
    }
    found: list[dict[str, str]] = child.request(
        "GET", "/runs?" + urlencode({name: value for name, value in given.items() if value is not None})
    )["items"]
    return found


def _rows(store: Store, query: RunQuery) -> object:
    now = datetime.now(UTC)
    search = searched(replace(query, cursor=None), now=now, timezone="UTC")
    before = cursor_number(query.cursor)
    return store.search(search, Around(now, {}), jobs=None, without=[], before=before, limit=query.limit)
