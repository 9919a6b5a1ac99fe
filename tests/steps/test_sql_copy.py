"""`sql_copy`: modes, columns, failures; on files, since the rules are the same everywhere."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import pytest

from nomaflow.steps.sql_copy.errors import CopyError
from nomaflow.worker.context import StepCanceled
from tests.fakes.context import Told
from tests.steps.copying import Bench

FILES = ["sqlite", "duckdb"]
PAIRS = [(source, target) for source in FILES for target in FILES]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """No connectors yet."""
    return Bench(tmp_path)


@pytest.fixture(params=FILES)
def ends(request: pytest.FixtureRequest, bench: Bench) -> Bench:
    """A SQLite source `s` with three rows of `t`, and a target `d` of each kind."""
    bench.add("s", "sqlite")
    bench.add("d", request.param)
    bench.sql(
        "s", "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO t VALUES (1, 'a'), (2, ''), (3, NULL)"
    )
    return bench


ROWS = [(1, "a"), (2, ""), (3, None)]


def content(bench: Bench, table: str = "t") -> list[tuple[Any, ...]]:
    """The target's rows in the order of their first column."""
    return bench.sql("d", f"SELECT * FROM {table} ORDER BY 1")


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_missing_target_is_made_like_the_source(bench: Bench, source: str, target: str) -> None:
    """Columns, types, NOT NULL and the primary key."""
    bench.add("s", source)
    bench.add("d", target)
    bench.sql("s", "CREATE TABLE t (id BIGINT PRIMARY KEY, d DATE NOT NULL, n DECIMAL(10,2))")
    bench.sql("s", "INSERT INTO t VALUES (1, '2024-02-29', 1.50), (2, '2024-03-01', NULL)")
    output = bench.copy("s.t", "d.t")
    assert (output["source_rows"], output["target_rows"]) == (2, 2)
    assert output["elapsed_ms"] >= 0
    assert bench.sql("d", "SELECT id, CAST(d AS VARCHAR), n > 1 FROM t ORDER BY id") == [
        (1, "2024-02-29", 1),
        (2, "2024-03-01", None),
    ]
    with pytest.raises((sqlite3.IntegrityError, duckdb.ConstraintException)):
        bench.sql("d", "INSERT INTO t VALUES (1, '2024-02-29', 1)")
    with pytest.raises((sqlite3.IntegrityError, duckdb.ConstraintException)):
        bench.sql("d", "INSERT INTO t VALUES (3, NULL, 1)")


def test_overwrite_replaces_every_row_and_keeps_the_table(ends: Bench) -> None:
    """Column types, indexes and defaults of the target are its owner's business."""
    ends.sql("d", "CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR UNIQUE, loaded INTEGER DEFAULT 7)")
    ends.sql("d", "INSERT INTO t (id, name) VALUES (1, 'old'), (9, 'gone')")
    ends.copy("s.t", "d.t")
    assert content(ends) == [(1, "a", 7), (2, "", 7), (3, None, 7)]
    with pytest.raises((sqlite3.IntegrityError, duckdb.ConstraintException)):
        ends.sql("d", "INSERT INTO t (id, name) VALUES (4, 'a')")


def test_append_adds_rows(ends: Bench) -> None:
    """What is there stays."""
    ends.sql("d", "CREATE TABLE t (id BIGINT, name VARCHAR)", "INSERT INTO t VALUES (0, 'old')")
    assert ends.copy("s.t", "d.t", "append")["target_rows"] == 3
    assert content(ends) == [(0, "old"), *ROWS]


@pytest.mark.parametrize("key", [[], ["ID"], ["id"]])
def test_upsert_replaces_by_key_and_adds_the_others(ends: Bench, key: list[str]) -> None:
    """By the target's primary key, or by the one that is named, in any case."""
    ends.sql("d", "CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR)")
    ends.sql("d", "INSERT INTO t VALUES (2, 'old'), (9, 'stays')")
    output = ends.copy("s.t", "d.t", "upsert", key=key)
    assert (output["source_rows"], output["target_rows"]) == (3, 3)
    assert content(ends) == [*ROWS, (9, "stays")]


def test_upsert_needs_no_unique_index(ends: Bench) -> None:
    """A key that is named serves, whether the database knows it or not."""
    ends.sql("d", "CREATE TABLE t (id BIGINT, name VARCHAR)", "INSERT INTO t VALUES (2, 'old')")
    ends.copy("s.t", "d.t", "upsert", key=["id"])
    assert content(ends) == ROWS


def test_upsert_of_key_columns_only_adds_what_is_missing(ends: Bench) -> None:
    """There is nothing to replace."""
    ends.sql("s", "CREATE TABLE k (id INTEGER PRIMARY KEY)", "INSERT INTO k VALUES (1), (2)")
    ends.sql("d", "CREATE TABLE k (id BIGINT PRIMARY KEY)", "INSERT INTO k VALUES (2), (3)")
    assert ends.copy("s.k", "d.k", "upsert")["target_rows"] == 2
    assert content(ends, "k") == [(1,), (2,), (3,)]


def test_upsert_without_a_key_is_refused(ends: Bench) -> None:
    """The message says how to mend it."""
    ends.sql("d", "CREATE TABLE t (id BIGINT, name VARCHAR)")
    with pytest.raises(CopyError, match=r"d\.t has no primary key; name the columns .* with `key`"):
        ends.copy("s.t", "d.t", "upsert")


@pytest.mark.parametrize(
    ("row", "reason"), [("(2, 'a')", "stand in more than one row"), ("(4, NULL)", "NULL in the key")]
)
def test_upsert_by_a_key_that_is_none_is_refused(ends: Bench, row: str, reason: str) -> None:
    """Which of two rows should win is nobody's guess."""
    ends.sql(
        "s", "CREATE TABLE u (id INTEGER, name TEXT)", "INSERT INTO u VALUES (1, 'a')", f"INSERT INTO u VALUES {row}"
    )
    ends.sql("d", "CREATE TABLE u (id BIGINT, name VARCHAR)", "INSERT INTO u VALUES (1, 'old')")
    with pytest.raises(CopyError, match=reason):
        ends.copy("s.u", "d.u", "upsert", key=["name"])
    assert content(ends, "u") == [(1, "old")]


def test_columns_go_by_name_whatever_their_order_and_case(ends: Bench) -> None:
    """A name that differs in case only is taken where there is no other."""
    ends.sql("d", "CREATE TABLE t (NAME VARCHAR, ID BIGINT)")
    ends.copy("s.t", "d.t")
    assert ends.sql("d", "SELECT ID, NAME FROM t ORDER BY 1") == ROWS


def test_a_column_without_a_partner_is_told_with_both_sides(ends: Bench) -> None:
    """Either way round, before any row is touched."""
    ends.sql("d", "CREATE TABLE t (id BIGINT)", "INSERT INTO t VALUES (9)")
    with pytest.raises(CopyError, match=r"Column 'name' of s\.t has no column of that name in d\.t"):
        ends.copy("s.t", "d.t")
    ends.sql(
        "d", "DROP TABLE t", "CREATE TABLE t (id BIGINT, name VARCHAR, more VARCHAR)", "INSERT INTO t (id) VALUES (9)"
    )
    with pytest.raises(CopyError, match=r"Column 'more' of d\.t has no column of that name in s\.t and no default"):
        ends.copy("s.t", "d.t")
    assert content(ends) == [(9, None, None)]


def test_a_computed_column_is_left_to_the_target(ends: Bench) -> None:
    """Even where the source has one of the same name."""
    ends.sql("s", "CREATE TABLE g (id INTEGER, twice INTEGER)", "INSERT INTO g VALUES (1, 100)")
    ends.sql("d", "CREATE TABLE g (id BIGINT, twice BIGINT GENERATED ALWAYS AS (id * 2) VIRTUAL)")
    ends.copy("s.g", "d.g")
    assert content(ends, "g") == [(1, 2)]


def test_a_missing_source_is_told(ends: Bench) -> None:
    """By connector and table."""
    with pytest.raises(CopyError, match=r"There is no table s\.none"):
        ends.copy("s.none", "d.t")


def test_a_value_that_does_not_fit_leaves_the_target_as_it_was(ends: Bench) -> None:
    """The error names row and column; what was loaded before it is gone, and no table is left beside the target."""
    ends.sql("s", "INSERT INTO t VALUES (4, 'x')")
    ends.sql("d", "CREATE TABLE t (id BIGINT, name DATE)", "INSERT INTO t VALUES (9, NULL)")
    ends.sql("s", "UPDATE t SET name = NULL WHERE id < 4")
    for mode in ("overwrite", "append", "upsert"):
        with pytest.raises(CopyError, match="Row 4, column 'name' holds text that is no date"):
            ends.copy("s.t", "d.t", mode, batch_size=2, key=["id"])
    assert content(ends) == [(9, None)]
    assert tables(ends) == ["t"]


@pytest.mark.parametrize("target", FILES)
def test_days_that_python_does_not_know_are_carried_over(bench: Bench, target: str) -> None:
    """Infinity, years before the first and after the 9999th, and the end of a day, there and back."""
    bench.add("s", "duckdb")
    bench.add("d", target)
    bench.sql(
        "s",
        "CREATE TABLE t (id INTEGER, d DATE, ts TIMESTAMP, tz TIMESTAMPTZ, tm TIME)",
        "INSERT INTO t VALUES (1, 'infinity', '-infinity', 'infinity', '24:00:00'), (2, NULL, NULL, NULL, NULL)",
        "INSERT INTO t VALUES (3, '0044-03-15 (BC)', '0044-03-15 (BC) 01:02:03.5', '12024-02-29 01:02:03+00', '00:00')",
        "INSERT INTO t VALUES (4, '2024-02-29', '2024-02-29 01:02:03.5', '2024-02-29 01:02:03+02', '23:59:59.999999')",
    )
    # Row by row, so that one goes the fast way and the next one cannot.
    bench.copy("s.t", "d.t", batch_size=1)
    bench.copy("d.t", "s.back", batch_size=1)
    assert bench.sql("s", "FROM t EXCEPT FROM back") == bench.sql("s", "FROM back EXCEPT FROM t") == []
    bench.sql("s", "ALTER TABLE t ALTER d TYPE TIMESTAMP")
    bench.sql("d", "DELETE FROM t")
    with pytest.raises(CopyError, match="Row 1, column 'd' holds text that is no date"):
        bench.copy("s.t", "d.t")


def test_a_target_that_was_to_be_made_is_not_there_after_a_failure(ends: Bench) -> None:
    """Its creation is part of the same transaction."""
    told = Told(on_progress=lambda _: ends.ctx.canceler.cancel("user:test"))
    with pytest.raises(StepCanceled):
        ends.copy("s.t", "d.t", told=told)
    assert tables(ends) == []


def test_a_canceled_copy_leaves_the_target_as_it_was(ends: Bench) -> None:
    """The request comes between two batches."""
    ends.sql("d", "CREATE TABLE t (id BIGINT, name VARCHAR)", "INSERT INTO t VALUES (9, 'old')")
    told = Told(on_progress=lambda _: ends.ctx.canceler.cancel("user:test"))
    with pytest.raises(StepCanceled):
        ends.copy("s.t", "d.t", told=told, batch_size=1)
    assert len(told.progress) == 1
    assert content(ends) == [(9, "old")]
    assert tables(ends) == ["t"]


def test_progress_and_one_line_a_batch(ends: Bench) -> None:
    """How many rows so far, out of how many; the way that is taken; the moment of the swap."""
    told = Told()
    ends.copy("s.t", "d.t", told=told, batch_size=2)
    assert told.progress == [
        {"done": 2, "total": 3, "unit": "rows", "text": ""},
        {"done": 3, "total": 3, "unit": "rows", "text": ""},
    ]
    backend = ends.connectors["d"]["backend"]
    assert [line for line in told.lines if "committed" not in line] == [
        "INFO d.t does not exist and is made like s.t",
        f"INFO s.t → d.t (overwrite), sqlite to {backend} by {'columns' if backend == 'duckdb' else 'rows'}",
        "INFO batch 1: 2 rows, 2 so far",
        "INFO batch 2: 1 rows, 3 so far",
        "INFO swap: 3 new rows take the place of 0 old ones",
    ]
    assert told.line("committed in")


def test_an_empty_source_empties_the_target(ends: Bench) -> None:
    """No rows in, no rows out."""
    ends.sql("s", "DELETE FROM t")
    ends.sql("d", "CREATE TABLE t (id BIGINT, name VARCHAR)", "INSERT INTO t VALUES (9, 'old')")
    output = ends.copy("s.t", "d.t")
    assert (output["source_rows"], output["target_rows"]) == (0, 0)
    assert content(ends) == []


@pytest.mark.parametrize("backend", FILES)
@pytest.mark.parametrize("mode", ["overwrite", "append", "upsert"])
def test_two_connectors_to_one_file_are_one_database(bench: Bench, backend: str, mode: str) -> None:
    """It copies inside, since two connections to a file would wait for each other."""
    bench.add("d", backend)
    bench.connectors["other"] = bench.connectors["d"] | {"name": "other"}
    bench.sql("d", "CREATE TABLE t (id BIGINT, name VARCHAR)", "INSERT INTO t VALUES (1, 'a')")
    told = Told()
    output = bench.copy("other.t", "d.u", mode, key=["id"], told=told)
    assert (output["source_rows"], output["target_rows"]) == (1, 1)
    assert content(bench, "u") == [(1, "a")]
    assert told.line("other.t → d.u").endswith(f"inside {backend}")


@pytest.mark.parametrize("backend", FILES)
def test_a_view_of_the_target_can_be_its_source(bench: Bench, backend: str) -> None:
    """It is read before the old rows go."""
    bench.add("d", backend)
    bench.sql(
        "d",
        "CREATE TABLE t (id BIGINT)",
        "INSERT INTO t VALUES (1), (2)",
        "CREATE VIEW v AS SELECT id FROM t WHERE id > 1",
    )
    assert bench.copy("d.v", "d.t")["target_rows"] == 1
    assert content(bench) == [(2,)]


@pytest.mark.parametrize("backend", FILES)
def test_a_table_is_not_copied_onto_itself(bench: Bench, backend: str) -> None:
    """By whatever spelling it is named."""
    bench.add("d", backend)
    bench.sql("d", "CREATE TABLE t (id BIGINT)", "INSERT INTO t VALUES (1)")
    with pytest.raises(CopyError, match="same table"):
        bench.copy("d.t", "d.main.T")
    assert content(bench) == [(1,)]


def test_a_target_that_drops_rows_fails_the_copy(bench: Bench) -> None:
    """Rows in = rows out, whatever a trigger thinks."""
    bench.add("s", "duckdb")
    bench.add("d", "sqlite")
    bench.sql("s", "CREATE TABLE t (id BIGINT)", "INSERT INTO t VALUES (1), (2)")
    bench.sql(
        "d",
        "CREATE TABLE t (id INTEGER)",
        "INSERT INTO t VALUES (9)",
        "CREATE TRIGGER drops BEFORE INSERT ON t WHEN new.id = 2 BEGIN SELECT raise(IGNORE); END",
    )
    with pytest.raises(CopyError, match=r"s\.t gave 2 rows and d\.t took 1"):
        bench.copy("s.t", "d.t")
    assert content(bench) == [(9,)]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_names_with_quotes_and_colons_are_names(bench: Bench, source: str, target: str) -> None:
    """Identifiers are quoted, never pasted."""
    bench.add("s", source)
    bench.add("d", target)
    name = '"we""ird :t; DROP"'
    bench.sql("s", f'CREATE TABLE {name} ("a :b" BIGINT, "c""d" VARCHAR)', f"INSERT INTO {name} VALUES (1, 'x')")
    for mode in ("overwrite", "upsert"):
        bench.copy('s.we"ird :t; DROP', 'd.we"ird :t; DROP', mode, key=["a :b"])
    assert bench.sql("d", f"SELECT * FROM {name}") == [(1, "x")]


def tables(bench: Bench) -> list[str]:
    """All tables of the target."""
    catalogue = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
        "duckdb": "SELECT table_name FROM duckdb_tables()",
    }
    return [name for (name,) in bench.sql("d", catalogue[bench.connectors["d"]["backend"]])]
