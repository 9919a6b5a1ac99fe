"""A copy in mid-overwrite when its worker, its engine, its source or its target dies: the old rows are there."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from nomaflow.worker import process_group
from tests.servers import postgresql
from tests.servers.engine import Child
from tests.servers.postgresql import Server

WAIT_SECONDS = 30
TARGETS = ("pg", "lite", "duck")

# It sends the first rows and then one every few milliseconds, for as long as anybody can wait.
SLOW = """CREATE OR REPLACE VIEW t AS SELECT i AS id FROM (SELECT generate_series(1, 10000000) AS i) AS s
          WHERE i <= 50000 OR pg_sleep(0.005) IS NOT NULL"""
QUICK = "CREATE OR REPLACE VIEW t AS SELECT generate_series(1, 1000) AS id"
OLD, NEW = (3, -1), (1000, 1000)


class Stage:
    """Two servers, two files, an engine, and a job for each target that copies the view `t` of the source over it."""

    def __init__(self, home: Path, source: Server, target: Server, engine: Child) -> None:
        self.home, self.source, self.target, self.engine = home, source, target, engine

    def begin(self, target: str) -> str:
        """Launch the copy and wait until rows have arrived."""
        run_id = str(self.engine.request("POST", f"/jobs/to-{target}/runs", {})["id"])
        if target == "pg":
            copying = "SELECT count(*) FROM pg_stat_progress_copy WHERE tuples_processed > 0 AND type = 'PIPE'"
            wait_for(lambda: ask(self.target, copying) == (1,))
        else:
            wait_for(lambda: any(line["text"].startswith("batch 1:") for line in self.log(run_id)))
        return run_id

    def log(self, run_id: str) -> list[dict[str, Any]]:
        """Its lines."""
        lines: list[dict[str, Any]] = self.engine.request("GET", f"/runs/{run_id}/logs")["lines"]
        return lines

    def ended(self, run_id: str) -> dict[str, Any]:
        """The run when it is over."""

        def over() -> dict[str, Any] | None:
            run: dict[str, Any] = self.engine.request("GET", f"/runs/{run_id}")
            return run if run["finished_at"] is not None else None

        return wait_for(over)

    def copied(self, target: str) -> dict[str, Any]:
        """A whole copy of what the source gives now."""
        return self.ended(str(self.engine.request("POST", f"/jobs/to-{target}/runs", {})["id"]))

    def content(self, target: str) -> tuple[int, int]:
        """How many rows the target has, and the largest of them."""
        query = "SELECT count(*), max(id) FROM t"
        if target == "pg":
            return ask(self.target, query)
        if target == "lite":
            with closing(sqlite3.connect(self.home / "lite.db")) as lite:
                return tuple(lite.execute(query).fetchone())
        with duckdb.connect(str(self.home / "duck.db")) as duck:
            return tuple(duck.execute(query).fetchall()[0])

    def tables(self, target: str) -> list[str]:
        """What there is beside it."""
        if target == "pg":
            return [ask(self.target, "SELECT string_agg(relname, ',') FROM pg_class WHERE relname ~ 'stash|^t$'")[0]]
        if target == "lite":
            with closing(sqlite3.connect(self.home / "lite.db")) as lite:
                return [name for (name,) in lite.execute("SELECT name FROM sqlite_master")]
        with duckdb.connect(str(self.home / "duck.db")) as duck:
            return [name for (name,) in duck.execute("SELECT table_name FROM duckdb_tables()").fetchall()]

    def backends(self) -> int:
        """Processes of both servers that work for the engine."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'nomaflow %'"
        return int(ask(self.source, query)[0]) + int(ask(self.target, query)[0])


def ask(server: Server, query: str) -> Any:
    """The first row of a query; None while the server recovers from a crash."""
    try:
        with server.connect() as connection:
            return connection.execute(query.encode()).fetchone()
    except psycopg.OperationalError:
        return None


def wait_for[T](look: Callable[[], T | None]) -> T:
    """What `look` finds; a process outside has no event to wait for."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError(f"it did not come about within {WAIT_SECONDS} s")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Everything, with three old rows in each target."""
    with ExitStack() as opened:
        source = opened.enter_context(postgresql.running())
        target = opened.enter_context(postgresql.running())
        (tmp_path / "jobs").mkdir()
        (tmp_path / "secrets").mkdir()
        connectors = {"lite": "sqlite:///lite.db", "duck": "duckdb:///duck.db", "source": source.url, "pg": target.url}
        text = "[engine]\ntimezone = 'UTC'\n"
        for name, url in connectors.items():
            text += f'[connectors.{name}]\nkind = "sql"\nurl = "{url}"\n'
            if url.startswith("postgresql"):
                secret = tmp_path / "secrets" / name
                secret.touch(mode=0o600)
                secret.write_text((source if name == "source" else target).password)
                text += f'password_file = "secrets/{name}"\n'
        (tmp_path / "nomaflow.toml").write_text(text)
        for name in TARGETS:
            ends = f'source = {{ connector = "source", table = "t" }}\ntarget = {{ connector = "{name}", table = "t" }}'
            step = f'[[steps]]\nname = "one"\ntype = "sql_copy"\nbatch_size = 1000\n{ends}\n'
            (tmp_path / "jobs" / f"to-{name}.toml").write_text(step)
        old = ("CREATE TABLE t (id INTEGER)", "INSERT INTO t VALUES (-1), (-2), (-3)")
        with source.connect() as connection:
            connection.execute(SLOW.encode())
        with target.connect() as connection, closing(sqlite3.connect(tmp_path / "lite.db")) as lite:
            with duckdb.connect(str(tmp_path / "duck.db")) as duck:
                for statement in old:
                    connection.execute(statement.encode())
                    lite.execute(statement)
                    duck.execute(statement)
            lite.commit()
        made = Stage(tmp_path, source, target, Child(tmp_path, "serve"))
        opened.callback(lambda: made.engine.stop())
        yield made


@pytest.mark.limit(90)
def test_whatever_dies_in_a_copy_the_target_is_the_old_table(stage: Stage) -> None:
    """Kill -9 of the workers, of the source's backend, of the target's, and of the engine; then a copy works."""
    first = {target: stage.begin(target) for target in TARGETS}
    for pid in workers(stage.engine):
        os.kill(pid, signal.SIGKILL)
    for target, run_id in first.items():
        assert stage.ended(run_id)["state"] == "FAILED"
        assert (target, stage.content(target), stage.tables(target)) == (target, OLD, ["t"])

    run_id = stage.begin("duck")
    os.kill(backend(stage.source), signal.SIGKILL)  # the whole server recovers
    assert stage.ended(run_id)["state"] == "FAILED"
    assert (stage.content("duck"), stage.tables("duck")) == (OLD, ["t"])
    wait_for(lambda: ask(stage.source, "SELECT 1"))

    run_id = stage.begin("pg")
    os.kill(backend(stage.target), signal.SIGKILL)
    assert stage.ended(run_id)["state"] == "FAILED"
    wait_for(lambda: ask(stage.target, "SELECT 1"))
    assert (stage.content("pg"), stage.tables("pg")) == (OLD, ["t"])

    last = {target: stage.begin(target) for target in TARGETS}
    stage.engine.process.kill()
    stage.engine.stop()  # its connections here
    wait_for(lambda: stage.backends() == 0)
    for target in TARGETS:
        assert (target, stage.content(target), stage.tables(target)) == (target, OLD, ["t"])

    with stage.source.connect() as connection:
        connection.execute("DROP VIEW t")
        connection.execute(QUICK.encode())
    stage.engine = Child(stage.home, "serve")
    for target, run_id in last.items():
        assert stage.ended(run_id)["state"] == "FAILED"
        run = stage.copied(target)
        assert (target, run["state"], run["rows_affected"]) == (target, "SUCCEEDED", 1000)
    stage.engine.stop()
    for target in TARGETS:
        assert (target, stage.content(target), stage.tables(target)) == (target, NEW, ["t"])


def workers(engine: Child) -> list[int]:
    """The processes of the engine that run steps, or wait for one."""
    found = process_group.descendants(engine.process.pid)
    return [pid for pid in found if b"nomaflow.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def backend(server: Server) -> int:
    """The process of the server that serves the copy."""
    return int(ask(server, "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'nomaflow run%'")[0])
