"""The rules that every backend keeps."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow
import pytest

from nomaflow.definitions.sql_text import StatementError
from nomaflow.steps.databases import open_database
from nomaflow.steps.databases.errors import OpenError, StatementCanceledError
from nomaflow.steps.databases.tables import Column, Table, TableDatabase
from tests.fakes.context import file_connector
from tests.servers.postgresql import Server

Open = Callable[[], TableDatabase]

SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    "duckdb": "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range % 7 = 3",
    "postgresql": "SELECT pg_sleep(60)",
}


@pytest.fixture(params=["sqlite", "duckdb", "postgresql"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens connections to one database, which are closed at the end."""
    opened: list[TableDatabase] = []
    connector = (
        request.getfixturevalue("pg").connector()
        if request.param == "postgresql"
        else file_connector(request.param, tmp_path / f"db.{request.param}")
    )

    def open_one() -> TableDatabase:
        opened.append(open_database(connector))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


def test_execute_counts_what_it_changed_or_gave(opener: Open) -> None:
    """One number for every statement, whether it reads or writes."""
    database = opener()
    assert database.execute("CREATE TABLE t (a INTEGER, b VARCHAR)") == 0
    assert database.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')") == 3
    assert database.execute("SELECT * FROM t") == 3
    assert database.execute("UPDATE t SET b = 'w' WHERE a < :limit", {"limit": 3}) == 2
    assert database.execute("DELETE FROM t WHERE a = 1 RETURNING b") == 1
    assert database.execute("DELETE FROM t") == 2
    assert database.execute("DELETE FROM t") == 0


def test_parameters_are_bound_never_pasted(opener: Open) -> None:
    """A value with quotes stays a value, and a name may be used twice."""
    database = opener()
    given = "'; DROP TABLE t; -- :b %s $1"
    query = "SELECT CAST(:a AS VARCHAR(99)), CAST(:b AS INTEGER), CAST(:a AS VARCHAR(99)) /* :c */"
    assert database.fetch(query, {"a": given, "b": 7, "unused": 1}) == [(given, 7, given)]


def test_two_statements_are_refused_before_either_runs(opener: Open) -> None:
    """Nothing of the text has run when it is refused."""
    database = opener()
    with pytest.raises(StatementError):
        database.execute("CREATE TABLE t (a INTEGER); CREATE TABLE u (a INTEGER)")
    assert database.columns(Table(None, "t")) == ()


def test_a_rollback_takes_back_ddl_too(opener: Open) -> None:
    """Everything since the last commit is one transaction."""
    database = opener()
    database.execute("CREATE TABLE t (a INTEGER)")
    database.execute("INSERT INTO t VALUES (1)")
    database.rollback()
    assert database.columns(Table(None, "t")) == ()
    database.execute("CREATE TABLE t (a INTEGER)")
    database.commit()
    assert [column.name for column in opener().columns(Table(None, "t"))] == ["a"]


def test_a_stream_gives_batches(opener: Open) -> None:
    """No more rows are held than a batch has, and the last one may be shorter."""
    database = opener()
    database.execute("CREATE TABLE t (a INTEGER)")
    for number in range(5):
        database.execute("INSERT INTO t VALUES (:n)", {"n": number})
    assert [len(batch) for batch in database.stream("SELECT a FROM t", size=2)] == [2, 2, 1]


def test_a_table_is_described_whatever_its_name(opener: Open) -> None:
    """Columns in their order, the key in its own, names with quotes and dots in them."""
    database = opener()
    database.execute(
        """CREATE TABLE "we.ird ""t" (
               "B :x" INTEGER NOT NULL, "a" VARCHAR, "d" INTEGER DEFAULT 5, PRIMARY KEY ("a", "B :x"))"""
    )
    table = Table(None, 'we.ird "t')
    columns = database.columns(table)
    assert [column.name for column in columns] == ["B :x", "a", "d"]
    assert [column.filled for column in columns] == [False, False, True]
    assert columns[0].nullable is False
    assert database.primary_key(table) == ("a", "B :x")
    assert database.columns(Table(None, "no such table")) == ()


def test_looking_at_a_table_is_no_change(opener: Open) -> None:
    """What a rollback says of the changes holds, however often columns and keys were asked for."""
    database = opener()
    heard: list[str] = []
    database.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
    database.about_to_commit = lambda: heard.append("about to commit")
    assert database.columns(Table(None, "t"))
    assert database.primary_key(Table(None, "t")) == ("a",)
    assert database.rollback() is True
    assert heard == []


def test_a_generated_column_is_known(opener: Open) -> None:
    """The database computes it, so nobody writes it."""
    database = opener()
    database.execute(
        f"CREATE TABLE t (a INTEGER, b INTEGER GENERATED ALWAYS AS (a + 1) "
        f"{'STORED' if database.backend == 'postgresql' else 'VIRTUAL'})"
    )
    assert [column.generated for column in database.columns(Table(None, "t"))] == [False, True]


def test_cancel_from_another_thread_ends_a_statement_soon(opener: Open) -> None:
    """The statement fails with the driver's error and the connection can still be rolled back."""
    database = opener()
    database.execute("CREATE TABLE t (a INTEGER)")
    timer = threading.Timer(0.2, database.cancel)
    timer.start()
    begun = time.monotonic()
    with pytest.raises((sqlite3.OperationalError, duckdb.InterruptException, psycopg.errors.QueryCanceled)):
        database.execute(SLOW[database.backend])
    assert time.monotonic() - begun < 1.2
    timer.join()
    database.rollback()
    assert opener().columns(Table(None, "t")) == ()


def test_a_cancel_that_comes_early_is_kept(opener: Open) -> None:
    """A request that finds the connection idle stops the next statement."""
    database = opener()
    database.cancel()
    with pytest.raises(StatementCanceledError):
        database.execute("SELECT 1")
    database.rollback()


ALONE = {"sqlite": "PRAGMA user_version = 5", "duckdb": "CHECKPOINT", "postgresql": "VACUUM"}


def test_a_rollback_says_whether_all_is_gone(opener: Open) -> None:
    """A statement that no transaction holds stays; and it is told before anything is made to last."""
    database, told = opener(), list[str]()
    database.about_to_commit = lambda: told.append("about to commit")
    database.execute("CREATE TABLE t (a INTEGER)")
    assert database.rollback() is True
    assert database.rollback() is True
    assert told == []
    database.execute("CREATE TABLE t (a INTEGER)")
    database.commit()
    assert told == ["about to commit"]
    database.execute(ALONE[database.backend])
    assert told == ["about to commit"] * 2
    assert database.rollback() is False


@pytest.mark.parametrize("backend", ["sqlite", "duckdb"])
def test_a_read_of_a_file_is_no_commit(tmp_path: Path, backend: str) -> None:
    """Nothing is made to last by it; rows that are added count, whichever way they come."""
    with closing(open_database(file_connector(backend, tmp_path / "db"))) as database:
        told = list[str]()
        database.about_to_commit = lambda: told.append("about to commit")
        assert database.fetch("SELECT 1") == [(1,)]
        database.commit()
        assert told == []
        database.execute("CREATE TABLE t (a INTEGER)")
        database.commit()
        database.write(Table(None, "t"), ["a"], [pyarrow.table({"a": [1]}) if database.takes_columns else [(1,)]])
        database.commit()
        database.fetch("SELECT 1")
        database.commit()
        assert told == ["about to commit"] * 2


def test_a_connection_in_good_order_leaves_nothing_at_work(opener: Open) -> None:
    """Idle, or in an open transaction: when it is closed its server knows."""
    database = opener()
    database.execute("CREATE TABLE t (a INTEGER)")
    assert (database.server_process is None) is (database.backend != "postgresql")
    database.close()
    assert not database.may_go_on


def test_a_canceled_query_leaves_no_backend_on_the_server(pg: Server) -> None:
    """Cancel, rollback and close: the server works on nothing and knows the connection no more."""
    database = open_database(pg.connector(application_name="nomaflow run_1/step"))
    with closing(database), pg.connect() as observer:

        def backends() -> list[Any]:
            query = "SELECT state FROM pg_stat_activity WHERE application_name = 'nomaflow run_1/step'"
            return observer.execute(query).fetchall()

        observer.execute("CREATE TABLE t (a int)")
        database.execute("INSERT INTO t VALUES (1)")
        failed: list[BaseException] = []

        def sleep() -> None:
            try:
                database.execute("SELECT pg_sleep(60)")
            except psycopg.errors.QueryCanceled as error:
                failed.append(error)

        thread = threading.Thread(target=sleep)
        thread.start()
        _until(lambda: backends() == [("active",)])
        begun = time.monotonic()
        database.cancel()
        thread.join()
        assert time.monotonic() - begun < 1
        assert failed
        database.rollback()
        database.close()
        _until(lambda: backends() == [])
        assert observer.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_sqlite_lock_is_waited_for(tmp_path: Path) -> None:
    """A short lock of somebody else is no failure."""
    with _locked(tmp_path) as other, closing(open_database(file_connector("sqlite", tmp_path / "db"))) as database:
        timer = threading.Timer(0.3, other.rollback)
        timer.start()
        assert database.execute("INSERT INTO t VALUES (1)") == 1
        timer.join()
        database.commit()


def test_waiting_for_a_sqlite_lock_ends_with_a_cancel(tmp_path: Path) -> None:
    """SQLite's own wait would not look at the interrupt for seconds."""
    with _locked(tmp_path), closing(open_database(file_connector("sqlite", tmp_path / "db"))) as database:
        timer = threading.Timer(0.2, database.cancel)
        timer.start()
        begun = time.monotonic()
        with pytest.raises((sqlite3.OperationalError, StatementCanceledError)):
            database.execute("INSERT INTO t VALUES (1)")
        assert time.monotonic() - begun < 1
        timer.join()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM read_text('/proc/self/environ')",
        "ATTACH '{file}.duckdb'",
        "COPY (SELECT 1) TO '{file}'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SELECT * FROM file_connector",
    ],
)
def test_sql_on_duckdb_reaches_only_its_file(tmp_path: Path, query: str) -> None:
    """A query of a job is not a way to the machine's files, nor to this process's variables."""
    secret = tmp_path / "secret"
    secret.write_text("a\n1\n")
    with (
        closing(open_database(file_connector("duckdb", tmp_path / "db.duckdb"))) as database,
        pytest.raises(duckdb.Error),
    ):
        database.execute(query.format(file=secret))
    assert secret.read_text() == "a\n1\n"


def test_sql_on_sqlite_reaches_only_its_file(tmp_path: Path) -> None:
    """ATTACH would open any other file; VACUUM, which attaches a file of its own, still works."""
    with closing(open_database(file_connector("sqlite", tmp_path / "db"))) as database:
        database.execute("VACUUM")
        for query in (f"ATTACH '{tmp_path / 'other'}' AS o", f"VACUUM INTO '{tmp_path / 'other'}'"):
            with pytest.raises(sqlite3.DatabaseError, match=r"not authorized|authorization"):
                database.execute(query)
            database.rollback()
    assert not (tmp_path / "other").exists()


def test_postgresql_runs_what_no_transaction_may_hold(pg: Server) -> None:
    """VACUUM and its like run by themselves; what follows is a transaction again."""
    with closing(open_database(pg.connector())) as database:
        database.execute("CREATE TABLE t (a int)")
        database.commit()
        database.execute("VACUUM t")
        database.execute("CREATE INDEX CONCURRENTLY i ON t (a)")
        database.execute("INSERT INTO t VALUES (1)")
        database.rollback()
        assert database.fetch("SELECT count(*) FROM t") == [(0,)]


def test_a_connection_that_fails_names_the_connector_not_the_password(pg: Server) -> None:
    """One sentence that can be shown to anybody."""
    with pytest.raises(OpenError, match="'warehouse' could not be opened") as raised:
        open_database(pg.connector("warehouse", password="not-the-password"))
    assert "not-the-password" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("backend", ["sqlite", "duckdb"])
def test_a_file_that_cannot_be_opened_names_the_connector(tmp_path: Path, backend: str) -> None:
    """The folder does not exist."""
    with pytest.raises(OpenError, match="'db' could not be opened"):
        open_database(file_connector(backend, tmp_path / "none" / "db"))


@pytest.mark.parametrize("backend", ["sqlite", "duckdb"])
def test_without_a_path_the_database_is_in_memory(backend: str) -> None:
    """Each connection has its own."""
    with closing(open_database(file_connector(backend, None))) as database:
        database.execute("CREATE TABLE t (a INTEGER)")
        assert database.columns(Table(None, "t")) == (Column("a", "INTEGER"),)


def _locked(folder: Path) -> closing[sqlite3.Connection]:
    """Another connection that holds the write lock."""
    connection = sqlite3.connect(folder / "db", check_same_thread=False, isolation_level=None)
    connection.execute("CREATE TABLE t (a INTEGER)")
    connection.execute("BEGIN IMMEDIATE")
    return closing(connection)


def _until(holds: Callable[[], bool]) -> None:
    """Wait until the server shows what it must; it tells nobody, so it is asked again."""
    ends = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)
