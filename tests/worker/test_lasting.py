"""Which errors would be there again at the next try, by what drivers really raise and by every code that they know."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from nomaflow import NoRetry, RetryAfter
from nomaflow.definitions.sql_text import StatementError
from nomaflow.steps.databases import open_database
from nomaflow.steps.databases.errors import OpenError, OutcomeUnknownError
from nomaflow.steps.sql_copy.errors import CopyError, SourceChangedError
from nomaflow.worker.context import ConnectorError
from nomaflow.worker.lasting import Verdict, verdict
from tests.fakes.context import file_connector
from tests.servers.postgresql import Server


def raised(call: Callable[[], Any]) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def server_error(state: str) -> psycopg.Error:
    return psycopg.errors.lookup(state)("it failed")


def refused_at_the_door(text: str) -> OpenError:
    error = OpenError("warehouse", psycopg.OperationalError(text))
    error.__cause__ = psycopg.OperationalError(text)
    return error


@pytest.mark.parametrize(
    ("state", "may_retry"),
    [
        ("42601", False),  # a syntax error
        ("42501", False),  # no right
        ("42P01", False),  # no table
        ("42703", False),  # no column
        ("3F000", False),  # no schema
        ("28P01", False),  # the password is wrong
        ("23505", False),  # a key is there already
        ("22P02", False),  # a text that is no number
        ("0A000", False),
        ("25006", False),
        ("40003", False),  # nobody knows whether the statement was completed
        ("40001", True),  # serialization
        ("40P01", True),  # a deadlock
        ("53300", True),  # too many connections
        ("53100", True),  # the disk is full
        ("55P03", True),  # a lock is not free
        ("57014", True),  # statement_timeout
        ("57P01", True),  # the server is being stopped
        ("57P03", True),  # it is starting
        ("08006", True),  # the connection is lost
        ("P0001", True),  # what a procedure raises
    ],
)
def test_a_postgresql_error_is_judged_by_its_code(state: str, may_retry: bool) -> None:
    """What lies in the statement or its values stays; what lies in the moment may pass."""
    found = verdict(server_error(state))
    assert found.may_retry is may_retry
    assert (found.why is None) is may_retry


@pytest.mark.parametrize(
    ("text", "may_retry"),
    [
        ('connection to server at "h", port 5432 failed: FATAL:  password authentication failed for user "x"', False),
        ('connection failed: FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "x"', False),
        ('connection failed: FATAL:  database "x" does not exist', False),
        ('connection failed: FATAL:  role "x" does not exist', False),
        ("connection failed: FATAL:  sorry, too many clients already", True),
        ("connection failed: FATAL:  remaining connection slots are reserved for roles", True),
        ("connection failed: FATAL:  the database system is starting up", True),
        ('connection failed: connection to server at "127.0.0.1", port 1 failed: Connection refused', True),
        ("connection timeout expired", True),
        ('could not translate host name "h" to address: Temporary failure in name resolution', True),
    ],
)
def test_a_server_that_lets_nobody_in_is_judged_by_what_it_says(text: str, may_retry: bool) -> None:
    """The driver has no code there. A password is not tried again, since accounts are locked for it."""
    assert verdict(refused_at_the_door(text)).may_retry is may_retry


def test_a_wrong_password_is_not_tried_again(postgresql: Server) -> None:
    """With the real server's words."""
    error = raised(lambda: open_database(postgresql.connector(password="not-the-password")))
    assert verdict(error) == Verdict(may_retry=False, why="a name or a password that is refused stays refused")


def _sqlite(sql: str) -> Callable[[], Any]:
    def run() -> None:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("CREATE TABLE t (a INTEGER UNIQUE)")
            connection.execute("INSERT INTO t VALUES (1)")
            connection.execute(sql)

    return run


def _duckdb(sql: str) -> Callable[[], Any]:
    def run() -> None:
        with duckdb.connect() as connection:
            connection.execute("CREATE TABLE t (a INTEGER UNIQUE)")
            connection.execute("INSERT INTO t VALUES (1)")
            connection.execute(sql)

    return run


@pytest.mark.parametrize("backend", [_sqlite, _duckdb], ids=["sqlite", "duckdb"])
@pytest.mark.parametrize(
    "sql",
    ["SELEC 1", "SELECT * FROM gone", "SELECT b FROM t", "INSERT INTO t VALUES (1)", "SELECT no_such_function(1)"],
)
def test_what_lies_in_a_statement_stays(backend: Callable[[str], Callable[[], Any]], sql: str) -> None:
    """Syntax, missing tables and columns, violated constraints: of SQLite and DuckDB as they are."""
    found = verdict(raised(backend(sql)))
    assert not found.may_retry
    assert found.why


def test_a_locked_file_may_be_free_later(tmp_path: Path) -> None:
    """SQLite says `database is locked`; a DuckDB file is held by another process."""
    with closing(sqlite3.connect(tmp_path / "a", isolation_level=None)) as first:
        first.execute("BEGIN EXCLUSIVE")
        with closing(sqlite3.connect(tmp_path / "a", timeout=0)) as second:
            assert verdict(raised(lambda: second.execute("CREATE TABLE t (a)"))).may_retry
    holds = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", holds, str(tmp_path / "b")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert verdict(raised(lambda: open_database(file_connector("duckdb", tmp_path / "b")))).may_retry
        holder.communicate()


def test_a_conflict_of_duckdb_transactions_may_pass() -> None:
    """Two of them changed the same row; the second one finds it free later."""
    with duckdb.connect() as first, first.cursor() as second:
        first.execute("CREATE TABLE t AS SELECT 1 AS a")
        first.begin()
        second.begin()
        first.execute("UPDATE t SET a = 2")
        error = raised(lambda: second.execute("UPDATE t SET a = 3"))
        assert isinstance(error, duckdb.TransactionException)
        assert verdict(error).may_retry
        first.rollback()
        second.rollback()


@pytest.mark.parametrize(
    ("error", "may_retry"),
    [
        (NoRetry("the period is closed"), False),
        (StatementError("two statements"), False),
        (ConnectorError("ana may not use it"), False),
        (CopyError("no such table"), False),
        (SourceChangedError("the source counted 2 rows and gave 3"), True),
        (OutcomeUnknownError("the outcome of the commit is unknown"), False),
        (SyntaxError("invalid syntax"), False),
        (ModuleNotFoundError("No module named 'gone'"), False),
        (ConnectionRefusedError(111, "Connection refused"), True),
        (ConnectionResetError(104, "Connection reset by peer"), True),
        (TimeoutError("timed out"), True),
        (ValueError("no luck"), True),
        (SystemExit(3), True),
    ],
)
def test_what_is_not_known_may_be_tried_again(error: BaseException, may_retry: bool) -> None:
    """The job's author has asked for it; what surely stays is not tried."""
    assert verdict(error).may_retry is may_retry


def test_a_step_says_when_to_come_back() -> None:
    """`RetryAfter` passes its seconds on; what is no number is no wait."""
    assert verdict(RetryAfter(120, "busy")).fields() == {"retry": True, "retry_after": 120.0}
    assert str(RetryAfter(90)) == "to be tried again after 90 s"
    assert verdict(RetryAfter(float("inf"))).fields() == {"retry": True}
    assert verdict(ValueError()).fields() == {"retry": True}


def test_a_group_is_judged_by_what_is_in_it() -> None:
    """What a nursery raises: one error that stays is enough, and the longest wait counts."""
    inner = ExceptionGroup("inner", [NoRetry("no")])
    assert not verdict(BaseExceptionGroup("outer", [ValueError(), inner])).may_retry
    assert verdict(ExceptionGroup("waits", [RetryAfter(5), RetryAfter(9)])).retry_after == 9


def test_the_words_end_a_sentence() -> None:
    """They follow `not tried again:` in the run's log."""
    assert verdict(server_error("42601")).fields() == {"retry": False, "lasting": "a syntax error stays one"}
