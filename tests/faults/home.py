"""A home under load: twelve jobs, most of which fire each second or two, and steps that leave marks in a file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARKS = "marks.jsonl"
"""Where the steps say what they do: the instant, what, run, job, step, attempt, process; a line of JSON each."""

CODE = '''
import asyncio
import json
import os
import time
import zlib

BEAT_SECONDS = 0.05


def mark(ctx, what, *, durable=True):
    """One line, whole or not at all: the file is opened to append."""
    line = [time.time(), what, ctx.run_id, ctx.job_id, ctx.step_name, ctx.attempt, os.getpid()]
    out = os.open(os.path.join(ctx.home, "marks.jsonl"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(out, (json.dumps(line) + "\\n").encode())
        if durable:
            os.fsync(out)
    finally:
        os.close(out)


def drawn(ctx, count):
    """The same number for the same try of the same run, whatever engine runs it."""
    return zlib.crc32(f"{ctx.run_id} {ctx.step_name} {ctx.attempt}".encode()) % count


def seconds(ctx, low, high):
    return low + (high - low) * drawn(ctx, 1000) / 1000


def ended(ctx):
    ctx.log.info("marked %s %d", ctx.step_name, ctx.attempt)
    mark(ctx, "end")


def work(ctx, low=0.0, high=0.5):
    mark(ctx, "start")
    until = time.monotonic() + seconds(ctx, low, high)
    while time.monotonic() < until:
        time.sleep(BEAT_SECONDS)
        mark(ctx, "beat", durable=False)
    ended(ctx)


async def awaits(ctx, low=0.0, high=0.5):
    mark(ctx, "start")
    until = time.monotonic() + seconds(ctx, low, high)
    while time.monotonic() < until:
        await asyncio.sleep(BEAT_SECONDS)
        mark(ctx, "beat", durable=False)
    ended(ctx)


def shaky(ctx):
    mark(ctx, "start")
    ctx.log.info("try %d", ctx.attempt)
    if drawn(ctx, 3) < 2:
        raise RuntimeError(f"try {ctx.attempt} fails, as drawn")
    ended(ctx)


def deaf(ctx, low=0.0, high=0.5):
    mark(ctx, "start")
    until = time.monotonic() + seconds(ctx, low, high)
    while time.monotonic() < until:
        try:
            time.sleep(BEAT_SECONDS)
            mark(ctx, "beat", durable=False)
        except BaseException:
            pass
    ended(ctx)
'''

SETTINGS = """\
[engine]
timezone = "UTC"
max_parallel_runs = 6
drain_seconds = 5
cancel_grace_seconds = 1
[connectors.one]
kind = "sql"
url = "sqlite:///one.db"
[connectors.two]
kind = "sql"
url = "sqlite:///two.db"
"""

DATABASES = ("one", "two")


@dataclass(frozen=True)
class Kind:
    """A job, and what of it the checks must know.

    `every_seconds` is 0 of a job without a schedule. `steps` are TOML; those of them whose name begins with `sql` leave
    their mark in a database and not in the file.
    """

    id: str
    steps: str
    every_seconds: int = 0
    overlap: str = "skip"
    misfire: str = "latest"
    attempts: int = 1
    lock: str | None = None

    def text(self) -> str:
        """Its file."""
        lines = [f'overlap = "{self.overlap}"', f"locks = {[self.lock] if self.lock else []}"]
        if self.every_seconds:
            second = "*" if self.every_seconds == 1 else f"*/{self.every_seconds}"
            lines += ["[[schedules]]", f'cron = "* * * * * {second}"', f'misfire = "{self.misfire}"']
        lines += ["[retry]", f"attempts = {self.attempts}", 'backoff = "fixed"', "base_seconds = 0.7"]
        return "\n".join([*lines, self.steps])

    @property
    def takes_turns(self) -> bool:
        """Whether its runs go one after another."""
        return self.overlap != "allow"


def _python(name: str, function: str, low: float = 0, high: float = 0) -> str:
    kwargs = f"[steps.op_kwargs]\nlow = {float(low)}\nhigh = {float(high)}\n" if high else ""
    return f'[[steps]]\nname = "{name}"\ntype = "python"\ncallable = "marking:{function}"\n{kwargs}'


def _sql(connector: str) -> str:
    query = "INSERT INTO done (run, job) VALUES (:run, :job)"
    params = '{ run = "${ctx:run_id}", job = "${ctx:job_id}" }'
    step = f'[[steps]]\nname = "sql"\ntype = "sql_query"\nconnector = "{connector}"\n'
    return f'{step}query = "{query}"\nparams = {params}\n'


KINDS = {
    kind.id: kind
    for kind in (
        Kind("sql-one", _sql("one"), every_seconds=1),
        Kind("sql-two", _sql("two") + _python("after", "work", 0, 0.3), every_seconds=2, misfire="skip"),
        Kind("sql-shared", _sql("two"), every_seconds=3, overlap="queue_one"),
        Kind("each", _python("first", "work") + _python("second", "awaits", 0, 1.5), every_seconds=1),
        Kind("queues", _python("first", "work", 0.5, 3), every_seconds=2, overlap="queue_one", misfire="all"),
        Kind("side-by-side", _python("first", "awaits", 0.2, 2), every_seconds=3, overlap="allow"),
        Kind("newest", _python("first", "awaits", 1, 5), every_seconds=4, overlap="cancel_running"),
        Kind("locked", _python("first", "work", 0.1, 0.8), every_seconds=2, lock="shared", misfire="skip"),
        Kind("locked-too", _python("first", "work", 0.1, 0.8), every_seconds=5, overlap="queue_one", lock="shared"),
        Kind("shaky", _python("first", "shaky") + _python("second", "work"), every_seconds=3, attempts=3),
        Kind("sleeper", _python("first", "work") + _python("long", "awaits", 20, 30), overlap="allow"),
        Kind("deaf", _python("first", "deaf", 3, 6)),
        Kind("by-hand", _python("first", "work", 0, 0.4), overlap="allow"),
    )
}


def make(home: Path) -> None:
    """Write it into an empty folder."""
    (home / "jobs").mkdir()
    (home / "nomaflow.toml").write_text(SETTINGS)
    (home / "jobs" / "marking.py").write_text(CODE)
    for kind in KINDS.values():
        (home / "jobs" / f"{kind.id}.toml").write_text(kind.text())
    for name in DATABASES:
        with sqlite3.connect(home / f"{name}.db") as database:
            database.execute("CREATE TABLE done (run TEXT, job TEXT)")
        database.close()


def sql_marks(home: Path) -> Iterator[tuple[str, str]]:
    """(run, job) of every statement that was committed."""
    for name in DATABASES:
        database = sqlite3.connect(home / f"{name}.db")
        yield from database.execute("SELECT run, job FROM done")
        database.close()
