"""How fast runs start, follow each other, and stop."""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.servers.engine import BusyError, Child, engine_on

PARALLEL = 32
LAUNCHES = 200
PAUSE_SECONDS = 0.03
RUNS = 3000
CONNECTIONS = 32
CANCELS = 5

STEPS = """
import asyncio
import signal
import time


def began(ctx):
    return {"began_ns": time.monotonic_ns()}


def no_op(ctx):
    return None


async def cooperative(ctx):
    await asyncio.sleep(600)


def stubborn(ctx):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass
"""

SETTINGS = f"""\
[engine]
max_parallel_runs = {PARALLEL}
drain_seconds = 0.1
[connectors.memory]
kind = "sql"
url = "sqlite://"
"""

SQL = '[[steps]]\nname = "no_op"\ntype = "sql_query"\nconnector = "memory"\nquery = "SELECT 1"\n'


def launch_to_code() -> tuple[float, float]:
    """Milliseconds from just before the HTTP call to the first line of the step, idle: p50 and p99.

    The step gives back its own reading of the monotonic clock, which all processes of the machine share.
    """
    with engine_on(_home({"began": python_step("began")})) as child:
        for _ in range(5):
            _launch_to_code(child)
        measured = sorted(_launch_to_code(child) for _ in range(LAUNCHES))
    return percentile(measured, 50), percentile(measured, 99)


def runs_per_second(kind: str) -> float:
    """No-op one-step runs over HTTP, from the first launch to the last recorded end; a job has one run at a time.

    Args:
        kind: `sql`, whose workers serve every job, or `python`, where each job has workers of its own.
    """
    step = SQL if kind == "sql" else python_step("no_op")
    jobs = [f"no-op-{number}" for number in range(PARALLEL)]
    with engine_on(_home(dict.fromkeys(jobs, step))) as child:
        _many(child, jobs, RUNS // 10)
        began = time.monotonic()
        _many(child, jobs, RUNS)
        return RUNS / (time.monotonic() - began)


def cancel_seconds(callable_name: str, *, force: bool) -> float:
    """From the call to the recorded CANCELED: the slowest of some."""
    with engine_on(_home({"long": python_step(callable_name)})) as child:
        return max(_cancel(child, force=force) for _ in range(CANCELS))


def percentile(ordered: list[float], percent: float) -> float:
    """The smallest value that at least `percent` of them do not exceed."""
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


def _home(jobs: dict[str, str]) -> dict[str, str]:
    files = {f"jobs/{job_id}.toml": text for job_id, text in jobs.items()}
    return {"nomaflow.toml": SETTINGS, "jobs/bench_steps.py": STEPS, **files}


def python_step(callable_name: str) -> str:
    """A step of `STEPS`, as TOML."""
    return f'[[steps]]\nname = "work"\ntype = "python"\ncallable = "bench_steps:{callable_name}"\n'


def _launch_to_code(child: Child) -> float:
    time.sleep(PAUSE_SECONDS)
    before_ns = time.monotonic_ns()
    run = child.request("POST", "/jobs/began/runs", {})
    began_ns: int = _ended(child, run["id"])["steps"][0]["output"]["began_ns"]
    return (began_ns - before_ns) / 1e6


def _many(child: Child, jobs: list[str], count: int) -> None:
    """Launch each job again as soon as its run has ended, as the event stream tells, until `count` runs have ended."""
    free: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    to_launch, to_end = threading.Semaphore(count), count
    for job_id in jobs:
        free.put(job_id)

    def launch() -> None:
        while (job_id := free.get()) is not None and to_launch.acquire(blocking=False):
            try:
                child.request("POST", f"/jobs/{job_id}/runs", {})
            except BusyError:
                to_launch.release()
                free.put(job_id)

    with ThreadPoolExecutor(CONNECTIONS) as threads, child.events() as events:
        for _ in range(CONNECTIONS):
            threads.submit(launch)
        for line in events:
            if line.startswith(b'data: {"seq"') and b'"kind":"run"' in line:
                record = json.loads(line.removeprefix(b"data: "))["record"]
                if record["finished_at"] is not None:
                    free.put(record["job_id"])
                    to_end -= 1
            if to_end == 0:
                break
        for _ in range(CONNECTIONS):
            free.put(None)


def _cancel(child: Child, *, force: bool) -> float:
    run_id = child.request("POST", "/jobs/long/runs", {})["id"]
    while child.request("GET", f"/runs/{run_id}")["state"] != "RUNNING":
        time.sleep(0.005)
    # The step's code has begun by then; one that has not is canceled faster.
    time.sleep(0.5)
    began = time.monotonic()
    child.request("POST", f"/runs/{run_id}/cancel", {"force": force})
    _ended(child, run_id)
    return time.monotonic() - began


def _ended(child: Child, run_id: str) -> Any:
    """The run when it is over and its job takes the next one."""
    while True:
        run = child.request("GET", f"/runs/{run_id}")
        if run["finished_at"] is not None:
            break
        time.sleep(0.002)
    while child.request("GET", f"/jobs/{run['job_id']}/form")["busy_run_id"] is not None:
        time.sleep(0.002)
    return run
