"""`sql_query`: one statement, counted, committed or rolled back."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from nomaflow.steps import sql_query
from nomaflow.worker.context import StepCanceled
from tests.fakes.context import file_connector, step_context
from tests.servers.postgresql import Server


def options(query: str, **params: Any) -> dict[str, Any]:
    """As the engine sends them."""
    return {"connector": "db", "query": query, "params": params}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A SQLite file with a table of three rows."""
    path = tmp_path / "db.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a INTEGER NOT NULL)")
    connection.executemany("INSERT INTO t VALUES (?)", [(1,), (2,), (3,)])
    connection.commit()
    connection.close()
    return path


def rows(path: Path) -> int:
    """What another program sees."""
    connection = sqlite3.connect(path)
    (count,) = connection.execute("SELECT count(*) FROM t").fetchone()
    connection.close()
    return int(count)


def test_a_write_is_committed_and_counted(database: Path) -> None:
    """The output is the number of affected rows."""
    ctx, told = step_context({"db": file_connector("sqlite", database)})
    assert sql_query.run(ctx, options("DELETE FROM t WHERE a > :a", a=1)) == {"rows_affected": 2}
    assert rows(database) == 1
    assert told.line("2 rows").startswith("INFO")


def test_rows_of_a_query_are_counted_and_dropped(database: Path) -> None:
    """A read is a step too: the count is its output."""
    ctx, _ = step_context({"db": file_connector("sqlite", database)})
    assert sql_query.run(ctx, options("SELECT * FROM t")) == {"rows_affected": 3}


def test_the_text_is_logged_at_debug_only(database: Path) -> None:
    """The log of a usual run has one line for the step."""
    for level, lines in (("INFO", 1), ("DEBUG", 2)):
        ctx, told = step_context({"db": file_connector("sqlite", database)}, log_level=level)
        sql_query.run(ctx, options("SELECT a FROM t"))
        assert len(told.lines) == lines
        assert ("DEBUG SELECT a FROM t" in told.lines) is (level == "DEBUG")


def test_a_failed_statement_changes_nothing(database: Path) -> None:
    """The error is the driver's own."""
    ctx, _ = step_context({"db": file_connector("sqlite", database)})
    with pytest.raises(sqlite3.IntegrityError):
        sql_query.run(ctx, options("INSERT INTO t SELECT nullif(a, 2) FROM t"))
    assert rows(database) == 3


def test_a_canceled_query_is_rolled_back_and_ends_as_canceled(pg: Server) -> None:
    """The step ends within a second, and the server has neither the change nor the connection."""
    with pg.connect() as observer:
        observer.execute("CREATE TABLE t (a text)")
        ctx, _ = step_context({"db": pg.connector(application_name="nomaflow run_1/step")})
        timer = threading.Timer(0.3, ctx.canceler.cancel, ["user:test"])
        timer.start()
        with pytest.raises(StepCanceled):
            sql_query.run(ctx, options("INSERT INTO t SELECT pg_sleep(60)::text"))
        timer.join(timeout=1)
        assert not timer.is_alive()
        assert observer.execute("SELECT count(*) FROM t").fetchone() == (0,)
        (left,) = observer.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'nomaflow run%' AND state = 'active'"
        ).fetchone() or (None,)
        assert left == 0


def test_a_cancel_that_comes_before_the_statement_keeps_it_from_running(database: Path) -> None:
    """A request is not lost because the connection was idle when it came."""
    ctx, _ = step_context({"db": file_connector("sqlite", database)})
    ctx.canceler.cancel("user:test")
    with pytest.raises(StepCanceled):
        sql_query.run(ctx, options("DELETE FROM t"))
    assert rows(database) == 3


def test_a_lost_connection_during_a_query_is_the_drivers_error(pg: Server) -> None:
    """The server ends the backend; the step fails with what the driver says."""
    ctx, _ = step_context({"db": pg.connector()})
    with pytest.raises(psycopg.OperationalError):
        sql_query.run(ctx, options("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_notices_of_the_server_are_in_the_log(pg: Server, caplog: pytest.LogCaptureFixture) -> None:
    """What a procedure says with RAISE reaches the run's log."""
    caplog.set_level("INFO")
    ctx, _ = step_context({"db": pg.connector()})
    sql_query.run(ctx, options("DO $$ BEGIN RAISE NOTICE 'half way: %', 50; END $$"))
    assert "NOTICE: half way: 50" in caplog.messages
