"""`python -m tests.bench [NAME …]`: the figures as one table, each beside the bound that the design sets it."""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import (
    calendar,
    copy_ratio,
    directory,
    fires,
    history,
    memory,
    old_home,
    outage,
    pages,
    restart,
    runs,
    upkeep,
)
from tests.servers import slapd
from tests.servers.engine import ChildFailedError
from tests.servers.postgresql import NotInstalledError

type Row = tuple[str, str, str]


def machine() -> str:
    """Cores, processor and interpreter, with the load before the first figure: what the figures depend on."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    processor = found[1] if found else platform.processor()
    load = os.getloadavg()[0]
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {processor}, {system}, load {load:.1f}"


def latency() -> Iterator[Row]:
    p50, p99 = runs.launch_to_code()
    yield (
        f"launch → first line of step code, idle, n={runs.LAUNCHES}",
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
        "25, 100 ms",
    )


def throughput() -> Iterator[Row]:
    for kind in ("sql", "python"):
        what = f"no-op one-step {kind} runs of {runs.PARALLEL} jobs, recorded, n={runs.RUNS}"
        yield what, f"{runs.runs_per_second(kind):.0f} runs/s", "≥ 300 runs/s"


def cancels() -> Iterator[Row]:
    yield "cancel, cooperative", f"{runs.cancel_seconds('cooperative', force=False):.2f} s", "0.5 s"
    yield "cancel, stubborn, with force", f"{runs.cancel_seconds('stubborn', force=True):.2f} s", "1.5 s"


def idle_engine() -> Iterator[Row]:
    idle = memory.sample_home("serve")
    yield "engine start → ready, sample home", f"{idle.start_seconds:.2f} s", "1.5 s"
    yield "engine, idle, PSS", f"{idle.first_mb:.0f} MB", "120 MB"


def idle_up() -> Iterator[Row]:
    yield "all processes of `up`, idle, PSS", f"{memory.sample_home('up').all_mb:.0f} MB", "400 MB"


def lateness() -> Iterator[Row]:
    late = sorted(fires.spread())
    what = f"nominal instant → RUNNING on disk and told, {fires.JOBS} jobs within {fires.WINDOW_SECONDS} s"
    found = f"p50 {runs.percentile(late, 50):.1f} ms, p99 {runs.percentile(late, 99):.1f} ms, worst {late[-1]:.1f} ms"
    yield what, found, "p99 50 ms"


def bursts() -> Iterator[Row]:
    for kind in ("sql", "python"):
        what = (
            f"{fires.BURST} no-op {kind} jobs due in one second, parallel {runs.PARALLEL} → last RUNNING on disk, told"
        )
        yield what, ", ".join(f"{worst:.2f}" for worst in fires.bursts(kind)) + " s", "1 s"


def restarts() -> Iterator[Row]:
    took = sorted(restart.seconds(old_home.old_home()))
    what = f"kill -9 under load → ready, {old_home.RUNS:,} runs, n={len(took)}"
    yield what, f"p50 {runs.percentile(took, 50):.2f} s, worst {took[-1]:.2f} s", "3 s"


def safety() -> Iterator[Row]:
    found = upkeep.costs(old_home.old_home())
    of = f"store of {found.megabytes:.0f} MB"
    yield f"checkpoint of a {of}: no commit for", f"worst {found.pause_seconds[-1] * 1000:.0f} ms", ""
    yield f"copy of a {of} before it, while commits go on", f"worst {found.copy_seconds:.2f} s", ""
    yield f"opening a {of} with {upkeep.COMMITS_AT_MOST:,} commits to replay", f"{found.replay_seconds:.2f} s", ""
    yield f"backup of a {of}, verified", f"{found.backup_seconds:.2f} s", ""
    yield f"deleting {upkeep.RUNS_A_PIECE:,} runs at once", f"{found.piece_seconds * 1000:.0f} ms", ""


def sizes() -> Iterator[Row]:
    runs_and_steps = f"file of {old_home.RUNS:,} runs and their steps, five on average"
    with tempfile.TemporaryDirectory(prefix="nomaflow-bench-") as folder:
        for name, events, bound in (("", False, "150 MB"), (", with their thirteen events each", True, "")):
            path = Path(folder) / f"{events}.duckdb"
            history.build(path, runs=old_home.RUNS, events=events)
            yield f"{runs_and_steps}{name}", f"{path.stat().st_size / 1e6:.0f} MB", bound


def pages_of_runs() -> Iterator[Row]:
    for one in pages.pages(old_home.old_home()):
        found = f"p50 {one.http_p50_ms:.1f} ms, p99 {one.http_p99_ms:.1f} ms; in the store {one.store_p50_ms:.1f} ms"
        yield f"page of runs of {old_home.RUNS:,}, {one.name} ({one.found} on it)", found, "20 ms"


def schedules() -> Iterator[Row]:
    month = calendar.month_of_jobs()
    what = f"a month of {calendar.JOBS} jobs, {month.fires:,} fires"
    yield f"calendar of {what}", f"{month.slots_seconds:.2f} s", "2 s"
    yield f"every fire of {what}", f"{month.fires_seconds:.2f} s", ""
    yield f"next fire of {calendar.JOBS} jobs, at a start", f"{month.first_next_seconds:.2f} s", ""
    yield f"next fire of {calendar.JOBS} jobs, again", f"{month.next_seconds * 1000:.0f} ms", ""
    yield f"what becomes of {what}, after an outage of it", f"{month.catch_up_seconds:.2f} s", ""


def back_after_a_month() -> Iterator[Row]:
    back = outage.back_after_a_month()
    what = f"back after a month: ready → every fire of {calendar.JOBS} schedules is decided"
    yield f"{what} ({back.slots:,} of them)", f"{back.accepted_seconds:.1f} s", ""
    yield f"and the {back.runs} runs that happen in their place have ended", f"{back.ended_seconds:.1f} s", ""
    yield "the longest wait for /healthz meanwhile", f"{back.longest_answer_seconds:.2f} s", ""


def directories() -> Iterator[Row]:
    try:
        for one in directory.synchronized():
            what = f"{directory.ENTRIES:,} entries of a directory into {one.backend}"
            yield f"{what}, empty", f"{one.first_seconds:.2f} s", ""
            yield f"{what}, nothing changed", f"{one.again_seconds:.2f} s", ""
            yield f"{what}, a statement for each", f"{one.query_seconds:.2f} s", ""
    except (NotInstalledError, slapd.NotInstalledError) as error:
        yield "ldap", f"not measured: {error}", ""


FIGURES: dict[str, Callable[[], Iterator[Row]]] = {
    "latency": latency,
    "throughput": throughput,
    "lateness": lateness,
    "bursts": bursts,
    "cancel": cancels,
    "start": idle_engine,
    "memory": idle_up,
    "restart": restarts,
    "safety": safety,
    "size": sizes,
    "pages": pages_of_runs,
    "calendar": schedules,
    "outage": back_after_a_month,
    "copy": copy_ratio.figures,
    "ldap": directories,
}


def main(chosen: list[str]) -> None:
    """Measure the chosen figures, or all, one after the other; a figure that cannot be taken says why."""
    console = Console()
    console.print(machine(), soft_wrap=True)
    table = Table("what", "measured", "to hold")
    for name, measure in FIGURES.items():
        if chosen and name not in chosen:
            continue
        try:
            for row in measure():
                table.add_row(*row)
        except (ChildFailedError, NotInstalledError, OSError) as error:
            table.add_row(name, f"not measured: {error}", "")
    if table.row_count:
        console.print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
