"""Types that fit, columns of Arrow, and JD Edwards' notation: without a database."""

from __future__ import annotations

import csv
import datetime as dt
import io
import subprocess
import sys
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.steps.sql_copy import arrays, columnar, jde
from nomaflow.steps.sql_copy.errors import CopyError, Misfit
from nomaflow.steps.sql_copy.fits import always_fits, may_fit
from nomaflow.steps.sql_copy.types import Kind, parsed
from nomaflow.steps.sql_copy.values import Ends


@pytest.mark.parametrize(
    ("source", "target", "may", "always"),
    [
        ("integer", "bigint", True, True),
        ("bigint", "integer", True, False),
        ("integer", "numeric(10,0)", True, True),
        ("bigint", "numeric(18,0)", True, False),
        ("numeric(10,2)", "numeric(12,4)", True, True),
        ("numeric(10,2)", "numeric(10,4)", True, False),
        ("numeric", "numeric(10,2)", True, False),
        ("numeric(10,2)", "numeric", True, True),
        ("real", "double precision", True, True),
        ("double precision", "real", True, False),
        ("boolean", "integer", True, False),
        ("character varying(5)", "character varying(6)", True, True),
        ("character varying(5)", "text", True, True),
        ("text", "character varying(5)", True, False),
        ("timestamp(3) without time zone", "timestamp without time zone", True, True),
        ("timestamp without time zone", "timestamp(3) without time zone", True, False),
        ("date", "timestamp without time zone", True, False),
        ("timestamp with time zone", "date", True, False),
        ("date", "bigint", False, False),
        ("time without time zone", "date", False, False),
        ("bytea", "text", False, False),
        ("bytea", "integer", False, False),
        ("bytea", "uuid", True, False),
        ("json", "jsonb", True, False),
        ("uuid", "json", False, False),
        ("interval", "time without time zone", False, False),
        ("integer[]", "text", True, False),
        ("text", "date", True, False),
    ],
)
def test_what_fits_is_known_by_the_types(source: str, target: str, may: bool, always: bool) -> None:
    """Never, value by value, or surely."""
    first, second = parsed("postgresql", source), parsed("postgresql", target)
    assert (may_fit(first.kind, second.kind), always_fits(first, second)) == (may, always)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_fits_itself_and_a_text_but_bytes(kind: Kind) -> None:
    """Text holds what a database shows."""
    assert may_fit(kind, kind)
    assert may_fit(kind, Kind.TEXT) is (kind is not Kind.BYTES)


@pytest.mark.parametrize(
    ("value", "day"),
    [
        (124060, dt.date(2024, 2, 29)),
        (99365, dt.date(1999, 12, 31)),
        (1, dt.date(1900, 1, 1)),
        ("124366", dt.date(2024, 12, 31)),
        (" 100001 ", dt.date(2000, 1, 1)),
        (Decimal("123365"), dt.date(2023, 12, 31)),
        (124060.0, dt.date(2024, 2, 29)),
        (999365, dt.date(2899, 12, 31)),
        (0, None),
        ("      ", None),
    ],
)
def test_a_julian_date_is_a_day(value: Any, day: dt.date | None) -> None:
    """Centuries since 1900, year, day of the year; zero and blanks are none."""
    assert jde.julian_date(value) == day


@pytest.mark.parametrize("value", [123366, 124000, -1, 1_000_001, 124060.5, "12A", b"1", True, float("nan")])
def test_what_is_no_julian_date_is_told(value: Any) -> None:
    """No day is guessed."""
    with pytest.raises(Misfit):
        jde.julian_date(value)


@given(st.dates(dt.date(1900, 1, 1), dt.date(2899, 12, 31)))
def test_every_day_comes_back_from_its_julian_date(day: dt.date) -> None:
    """Leap years, too."""
    number = (day.year - 1900) * 1000 + day.timetuple().tm_yday
    assert jde.julian_date(number) == day


@pytest.mark.parametrize(
    ("scale", "value", "number"),
    [(2, 12345, "123.45"), (2, -5, "-0.05"), (0, 7, "7"), (3, Decimal("1.5"), "0.0015"), (2, "100", "1.00")],
)
def test_an_implied_point_is_put_in(scale: int, value: Any, number: str) -> None:
    """Exactly, whatever the number is kept as."""
    assert str(jde.scaled(scale, value)) == number


@pytest.mark.parametrize(
    ("declared", "scale", "expected"),
    [
        ("integer", 2, "numeric(10,2)"),
        ("bigint", 0, "numeric(19,0)"),
        ("numeric(15,0)", 2, "numeric(15,2)"),
        ("numeric(2,1)", 3, "numeric(4,4)"),
        ("double precision", 2, "numeric"),
    ],
)
def test_a_new_column_keeps_every_number_with_its_point(declared: str, scale: int, expected: str) -> None:
    """As many digits as before, and all decimals."""
    assert jde.scaled_type(parsed("postgresql", declared), scale) == parsed("postgresql", expected)


def plan(source: str, target: str, backend: str = "postgresql") -> columnar.Plan:
    """How a column goes from a type of PostgreSQL into one of DuckDB."""
    return columnar.planned(Ends("c", backend, parsed(backend, source), "duckdb", parsed("duckdb", target), target))


def arrived(table: pa.Table, target: str) -> list[Any]:
    """What DuckDB makes of the column, as text."""
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        database.execute(f"CREATE TABLE t (c {target})")
        database.register("given", table)
        database.execute("INSERT INTO t SELECT * FROM given")
        return [value for (value,) in database.execute("SELECT CAST(c AS VARCHAR) FROM t").fetchall()]


TEXTS = [
    ("smallint", "SMALLINT", ["-32768", None, "7"], None),
    ("bigint", "INTEGER", ["7", None], ["2147483648", "fit 32 bits"]),
    ("numeric(10,2)", "DECIMAL(12,3)", ["1.50", None, "-0.01"], None),
    ("numeric", "DECIMAL(10,2)", ["1.500", None], ["1.505", "more than 2 decimals"]),
    ("numeric", "DECIMAL(38,18)", ["0.000000000000000001", None], ["NaN", "holds NaN or infinity"]),
    ("numeric", "BIGINT", ["7", None], ["7.5", "no whole number"]),
    ("real", "DOUBLE", ["0.1", None, "NaN"], None),
    ("double precision", "FLOAT", ["0.1", None], None),
    ("boolean", "BOOLEAN", ["t", None, "f"], None),
    ("text", "VARCHAR", ["", None, 'a,"b"\r\n', "\\.", "\U0001f600", " "], None),
    ("text", "DATE", ["2024-02-29", None], ["29.02.2024", "no date"]),
    ("date", "DATE", ["2024-02-29", None, "infinity", "0044-03-15 BC", "12024-01-01"], None),
    ("date", "TIMESTAMP", ["2024-02-29", None], ["infinity", "no date and time"]),
    ("time without time zone", "TIME", ["24:00:00", None, "01:02:03.5"], None),
    ("timestamp without time zone", "TIMESTAMP", ["2024-02-29 01:02:03.5", None, "-infinity"], None),
    (
        "timestamp without time zone",
        "TIMESTAMP_MS",
        ["2024-02-29 01:02:03.5"],
        ["2024-02-29 01:02:03.0005", "3 digits"],
    ),
    ("timestamp with time zone", "TIMESTAMPTZ", ["2024-02-29 01:02:03+00", "9999-12-31 23:59:59.999999+00"], None),
    ("bytea", "BLOB", ["\\x00ff", "\\x", None], None),
    ("uuid", "UUID", ["12345678-1234-5678-1234-567812345678", None], None),
    ("interval", "INTERVAL", ["-1 years +3 days", None], None),
    ("jsonb", "JSON", ['{"a": 1.50}', "null", None], None),
    ("integer[]", "VARCHAR", ["{1,NULL}", None], None),
]


@pytest.mark.parametrize(("source", "target", "texts", "bad"), TEXTS)
def test_what_arrow_reads_is_what_python_reads(
    source: str, target: str, texts: list[str | None], bad: list[str] | None
) -> None:
    """The fast way and the slow one give DuckDB the same values; the slow one says which row does not fit."""
    one = plan(source, target)
    slow = columnar.Plan(one.conversion, one.kind, one.given, None, one.decode, False, False, False)
    data = written(texts)
    fast = columnar.from_csv(data, len(texts), [one], 1)
    assert arrived(fast, target) == arrived(columnar.from_csv(data, len(texts), [slow], 1), target)
    if bad is not None:
        value, problem = bad
        with pytest.raises(CopyError, match=f"Row {10 + len(texts)}, column 'c' .*{problem}"):
            columnar.from_csv(written([*texts, value]), len(texts) + 1, [one], 10)


def written(texts: list[str | None]) -> bytes:
    """A column as PostgreSQL's COPY writes it: NULL is nothing, and an empty text is in quotes."""
    lines = io.StringIO()
    for text in texts:
        if text is None:
            lines.write("\n")
        else:
            csv.writer(lines, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow([text])
    return lines.getvalue().encode()


def test_rows_that_do_not_add_up_are_told() -> None:
    """A batch that was read as another number of rows is never written."""
    with pytest.raises(CopyError, match="sent 3 rows from row 1 on, of which 2 could be read"):
        columnar.from_csv(b"1\n2\n", 3, [plan("integer", "INTEGER")], 1)


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_whole_numbers_become_an_array(values: list[int | None]) -> None:
    """With their NULLs."""
    assert arrays.integers(values, "q", pa.int64()).to_pylist() == values


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_become_an_array(values: list[str | None]) -> None:
    """With every character, NUL too, and their NULLs."""
    made = arrays.texts(values)
    made.validate(full=True)
    assert made.to_pylist() == values


@given(st.lists(st.none() | st.binary()), st.lists(st.none() | st.booleans()), st.lists(st.none() | st.floats()))
def test_bytes_truth_values_and_floats_become_arrays(
    binaries: list[bytes | None], booleans: list[bool | None], floats: list[float | None]
) -> None:
    """With their NULLs, and NaN as itself."""
    assert arrays.binaries(binaries).to_pylist() == binaries
    assert arrays.booleans(booleans).to_pylist() == booleans
    assert list(map(repr, arrays.floats(floats).to_pylist())) == list(map(repr, floats))


@pytest.mark.parametrize("value", [1.5, 1.0, "1", Decimal(1)])
def test_an_array_of_whole_numbers_takes_nothing_else(value: Any) -> None:
    """Arrow itself would make 1 of 1.5."""
    with pytest.raises(TypeError):
        arrays.integers([1, value], "q", pa.int64())


@pytest.mark.parametrize("value", [1.5, "x", b"1"])
def test_a_value_that_sqlite_kept_in_an_integer_column_is_told(value: Any) -> None:
    """What it declares binds nobody."""
    with pytest.raises(CopyError, match="Row 2, column 'c' holds"):
        columnar.from_rows([(1,), (value,)], [plan("INTEGER", "BIGINT", "sqlite")], 1)
    assert columnar.from_rows([(1,), (2.0,)], [plan("INTEGER", "BIGINT", "sqlite")], 1)["c0"].to_pylist() == [1, 2]


def test_pandas_is_not_loaded() -> None:
    """It takes longer to load than most tables to copy."""
    code = (
        "import sys; from tests.steps.test_sql_copy_columns import plan, columnar\n"
        "columnar.from_rows([(1,), (None,)], [plan('INTEGER', 'BIGINT', 'sqlite')], 1)\n"
        "columnar.from_rows([('2024-02-29',)], [plan('DATE', 'DATE', 'sqlite')], 1)\n"
        "columnar.from_csv(b'1\\n', 1, [plan('integer', 'INTEGER')], 1)\n"
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
