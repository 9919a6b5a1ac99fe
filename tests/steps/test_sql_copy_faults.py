"""`sql_copy` stopped, killed or cut off at each of its stages: the target is the old table or the new one."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from nomaflow.steps.databases.errors import OutcomeUnknownError
from nomaflow.worker.context import StepCanceled
from nomaflow.worker.lasting import verdict
from tests.fakes.context import Told
from tests.servers.postgresql import Server
from tests.servers.proxy import Proxy
from tests.steps.copying import Bench

BACKENDS = ["sqlite", "duckdb", "postgresql"]
ROWS = 3000
NEW, OLD = [(ROWS, 1)], [(7, 0)]

TABLES = {
    "sqlite": "SELECT name FROM sqlite_master UNION ALL SELECT name FROM sqlite_temp_master",
    "duckdb": "SELECT table_name FROM duckdb_tables()",
    "postgresql": "SELECT relname::text FROM pg_class WHERE relname ~ '^t$|stash|nomaflow' AND relkind = 'r'",
}

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.fakes.context import Told
from tests.steps.copying import Bench

def kill(line):
    if line.partition(" ")[2].startswith({stage!r}):
        os.kill(os.getpid(), signal.SIGKILL)

bench = Bench(Path({folder!r}), {connectors!r})
bench.copy("s.t", "d.t", {mode!r}, batch_size=1000, told=Told(on_line=kill), key=["id"])
"""


@pytest.fixture(params=BACKENDS)
def ends(request: pytest.FixtureRequest, tmp_path: Path, pg: Server) -> Bench:
    """A source `s` in SQLite and a target `d` of each kind with other rows."""
    bench = Bench(tmp_path)
    bench.add("s", "sqlite")
    bench.add("d", request.param, pg if request.param == "postgresql" else None)
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) SELECT i, 1 FROM n"
    bench.sql("s", "CREATE TABLE t (id INTEGER, fresh INTEGER)", f"INSERT INTO t {numbers}")
    bench.sql("d", "CREATE TABLE t (id BIGINT, fresh BIGINT)")
    bench.sql("d", "INSERT INTO t VALUES (-1, 0), (-2, 0), (-3, 0), (-4, 0), (-5, 0), (-6, 0), (-7, 0)")
    return bench


def content(bench: Bench) -> list[tuple[Any, ...]]:
    """How many rows, and whether they are new ones."""
    return bench.sql("d", "SELECT count(*), max(fresh) FROM t")


def tables(bench: Bench) -> list[Any]:
    """All tables of the target."""
    return [name for (name,) in bench.sql("d", TABLES[bench.connectors["d"]["backend"]])]


@pytest.mark.parametrize(
    ("stage", "mode", "after"),
    [("batch 2", "overwrite", OLD), ("swap", "upsert", OLD), ("committed", "overwrite", NEW)],
)
def test_a_killed_copy_leaves_the_old_rows_or_the_new_ones(ends: Bench, stage: str, mode: str, after: Any) -> None:
    """Kill -9 at each stage: never empty, never half, no table beside it, and the next copy works."""
    script = KILLED.format(stage=stage, folder=str(ends.folder), connectors=ends.connectors, mode=mode)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert content(ends) == after
    assert tables(ends) == ["t"]
    ends.copy("s.t", "d.t")
    assert content(ends) == NEW
    assert tables(ends) == ["t"]


@pytest.mark.parametrize("stage", ["s.t →", "batch 1", "batch 3", "swap"])
@pytest.mark.parametrize("mode", ["overwrite", "append", "upsert"])
def test_a_copy_canceled_at_any_stage_leaves_the_old_rows(ends: Bench, stage: str, mode: str) -> None:
    """Also after its last row, before the commit; it knows that all is rolled back."""
    if stage == "swap" and mode == "append":
        stage = "batch 2"  # nothing is swapped

    def cancel(line: str) -> None:
        if line.partition(" ")[2].startswith(stage):
            ends.ctx.canceler.cancel("user:test")

    with pytest.raises(StepCanceled):
        ends.copy("s.t", "d.t", mode, batch_size=1000, key=["id"], told=Told(on_line=cancel))
    assert ends.ctx.rolled_back is True
    assert content(ends) == OLD
    assert tables(ends) == ["t"]


def test_a_cancel_after_the_commit_changes_nothing(ends: Bench) -> None:
    """The rows are there, and the step says so."""

    def cancel(line: str) -> None:
        if "committed" in line:
            ends.ctx.canceler.cancel("user:test")

    assert ends.copy("s.t", "d.t", told=Told(on_line=cancel))["target_rows"] == ROWS
    assert content(ends) == NEW


@pytest.fixture
def proxy(pg: Server) -> Iterator[Proxy]:
    with closing(Proxy(pg.host, pg.port)) as made:
        yield made


@pytest.fixture
def through(tmp_path: Path, pg: Server, proxy: Proxy) -> Bench:
    """A source `s` in SQLite and a target `d` behind a proxy."""
    bench = Bench(tmp_path)
    bench.add("s", "sqlite")
    bench.connectors["d"] = pg.connector("d", port=proxy.port)
    bench.sql("s", "CREATE TABLE t (id INTEGER)", "INSERT INTO t VALUES (1), (2)")
    bench.sql("d", "CREATE TABLE t (id bigint)", "INSERT INTO t VALUES (9)")
    return bench


def test_a_copy_whose_commit_is_not_answered_says_so(through: Bench, pg: Server, proxy: Proxy) -> None:
    """The new rows are there here, but nobody could tell; it is not tried again by itself."""
    with pg.connect() as look, ExitStack() as silence:

        def cut_after_commit() -> None:
            while look.execute("SELECT count(*) FROM t").fetchone() != (2,):
                pass
            proxy.cut()

        thread = threading.Thread(target=cut_after_commit)

        def hush(line: str) -> None:
            if "swap" in line:
                silence.enter_context(proxy.silent(only_answers=True))
                thread.start()

        with pytest.raises(OutcomeUnknownError, match="the outcome of the commit is unknown") as lost:
            through.copy("s.t", "d.t", told=Told(on_line=hush))
        thread.join()
    assert through.ctx.rolled_back is None
    assert not verdict(lost.value).may_retry


@pytest.mark.parametrize("stage", ["s.t →", "swap"])
def test_a_copy_whose_target_is_lost_may_be_tried_again(through: Bench, pg: Server, proxy: Proxy, stage: str) -> None:
    """Nothing was committed, so the old rows are there."""

    def cut(line: str) -> None:
        if line.partition(" ")[2].startswith(stage):
            proxy.cut()

    with pg.connect() as look:
        with pytest.raises(psycopg.OperationalError) as lost:
            through.copy("s.t", "d.t", "upsert", key=["id"], told=Told(on_line=cut))
        assert verdict(lost.value).may_retry
        assert look.execute("SELECT array_agg(id) FROM t").fetchone() == ([9],)
    through.copy("s.t", "d.t")
    assert through.sql("d", "SELECT count(*) FROM t") == [(2,)]


def test_a_source_that_is_lost_leaves_the_old_rows(tmp_path: Path, pg: Server, proxy: Proxy) -> None:
    """In the middle of its rows, into a file."""
    bench = Bench(tmp_path)
    bench.connectors["s"] = pg.connector("s", port=proxy.port)
    bench.add("d", "duckdb")
    bench.sql("s", "CREATE VIEW t AS SELECT generate_series(1, 1000000) AS id")
    bench.sql("d", "CREATE TABLE t (id INTEGER)", "INSERT INTO t VALUES (9)")
    with pytest.raises(psycopg.OperationalError) as lost:
        bench.copy("s.t", "d.t", told=Told(on_line=lambda line: "batch 3" in line and proxy.cut()))
    assert verdict(lost.value).may_retry
    assert bench.sql("d", "FROM t") == [(9,)]
