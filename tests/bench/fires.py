"""How late schedules fire: from the nominal instant until it is on disk, and told, that the run is RUNNING."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from tests.bench.runs import SETTINGS, SQL
from tests.servers.engine import Child, engine_on

JOBS = 500
WINDOW_SECONDS = 60
"""Each of the jobs fires once in it, eight or nine a second."""

BURST = 50
BURST_SECONDS = (0, 20, 40)
"""When in a minute the jobs of a burst are due: far enough apart for the workers of the next one to be made anew."""

NO_OP = "def no_op(ctx):\n    return None\n"
PYTHON = '[[steps]]\nname = "no_op"\ntype = "python"\ncallable = "bench_no_op:no_op"\n'

AHEAD = timedelta(seconds=25)
"""An engine has started by then, and has had its time to make workers for the first fires."""


def spread() -> list[float]:
    """Milliseconds of each fire of `JOBS` jobs that fire one after another."""
    begin = datetime.now(UTC).replace(microsecond=0) + AHEAD
    files = {"nomaflow.toml": _settings()}
    for number in range(JOBS):
        due_at = begin + timedelta(seconds=number * WINDOW_SECONDS // JOBS)
        files[f"jobs/spread-{number}.toml"] = _job(f"{due_at.minute} {due_at.hour} * * * {due_at.second}", SQL)
    with engine_on(files) as child:
        return [late * 1000 for _, late in _fires(child, JOBS)]


def bursts(kind: str) -> list[float]:
    """Seconds until the last of `BURST` jobs that are due in the same second is RUNNING, for each burst.

    Args:
        kind: `sql`, whose workers serve every job, or `python`, where each job needs one of its own.
    """
    minute = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    if minute - datetime.now(UTC) < AHEAD:
        minute += timedelta(minutes=1)
    seconds = ",".join(map(str, BURST_SECONDS))
    text = _job(f"{minute.minute} {minute.hour} * * * {seconds}", SQL if kind == "sql" else PYTHON)
    files = {f"jobs/burst-{number}.toml": text for number in range(BURST)}
    files |= {"nomaflow.toml": _settings(), "jobs/bench_no_op.py": NO_OP}
    worst: dict[str, float] = {}
    with engine_on(files) as child:
        for scheduled_at, late in _fires(child, BURST * len(BURST_SECONDS)):
            worst[scheduled_at] = max(late, worst.get(scheduled_at, 0))
    return list(worst.values())


def _settings() -> str:
    return SETTINGS.replace("[engine]\n", '[engine]\ntimezone = "UTC"\n')


def _job(rule: str, step: str) -> str:
    return f'[[schedules]]\ncron = "{rule}"\n{step}'


def _fires(child: Child, count: int) -> Iterable[tuple[str, float]]:
    """So many fires as they come: the nominal instant, and the seconds from it until the event of RUNNING is here.

    An event is told when it is on disk, and read here in some tenths of a millisecond.
    """
    with child.events() as events:
        for line in events:
            if not line.startswith(b"data: {") or b'"kind":"run"' not in line or b'"RUNNING"' not in line:
                continue
            now = time.time()
            record = json.loads(line.removeprefix(b"data: "))["record"]
            if record["state"] != "RUNNING":
                continue
            yield record["scheduled_at"], now - datetime.fromisoformat(record["scheduled_at"]).timestamp()
            count -= 1
            if count == 0:
                return
