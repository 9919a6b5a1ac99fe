"""Oracle and SQL Server without their servers: addresses, parameters, cancel calls, refusals."""

from __future__ import annotations

import datetime as dt
import importlib.util
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import oracledb
import pyodbc
import pytest

from nomaflow.steps.databases import open_database
from nomaflow.steps.databases.dbapi import DbapiDatabase
from nomaflow.steps.databases.errors import DriverMissingError, OpenError
from nomaflow.steps.databases.mssql import MssqlDatabase
from nomaflow.steps.databases.oracle import OracleDatabase
from nomaflow.steps.sql_copy.copying import Copy, Place
from nomaflow.steps.sql_copy.errors import CopyError
from nomaflow.steps.sql_copy.types import ColumnType, Kind, parsed
from nomaflow.worker.lasting import verdict
from tests.fakes.context import file_connector, step_context
from tests.fakes.drivers import FakeConnection
from tests.steps.copying import Bench


def connector(backend: str, **changes: Any) -> dict[str, Any]:
    """A server as the engine describes it; nothing listens there."""
    given = file_connector(backend, None, "db") | {"host": "127.0.0.1", "port": 1, "username": "ana", "password": "x"}
    return given | {"application_name": "nomaflow run_1/a;b"} | changes


def oracle_error(code: str, *, lost: bool = False) -> oracledb.DatabaseError:
    class Told:
        full_code = code
        isrecoverable = lost

    return oracledb.DatabaseError(Told())


CASES: dict[str, tuple[type[DbapiDatabase], Exception]] = {
    "oracle": (OracleDatabase, oracle_error("ORA-01013")),
    "mssql": (MssqlDatabase, pyodbc.Error("HY008", "[HY008] Operation canceled (0) (SQLExecDirectW)")),
}


def faked(backend: str, answers: Any = ()) -> tuple[DbapiDatabase, FakeConnection]:
    """A database of ours on a driver's connection of the tests'."""
    made, error = CASES[backend]
    connection = FakeConnection(error, answers)

    class Faked(made):  # type: ignore[misc, valid-type]
        def _connector(self, given: Mapping[str, Any]) -> Callable[[], Any]:
            super()._connector(given)
            return lambda: connection

        def _begun(self) -> None:
            """The session of no server needs no settings."""

    return Faked(connector(backend)), connection


@pytest.mark.parametrize("backend", ["oracle", "mssql"])
def test_a_cancel_calls_the_drivers_own(backend: str) -> None:
    """Another thread ends the statement, and the transaction is rolled back."""
    database, connection = faked(backend)

    def cancel() -> None:
        connection.working.wait(10)
        database.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    with closing(database):
        with pytest.raises(type(CASES[backend][1])) as caught:
            database.execute("BEGIN_TO_wait(:a)", {"a": 1})
        thread.join()
        assert verdict(caught.value).may_retry
        assert database.rollback() is True
    assert connection.ended == ["rollback", "close"]
    assert database.may_go_on is False


@pytest.mark.parametrize("backend", ["oracle", "mssql"])
def test_parameters_are_bound_in_the_drivers_own_notation(backend: str) -> None:
    """A keyword is no name of a parameter for Oracle, and each mark of SQL Server's has a value of its own."""
    database, connection = faked(backend)
    moment = dt.datetime(2024, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    naive = moment.astimezone(dt.UTC).replace(tzinfo=None)
    assert database.execute("UPDATE t SET a = :date, b = ':c' WHERE a < :date;", {"date": moment}) == 7
    expected: dict[str, tuple[Any, ...]] = {
        "oracle": ("UPDATE t SET a = :p1, b = ':c' WHERE a < :p1", {"p1": naive}),
        "mssql": ("UPDATE t SET a = ?, b = ':c' WHERE a < ?;", [naive, naive]),
    }
    assert connection.given == [expected[backend]]


@pytest.mark.parametrize("backend", ["oracle", "mssql"])
def test_rows_are_counted_and_given_as_tuples(backend: str) -> None:
    """Whatever class the driver has for them."""
    database, _ = faked(backend, [(number,) for number in range(2500)])
    assert database.execute("SELECT a FROM t") == 2500
    assert [len(rows) for rows in database.stream("SELECT a FROM t", size=2000)] == [2000, 500]
    assert database.fetch("SELECT a FROM t")[-1] == (2499,)


def test_what_commits_by_itself_is_told_as_not_rolled_back() -> None:
    """Oracle commits a change of a table's definition; SQL Server does not, but makes databases outside of any."""
    for backend, sql, is_gone in (
        ("oracle", "CREATE TABLE t (a NUMBER)", False),
        ("mssql", "CREATE TABLE t (a INT)", True),
        ("mssql", "CREATE DATABASE t", False),
    ):
        database, connection = faked(backend)
        database.execute(sql)
        assert database.rollback() is is_gone
        assert connection.autocommit is False


@pytest.mark.parametrize("backend", ["oracle", "mssql"])
def test_a_server_that_is_not_there_is_told_by_the_drivers_sentence(backend: str) -> None:
    """The real driver is asked; it may answer the next time, and the password is not shown."""
    given = connector(backend, database="app", password="pa55word", query={"driver": "No Such Driver"})
    given = given if backend == "mssql" else given | {"query": {}}
    with pytest.raises(OpenError, match="The connector 'db' could not be opened: ") as caught:
        open_database(given)
    assert "pa55word" not in str(caught.value)
    assert verdict(caught.value).may_retry


def test_a_missing_driver_is_told_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, and no second try."""
    for backend, driver in (("mariadb", "pymysql"), ("oracle", "oracledb"), ("mssql", "pyodbc")):
        extra = "mysql" if backend == "mariadb" else backend
        assert importlib.util.find_spec(driver) is not None
        with monkeypatch.context() as without:
            without.setitem(sys.modules, driver, None)
            without.delitem(sys.modules, f"nomaflow.steps.databases.{extra}", raising=False)
            with pytest.raises(DriverMissingError) as caught:
                open_database(connector(backend))
        assert str(caught.value).endswith(f"install it with: pip install 'nomaflow[{extra}]'")
        assert "The connector 'db' needs a driver that is not installed" in str(caught.value)
        assert not verdict(caught.value).may_retry


@pytest.mark.parametrize(
    ("error", "may_retry"),
    [
        (oracle_error("ORA-00060"), True),
        (oracle_error("ORA-08177"), True),
        (oracle_error("ORA-03113"), True),
        (oracle_error("ORA-00942"), False),
        (oracle_error("ORA-00933"), False),
        (oracle_error("ORA-01031"), False),
        (oracle_error("ORA-01017"), False),
        (oracle_error("ORA-00001"), False),
        (pyodbc.Error("40001", "deadlock"), True),
        (pyodbc.OperationalError("08S01", "communication link failure"), True),
        (pyodbc.Error("HYT00", "timeout expired"), True),
        (pyodbc.ProgrammingError("42000", "syntax"), False),
        (pyodbc.ProgrammingError("42S02", "no table"), False),
        (pyodbc.IntegrityError("23000", "duplicate"), False),
        (pyodbc.InterfaceError("28000", "login failed"), False),
    ],
)
def test_errors_are_told_apart_by_their_codes(error: Exception, may_retry: bool) -> None:
    """Deadlocks, serialization failures and lost connections are tried again."""
    assert verdict(error).may_retry is may_retry


@pytest.mark.parametrize(
    ("backend", "declared", "kind"),
    [
        ("oracle", "NUMBER(9,2)", ColumnType(Kind.NUMERIC, 9, 2)),
        ("oracle", "NUMBER", ColumnType(Kind.NUMERIC)),
        ("oracle", "VARCHAR2(20)", ColumnType(Kind.TEXT, 20)),
        ("oracle", "DATE", ColumnType(Kind.TIMESTAMP, 0)),
        ("oracle", "TIMESTAMP(6) WITH TIME ZONE", ColumnType(Kind.TIMESTAMPTZ, 6)),
        ("oracle", "BLOB", ColumnType(Kind.BYTES)),
        ("mssql", "nvarchar(20)", ColumnType(Kind.TEXT, 20)),
        ("mssql", "decimal(9,2)", ColumnType(Kind.NUMERIC, 9, 2)),
        ("mssql", "datetime2(7)", ColumnType(Kind.TIMESTAMP, 7)),
        ("mssql", "datetimeoffset(3)", ColumnType(Kind.TIMESTAMPTZ, 3)),
        ("mssql", "money", ColumnType(Kind.NUMERIC)),
        ("mssql", "bit", ColumnType(Kind.BOOL)),
        ("mysql", "int(10) unsigned zerofill", ColumnType(Kind.INT64)),
        ("mysql", "bigint(20) unsigned", ColumnType(Kind.NUMERIC, 20, 0)),
        ("mysql", "tinyint(1)", ColumnType(Kind.BOOL)),
        ("mysql", "tinyint(4)", ColumnType(Kind.INT16)),
        ("mysql", "decimal(9,2) unsigned", ColumnType(Kind.NUMERIC, 9, 2)),
        ("mysql", "datetime", ColumnType(Kind.TIMESTAMP, 0)),
        ("mysql", "timestamp(3)", ColumnType(Kind.TIMESTAMPTZ, 3)),
        ("mysql", "enum('a','(5)')", ColumnType(Kind.TEXT)),
    ],
)
def test_types_are_known_by_their_names(backend: str, declared: str, kind: ColumnType) -> None:
    """With their limits: a DATETIME of MySQL has whole seconds, a DATE of Oracle's has a time of day."""
    assert parsed(backend, declared) == kind


def test_a_copy_does_not_write_where_nobody_has_tested_it(tmp_path: Any) -> None:
    """One sentence, before anything is read."""
    database, _ = faked("oracle")
    bench = Bench(tmp_path)
    bench.add("lite", "sqlite")
    ctx, _ = step_context()
    source = open_database(bench.connectors["lite"])
    with closing(source), pytest.raises(CopyError, match="a copy only reads from"):
        Copy(
            ctx,
            Place.of(source, {"connector": "lite", "table": "t"}),
            Place("ora", database, Place.of(source, {"connector": "ora", "table": "t"}).relation),  # type: ignore[arg-type]
            {"mode": "append"},
        ).run()
