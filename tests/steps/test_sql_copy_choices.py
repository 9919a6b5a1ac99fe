"""`sql_copy`: which rows and columns are copied, and what becomes of those that JD Edwards writes in its own way."""

from __future__ import annotations

import sqlite3
import traceback
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from nomaflow.steps.databases.errors import RefusedValueError
from nomaflow.steps.sql_copy.errors import CopyError
from nomaflow.worker.lasting import verdict
from tests.fakes.context import Told
from tests.servers.postgresql import Server
from tests.steps.copying import Bench

BACKENDS = ["sqlite", "duckdb", "postgresql"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """No connectors yet."""
    return Bench(tmp_path)


@pytest.fixture(params=BACKENDS)
def source(request: pytest.FixtureRequest, bench: Bench, pg: Server) -> Bench:
    """A source `s` of each kind with three rows of `t`, and a target `d` in SQLite."""
    bench.add("s", request.param, pg if request.param == "postgresql" else None)
    bench.add("d", "sqlite")
    bench.sql("s", "CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(10), amount NUMERIC(10,2))")
    bench.sql("s", "INSERT INTO t VALUES (1, 'a', 1.5), (2, 'it''s', 2.5), (3, NULL, 3.5)")
    return bench


@pytest.fixture
def other_pg(postgresql: Server) -> Iterator[Server]:
    """A second database."""
    with postgresql.new_database() as made:
        yield made


def content(bench: Bench, name: str = "d", table: str = "t") -> list[tuple[Any, ...]]:
    return bench.sql(name, f"SELECT * FROM {table} ORDER BY 1")


def test_where_takes_some_rows(source: Bench) -> None:
    """Its values are bound, whatever is in them; `${…}` in the text is text."""
    output = source.copy("s.t", "d.t", where="name = :name OR id = :id -- ${kw:x}", params={"name": "it's", "id": 1})
    assert (output["source_rows"], output["target_rows"]) == (2, 2)
    assert content(source) == [(1, "a", 1.5), (2, "it's", 2.5)]


def test_columns_are_chosen_and_renamed(source: Bench) -> None:
    """In the order of the option, in any case; the key goes along under its new name."""
    source.copy("s.t", "d.t", columns={"ID": "number", "name": "called"})
    assert content(source) == [(1, "a"), (2, "it's"), (3, None)]
    assert source.sql("d", "SELECT name, pk FROM pragma_table_info('t')") == [("number", 1), ("called", 0)]
    source.copy("s.t", "d.u", columns=["amount"])
    assert content(source, table="u") == [(1.5,), (2.5,), (3.5,)]
    with pytest.raises(CopyError, match=r"names 'other', and s\.t has no such column; it has id, name, amount"):
        source.copy("s.t", "d.t", columns=["id", "other"])


def test_a_query_is_a_source(source: Bench) -> None:
    """One that only reads, with bound values; a new target gets the types that the database tells."""
    query = "SELECT id AS n, amount FROM t WHERE id < :below ORDER BY 1; -- done"
    told = Told()
    assert source.copy("s.t", "d.q", query=query, params={"below": 3}, told=told)["source_rows"] == 2
    assert content(source, table="q") == [(1, 1.5), (2, 2.5)]
    assert told.line("s.(query) → d.q")
    assert source.sql("d", "SELECT type FROM pragma_table_info('q') WHERE name = 'amount'") == [("DECIMAL(10,2)",)] or (
        source.connectors["s"]["backend"] == "sqlite"
    )


def test_a_query_on_sqlite_takes_no_write_lock(bench: Bench) -> None:
    """Its application may write on."""
    bench.add("s", "sqlite")
    bench.add("d", "duckdb")
    bench.sql("s", "CREATE TABLE t (a INTEGER)", "INSERT INTO t VALUES (1)", "PRAGMA journal_mode = wal")
    with closing(sqlite3.connect(bench.connectors["s"]["database"], isolation_level=None, timeout=0)) as application:
        application.execute("BEGIN IMMEDIATE")
        application.execute("INSERT INTO t VALUES (2)")
        assert bench.copy("s.t", "d.t", query="SELECT a, a + 1 AS b FROM t")["source_rows"] == 1
        application.execute("COMMIT")
    assert bench.sql("d", "DESCRIBE t")[0][1] == "BIGINT"


def test_a_query_that_changes_something_is_refused(source: Bench) -> None:
    """Whatever the definition let through."""
    with pytest.raises(CopyError, match="is no query, or changes something"):
        source.copy("s.t", "d.q", query="DELETE FROM t")
    assert len(content(source, "s")) == 3


def test_a_function_in_a_query_cannot_write(bench: Bench, pg: Server) -> None:
    """PostgreSQL is told that the transaction only reads."""
    bench.add("s", "postgresql", pg)
    bench.add("d", "sqlite")
    bench.sql("s", "CREATE TABLE t (a int)")
    bench.sql("s", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING a'")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        bench.copy("s.t", "d.q", query="SELECT f() AS a")


@pytest.mark.parametrize("backend", BACKENDS)
def test_inside_one_database_the_same_choices_hold(bench: Bench, pg: Server, backend: str) -> None:
    """Rows, columns and queries."""
    bench.add("s", backend, pg if backend == "postgresql" else None)
    bench.sql(
        "s", "CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(10))", "INSERT INTO t VALUES (1, 'a'), (2, 'b')"
    )
    bench.copy("s.t", "s.u", where="id > :low", params={"low": 1}, columns={"id": "n", "name": "name"})
    assert content(bench, "s", "u") == [(2, "b")]
    bench.copy("s.t", "s.u", "upsert", key=["n"], query="SELECT id + :more AS n, name FROM t", params={"more": 1})
    assert content(bench, "s", "u") == [(2, "a"), (3, "b")]


@pytest.mark.parametrize("backend", ["duckdb", "postgresql"])
def test_inside_one_database_nothing_is_rounded(bench: Bench, pg: Server, backend: str) -> None:
    """It would round without a word, so types that lose something are refused with both names."""
    bench.add("s", backend, pg if backend == "postgresql" else None)
    bench.sql(
        "s", "CREATE TABLE t (n numeric(10,2))", "INSERT INTO t VALUES (1.55)", "CREATE TABLE u (n numeric(10,1))"
    )
    with pytest.raises(CopyError, match=r"(?i)Column 'n' is (numeric|decimal)\(10,2\) in s\.t and .*\(10,1\) in s\.u"):
        bench.copy("s.t", "s.u")


@pytest.mark.parametrize("target", BACKENDS)
def test_types_that_never_fit_are_told_before_any_row_moves(bench: Bench, pg: Server, target: str) -> None:
    """The column and both types; the source is a view that would fail at its first row."""
    bench.add("s", "duckdb")
    bench.add("d", target, pg if target == "postgresql" else None)
    bench.sql("s", "CREATE VIEW t AS SELECT CAST(error('read') AS DATE) AS day")
    bench.sql("d", "CREATE TABLE t (day BIGINT)")
    with pytest.raises(CopyError, match=r"(?i)Column 'day' is date in s\.t and bigint in d\.t, which can hold none"):
        bench.copy("s.t", "d.t")


JDE = "CREATE TABLE f0911 (upmj INTEGER, aa NUMERIC(15), mcu CHAR(12), dgj NUMERIC(6))"


@pytest.mark.parametrize("target", BACKENDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_jd_edwards_columns_get_their_meaning(
    bench: Bench, pg: Server, other_pg: Server, backend: str, target: str
) -> None:
    """Julian dates, implied decimals and padded codes, into a table that the copy makes."""
    bench.add("s", backend, pg if backend == "postgresql" else None)
    bench.sql("s", JDE, "INSERT INTO f0911 VALUES (124060, 12345, '          30', 0), (99365, -5, 'A  ', NULL)")
    bench.add("d", target, other_pg if target == "postgresql" else None)
    bench.copy(
        "s.f0911",
        "d.f0911",
        type_coercion="jde",
        julian_columns=["UPMJ", "DGJ"],
        decimal_scales={"AA": 2},
        strip_both_columns=["MCU"],
    )
    day = "UPMJ" if target == "sqlite" else "CAST(UPMJ AS VARCHAR)"
    found = bench.sql("d", f"SELECT {day}, CAST(AA AS VARCHAR), MCU, DGJ FROM f0911 ORDER BY 1 DESC")
    amounts = ("123.45", "-0.05")
    assert found == [("2024-02-29", amounts[0], "30", None), ("1999-12-31", amounts[1], "A", None)]


@pytest.mark.parametrize("target", ["sqlite", "duckdb"])
@pytest.mark.parametrize("number", [124366, 124000, -1, 1000001])
def test_a_number_that_is_no_julian_date_is_told(bench: Bench, target: str, number: int) -> None:
    """With its row and column."""
    bench.add("s", "sqlite")
    bench.add("d", target)
    bench.sql("s", "CREATE TABLE t (d INTEGER)", f"INSERT INTO t VALUES (124366), ({number})")
    bench.sql("s", "UPDATE t SET d = 124001 WHERE rowid = 1")
    problem = (
        "Row 2, column 'd' holds a (number that is no Julian date|Julian date .CYYDDD. whose year has no such day)"
    )
    if number == 124366:
        bench.copy("s.t", "d.t", type_coercion="jde", julian_columns=["d"])
        return
    with pytest.raises(CopyError, match=problem):
        bench.copy("s.t", "d.t", type_coercion="jde", julian_columns=["d"])


@pytest.mark.parametrize("target", ["sqlite", "duckdb"])
def test_decimals_are_cut_only_when_asked(bench: Bench, target: str) -> None:
    """`preserve` refuses what the target's column does not have, `truncate` cuts it and never rounds."""
    bench.add("s", "duckdb")
    bench.add("d", target)
    bench.sql("s", "CREATE TABLE t (a INTEGER, b DECIMAL(10,4))", "INSERT INTO t VALUES (-12399, 1.5599)")
    bench.sql("d", "CREATE TABLE t (a DECIMAL(10,2), b DECIMAL(10,2))")
    jde: dict[str, Any] = {"type_coercion": "jde", "decimal_scales": {"a": 3}}
    with pytest.raises(CopyError, match="Row 1, column 'a' holds a number of more than 2 decimals"):
        bench.copy("s.t", "d.t", **jde)
    bench.copy("s.t", "d.t", decimal_mode="truncate", **jde)
    assert bench.sql("d", "SELECT CAST(a AS VARCHAR), CAST(b AS VARCHAR) FROM t") == [("-12.39", "1.55")]


def test_inside_one_database_nothing_is_coerced(bench: Bench) -> None:
    """The database copies by itself; a query can say the same."""
    bench.add("s", "duckdb")
    bench.sql("s", "CREATE TABLE t (a VARCHAR)")
    with pytest.raises(CopyError, match=r"Column 'a' of s\.t would be coerced on its way between two databases"):
        bench.copy("s.t", "s.u", strip_both_columns=["a"])


def test_a_column_to_coerce_has_to_be_there(source: Bench) -> None:
    """By the option that names it."""
    with pytest.raises(CopyError, match=r"strip_both_columns names 'mcu', and s\.t has no such column"):
        source.copy("s.t", "d.t", strip_both_columns=["mcu"])


@pytest.mark.parametrize("target", ["duckdb", "postgresql"])
@pytest.mark.parametrize("kind", ["JSON", "INTEGER[]"])
def test_a_value_that_the_database_refuses_is_told_without_it(bench: Bench, pg: Server, target: str, kind: str) -> None:
    """Where only the database knows the type, it says the row and the column; its own words would show the value."""
    bench.add("s", "sqlite")
    bench.add("d", target, pg if target == "postgresql" else None)
    fine = {"JSON": "[]", "INTEGER[]": "[]" if target == "duckdb" else "{}"}[kind]
    bench.sql(
        "s", "CREATE TABLE t (id INTEGER, v TEXT)", f"INSERT INTO t VALUES (1, '{fine}'), (2, NULL), (3, '{fine}')"
    )
    bench.sql("s", "INSERT INTO t VALUES (4, '{s3cret')")
    bench.sql("d", f"CREATE TABLE t (id BIGINT, v {kind})")
    with pytest.raises(RefusedValueError, match="Row 4, column 'v' holds a value that the target's column") as raised:
        bench.copy("s.t", "d.t", batch_size=2)
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))
    assert not verdict(raised.value).may_retry
