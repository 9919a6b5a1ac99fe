"""A home whose engine has a million runs behind it, made once for all figures that need one."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from tests.bench import history
from tests.bench.runs import PARALLEL, SQL

RUNS = 1_000_000
LINES = 10
"""Log lines of each run."""

SETTINGS = f"""\
[engine]
timezone = "UTC"
max_parallel_runs = {PARALLEL}
drain_seconds = 0.1
[retention]
days = 3650
failed_days = 3650
[connectors.memory]
kind = "sql"
url = "sqlite://"
"""


@functools.cache
def old_home() -> Path:
    """The folder; it is gone when the program ends. It takes half a minute and half a gigabyte."""
    home = Path(tempfile.mkdtemp(prefix="nomaflow-bench-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / ".nomaflow").mkdir(mode=0o700)
    (home / "jobs").mkdir()
    (home / "nomaflow.toml").write_text(SETTINGS)
    for job_id in job_ids():
        (home / "jobs" / f"{job_id}.toml").write_text(SQL)
    history.build(home / ".nomaflow" / "runs.duckdb", runs=RUNS, lines=LINES)
    return home


def job_ids() -> list[str]:
    """Those whose runs the history has, the busiest first."""
    return [f"{('nomasx1', 'jde', 'ldap', 'flights')[number % 4]}-{number:03}" for number in range(history.JOBS)]
