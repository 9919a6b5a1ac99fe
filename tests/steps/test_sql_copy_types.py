"""Types and values between the databases, without one."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.steps.sql_copy.errors import CopyError
from nomaflow.steps.sql_copy.types import ColumnType, Kind, declared, parsed, sqlite_affinity
from nomaflow.steps.sql_copy.values import Conversion, Ends, conversion, converted

# What PostgreSQL declares, and what a table made in the other two says.
TABLE = [
    ("smallint", "SMALLINT", "SMALLINT"),
    ("integer", "INTEGER", "INTEGER"),
    ("bigint", "BIGINT", "BIGINT"),
    ("numeric(10,2)", "DECIMAL(10,2)", "DECIMAL(10,2)"),
    ("numeric(20,5)", "DECIMAL(20,5)", "DECIMAL_TEXT(20,5)"),
    ("numeric(7)", "DECIMAL(7,0)", "DECIMAL(7,0)"),
    ("numeric(50,20)", "DECIMAL(38,20)", "DECIMAL_TEXT(50,20)"),
    ("numeric(3,5)", "DECIMAL(38,18)", "DECIMAL_TEXT"),
    ("numeric(3,-2)", "DECIMAL(38,18)", "DECIMAL_TEXT"),
    ("numeric", "DECIMAL(38,18)", "DECIMAL_TEXT"),
    ("real", "FLOAT", "REAL"),
    ("double precision", "DOUBLE", "DOUBLE"),
    ("boolean", "BOOLEAN", "BOOLEAN"),
    ("text", "VARCHAR", "TEXT"),
    ("character varying(5)", "VARCHAR", "TEXT"),
    ("character(3)", "VARCHAR", "TEXT"),
    ("date", "DATE", "DATE"),
    ("time(3) without time zone", "TIME", "TIME"),
    ("timestamp without time zone", "TIMESTAMP", "TIMESTAMP"),
    ("timestamp(3) with time zone", "TIMESTAMPTZ", "TIMESTAMPTZ"),
    ("interval", "INTERVAL", "INTERVAL"),
    ("interval(2)", "INTERVAL", "INTERVAL"),
    ("bytea", "BLOB", "BLOB"),
    ("json", "JSON", "JSON_TEXT"),
    ("jsonb", "JSON", "JSONB_TEXT"),
    ("uuid", "UUID", "UUID"),
    ("integer[]", "VARCHAR", "TEXT"),
    ("public.mood", "VARCHAR", "TEXT"),
    ("inet", "VARCHAR", "TEXT"),
    ("time with time zone", "VARCHAR", "TEXT"),
]


@pytest.mark.parametrize(("postgresql", "duckdb", "sqlite"), TABLE)
def test_a_type_has_a_counterpart_that_keeps_its_values(postgresql: str, duckdb: str, sqlite: str) -> None:
    """What a new table declares for a column of PostgreSQL."""
    column = parsed("postgresql", postgresql)
    assert (declared("duckdb", column), declared("sqlite", column)) == (duckdb, sqlite)


@pytest.mark.parametrize(
    ("backend", "name", "expected"),
    [
        ("duckdb", "UTINYINT", ColumnType(Kind.INT16)),
        ("duckdb", "UBIGINT", ColumnType(Kind.NUMERIC, 20, 0)),
        ("duckdb", "HUGEINT", ColumnType(Kind.NUMERIC, 39, 0)),
        ("duckdb", "DECIMAL(18,3)", ColumnType(Kind.NUMERIC, 18, 3)),
        ("duckdb", "TIMESTAMP WITH TIME ZONE", ColumnType(Kind.TIMESTAMPTZ)),
        ("duckdb", "TIMESTAMP_NS", ColumnType(Kind.OTHER)),
        ("duckdb", "STRUCT(a INTEGER)", ColumnType(Kind.OTHER)),
        ("duckdb", "DECIMAL(4,1)[]", ColumnType(Kind.OTHER)),
        ("duckdb", "ENUM('a', 'b')", ColumnType(Kind.OTHER)),
        ("sqlite", "INT", ColumnType(Kind.INT64)),
        ("sqlite", "UNSIGNED BIG INT", ColumnType(Kind.INT64)),
        ("sqlite", "VARCHAR(20)", ColumnType(Kind.TEXT)),
        ("sqlite", "NVARCHAR (20)", ColumnType(Kind.TEXT)),
        ("sqlite", "DECIMAL (10, 2)", ColumnType(Kind.NUMERIC, 10, 2)),
        ("sqlite", "NUMERIC", ColumnType(Kind.NUMERIC)),
        ("sqlite", "DateTime", ColumnType(Kind.TIMESTAMP)),
        ("sqlite", "FLOAT", ColumnType(Kind.FLOAT64)),
        ("sqlite", "", ColumnType(Kind.OTHER)),
        ("sqlite", "MONEY", ColumnType(Kind.OTHER)),
    ],
)
def test_a_declared_type_is_understood(backend: str, name: str, expected: ColumnType) -> None:
    """Each database's own names, and SQLite's rules for names that it does not know."""
    assert parsed(backend, name) == expected


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.FLOAT32, Kind.OTHER)])
def test_sqlite_keeps_what_a_column_was(kind: Kind) -> None:
    """A table made in SQLite is read back as the type that it was made from; an INTEGER there has 64 bits."""
    there_and_back = parsed("sqlite", declared("sqlite", ColumnType(kind)))
    assert there_and_back == ColumnType(Kind.INT64 if kind is Kind.INT32 else kind)


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.JSON, Kind.JSONB, Kind.NUMERIC])
def test_sqlite_leaves_text_alone(kind: Kind) -> None:
    """In a column whose type does not say so, SQLite makes a number of a text that looks like one."""
    assert sqlite_affinity(declared("sqlite", ColumnType(kind))) == "TEXT"


def planned(column: str, source: str, target: str) -> Conversion:
    """How a column goes from `backend:type` to `backend:type`."""
    (source_backend, source_type), (target_backend, target_type) = (place.split(":", 1) for place in (source, target))
    source_kind, target_kind = parsed(source_backend, source_type), parsed(target_backend, target_type)
    return conversion(Ends(column, source_backend, source_kind, target_backend, target_kind, target_type))


def carried(value: Any, source: str, target: str) -> Any:
    """One value from `backend:type` to `backend:type`."""
    return converted([(value,)], [planned("c", source, target)], 1)[0][0]


MOMENT = dt.datetime(2024, 2, 29, 1, 2, 3, 4)  # noqa: DTZ001  # a column without a zone
INSTANT = MOMENT.replace(tzinfo=dt.timezone(dt.timedelta(hours=2)))
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (None, "sqlite:DATE", "postgresql:date", None),
        ("", "sqlite:TEXT", "postgresql:text", ""),
        (7, "sqlite:TEXT", "postgresql:text", "7"),
        (" 12 ", "sqlite:INTEGER", "duckdb:INTEGER", 12),
        (12.0, "sqlite:INTEGER", "duckdb:SMALLINT", 12),
        (Decimal("5.0"), "postgresql:numeric", "duckdb:BIGINT", 5),
        (1, "sqlite:BOOLEAN", "duckdb:BOOLEAN", True),
        ("FALSE", "sqlite:BOOLEAN", "postgresql:boolean", False),
        (12.5, "sqlite:DECIMAL(10,2)", "postgresql:numeric(10,2)", Decimal("12.50")),
        (0.1, "sqlite:DECIMAL(10,2)", "postgresql:numeric", Decimal("0.1")),
        (3, "sqlite:DECIMAL(10,2)", "duckdb:DECIMAL(10,2)", Decimal("3.00")),
        ("1e3", "sqlite:DECIMAL_TEXT", "postgresql:numeric", Decimal("1E+3")),
        ("2024-02-29", "sqlite:DATE", "duckdb:DATE", dt.date(2024, 2, 29)),
        ("2024-02-29 00:00:00", "sqlite:DATE", "duckdb:DATE", dt.date(2024, 2, 29)),
        ("2024-02-29T01:02:03.000004", "sqlite:TIMESTAMP", "duckdb:TIMESTAMP", MOMENT),
        ("2024-02-29 01:02:03.000004+02:00", "sqlite:TIMESTAMPTZ", "postgresql:timestamp with time zone", INSTANT),
        ("2024-02-29 01:02:03Z", "sqlite:TIMESTAMP", "duckdb:TIMESTAMP", MOMENT.replace(microsecond=0)),
        (INSTANT, "postgresql:timestamp with time zone", "sqlite:TIMESTAMPTZ", "2024-02-28 23:02:03.000004+00:00"),
        (MOMENT, "postgresql:timestamp without time zone", "sqlite:TIMESTAMP", "2024-02-29 01:02:03.000004"),
        (True, "postgresql:boolean", "sqlite:BOOLEAN", 1),
        (ID, "postgresql:uuid", "sqlite:UUID", str(ID)),
        (str(ID), "sqlite:UUID", "duckdb:UUID", ID),
        (Decimal("12.50"), "postgresql:numeric(10,2)", "sqlite:DECIMAL(10,2)", 12.5),
        (Decimal("1E+3"), "postgresql:numeric", "sqlite:DECIMAL_TEXT", "1000"),
        (Decimal(2**62), "postgresql:numeric", "sqlite:NUMERIC", 2**62),
        ("-1 years +3 days", "postgresql:interval", "duckdb:INTERVAL", "-1 years 3 days"),
        ('{"a": 1.50}', "postgresql:json", "sqlite:JSON_TEXT", '{"a": 1.50}'),
        (b"\x00\xff", "sqlite:BLOB", "postgresql:bytea", b"\x00\xff"),
        ("x", "sqlite:INTEGER", "sqlite:INTEGER", "x"),
        (2**60, "sqlite:", "sqlite:NUMERIC", 2**60),
    ],
)
def test_a_value_arrives_as_what_it_is(value: Any, source: str, target: str, expected: Any) -> None:
    """Same value and class, in the form that the target's database takes."""
    result = carried(value, source, target)
    assert (type(result), result) == (type(expected), expected)
    if isinstance(expected, Decimal):
        assert str(result) == str(expected)


@pytest.mark.parametrize(
    ("value", "source", "target", "reason"),
    [
        ("x", "sqlite:INTEGER", "duckdb:BIGINT", "text that is no whole number"),
        (1.5, "sqlite:INTEGER", "duckdb:BIGINT", "no whole number"),
        (float("nan"), "sqlite:REAL", "duckdb:BIGINT", "no whole number"),
        (40_000, "postgresql:integer", "duckdb:SMALLINT", "16 bits"),
        (40_000, "sqlite:SMALLINT", "duckdb:SMALLINT", "16 bits"),
        (Decimal("1.005"), "postgresql:numeric", "duckdb:DECIMAL(10,2)", "more than 2 decimals"),
        (Decimal("12345"), "postgresql:numeric", "duckdb:DECIMAL(5,2)", "more than 3 digits before the point"),
        ("1,5", "sqlite:DECIMAL(10,2)", "postgresql:numeric", "text that is no decimal number"),
        (Decimal("0.1234567890123456"), "postgresql:numeric", "sqlite:NUMERIC", "15 digits"),
        (2, "sqlite:BOOLEAN", "duckdb:BOOLEAN", "no boolean"),
        ("29.02.2024", "sqlite:DATE", "postgresql:date", "text that is no date"),
        ("2024-02-30", "sqlite:DATE", "postgresql:date", "text that is no date"),
        (2460370, "sqlite:DATE", "postgresql:date", "no date"),
        (MOMENT, "postgresql:timestamp without time zone", "duckdb:DATE", "time of day"),
        ("2024-02-29 00:00:00.1234567", "sqlite:TIMESTAMP", "duckdb:TIMESTAMP", "finer than microseconds"),
        (b"x", "sqlite:TEXT", "postgresql:text", "bytes that is no text"),
        ("x", "sqlite:BLOB", "postgresql:bytea", "text that is no bytes"),
        ("x", "sqlite:UUID", "postgresql:uuid", "text that is no UUID"),
        (float("nan"), "postgresql:double precision", "sqlite:DOUBLE", "NaN"),
        ("1.50", "postgresql:json", "sqlite:JSON", "JSON number"),
        ("", "sqlite:DATE", "postgresql:date", "text that is no date"),
    ],
)
def test_a_value_that_does_not_fit_is_told_never_changed(value: Any, source: str, target: str, reason: str) -> None:
    """Nothing is rounded, cut or guessed."""
    with pytest.raises(CopyError, match=reason):
        carried(value, source, target)


def test_the_error_names_row_and_column_and_keeps_the_value_to_itself() -> None:
    """A log is read by more people than the table."""
    plan = planned("salary", "sqlite:INTEGER", "duckdb:BIGINT")
    with pytest.raises(CopyError, match="Row 12, column 'salary' holds text that is no whole number") as raised:
        converted([(1,), (None,), ("forty-two",)], [plan], 10)
    assert "forty-two" not in str(raised.value)


@given(st.lists(st.tuples(st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | st.text()), min_size=1))
def test_rows_that_need_nothing_are_handed_on(rows: list[tuple[Any, ...]]) -> None:
    """Integers and text of SQLite are what the others take."""
    plans = [
        planned("i", "sqlite:INTEGER", "duckdb:BIGINT"),
        planned("t", "sqlite:TEXT", "duckdb:VARCHAR"),
    ]
    assert converted(rows, plans, 1) == rows


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=6))
def test_a_decimal_comes_back_from_sqlite_as_it_went(number: Decimal) -> None:
    """Through a column that SQLite treats as text."""
    stored = carried(number, "postgresql:numeric", "sqlite:DECIMAL_TEXT")
    assert str(carried(stored, "sqlite:DECIMAL_TEXT", "postgresql:numeric")) == format(number, "f")
