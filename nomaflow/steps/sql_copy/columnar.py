"""Rows as columns of Arrow, on their way into DuckDB.

Where a column's text can be read by Arrow exactly as Python would read it, Arrow reads it, ten times faster. What it
refuses goes the slow way, which has the last word: `values` converts it, or says which row does not fit.
"""

from __future__ import annotations

import datetime as dt
import struct
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.csv

from nomaflow.steps.sql_copy import arrays
from nomaflow.steps.sql_copy.errors import CopyError
from nomaflow.steps.sql_copy.fits import always_fits
from nomaflow.steps.sql_copy.types import DUCKDB_DIGITS, INT_BITS, ColumnType, Kind
from nomaflow.steps.sql_copy.values import Conversion, Ends, column, conversion
from nomaflow.worker.context import Row

_MOMENTS = {
    Kind.DATE: pa.date32(),
    Kind.TIME: pa.time64("us"),
    Kind.TIMESTAMP: pa.timestamp("us"),
    Kind.TIMESTAMPTZ: pa.timestamp("us", "UTC"),
}

_PARSED = frozenset({Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ})
"""Kinds for which Arrow can make the type of a text that it has already."""

_TYPES = _MOMENTS | {
    Kind.INT16: pa.int16(),
    Kind.INT32: pa.int32(),
    Kind.INT64: pa.int64(),
    Kind.FLOAT32: pa.float32(),
    Kind.FLOAT64: pa.float64(),
    Kind.BOOL: pa.bool_(),
    Kind.BYTES: pa.binary(),
}

_C_TYPES = {Kind.INT16: "h", Kind.INT32: "i", Kind.INT64: "q"}

_SAME_TEXT = frozenset({Kind.TEXT, Kind.JSON, Kind.JSONB, Kind.UUID, Kind.OTHER})
"""Kinds whose text is the same everywhere; DuckDB makes the column's type of it."""


@dataclass(frozen=True)
class Plan:
    """How one column gets there.

    `read` is the type as which Arrow reads PostgreSQL's text, None where Python has to; `given` is the type that DuckDB
    is given. `parses` says that Arrow may try texts of other databases, `is_integer` and `is_text` that whole numbers
    and texts need nothing done.
    """

    conversion: Conversion
    kind: Kind
    given: pa.DataType
    read: pa.DataType | None
    decode: Callable[[str], Any]
    parses: bool
    is_integer: bool
    is_text: bool


def planned(ends: Ends) -> Plan:
    """The plan for one column into DuckDB."""
    given = _arrow_type(ends.target)
    decode = _DECODE.get(ends.source.kind, str)
    parses = ends.target.kind in _PARSED and ends.target.precision is None and ends.coercion is None
    as_it_is = ends.coercion is None
    made = conversion(ends)
    return Plan(
        made,
        ends.target.kind,
        given,
        _read_type(ends, given),
        decode,
        parses,
        is_integer=as_it_is and ends.target.kind in INT_BITS and ends.source.kind in INT_BITS,
        is_text=as_it_is and pa.types.is_string(given) and str in made.as_is,
    )


def from_rows(rows: Sequence[Row], plans: Sequence[Plan], first_row: int) -> pa.Table:
    """A batch of rows as a table whose columns DuckDB takes.

    Raises:
        CopyError: a value does not fit.
    """
    return _table(
        [_array(values, plan, first_row) for values, plan in zip(zip(*rows, strict=True), plans, strict=True)]
    )


def from_csv(data: bytes, count: int, plans: Sequence[Plan], first_row: int) -> pa.Table:
    """The same of PostgreSQL's CSV, which holds `count` rows.

    Raises:
        CopyError: a value does not fit.
    """
    read = None
    # Its error would show the value.
    with suppress(pa.ArrowInvalid):
        read = _read_csv(data, [plan.read or pa.string() for plan in plans])
    direct = read is not None
    if read is None:
        read = _read_csv(data, [pa.string()] * len(plans))
    if read.num_rows != count:
        raise CopyError(f"The source sent {count} rows from row {first_row} on, of which {read.num_rows} could be read")
    made = []
    for found, plan in zip(read.columns, plans, strict=True):
        if direct and plan.read is not None:
            made.append(found if found.type == plan.given else found.cast(plan.given))
        else:
            decoded = [None if text is None else plan.decode(text) for text in found.to_pylist()]
            made.append(_array(decoded, plan, first_row))
    return _table(made)


def _table(columns: Sequence[Any]) -> pa.Table:
    return pa.Table.from_arrays(list(columns), names=[f"c{number}" for number in range(len(columns))])


def _array(values: Sequence[Any], plan: Plan, first_row: int) -> pa.Array:
    """What DuckDB is given for one column: numbers, truth values and bytes as they are, all else as text that it reads.

    Where nothing needs to be done with a value, the array's own look at each of them is enough.
    """
    with suppress(TypeError, OverflowError, pa.ArrowInvalid):
        if plan.parses:
            # Python knows more notations, and says which row it is where it knows none.
            return arrays.texts(values).cast(plan.given)
        if plan.is_integer:
            return arrays.integers(values, _C_TYPES[plan.kind], plan.given)
        if plan.is_text:
            return arrays.texts(values)
    carried = column(values, plan.conversion, first_row)
    try:
        if plan.kind in _C_TYPES:
            return arrays.integers(carried, _C_TYPES[plan.kind], plan.given)
        if plan.kind in (Kind.FLOAT32, Kind.FLOAT64):
            return arrays.floats(carried)
        if plan.kind is Kind.BOOL:
            return arrays.booleans(carried)
        if plan.kind is Kind.BYTES:
            return arrays.binaries(carried)
        return arrays.texts([value if value is None or type(value) is str else _text(value) for value in carried])
    except (TypeError, OverflowError, UnicodeEncodeError):
        raise CopyError(
            f"One of the rows {first_row} to {first_row + len(values) - 1} holds a value in column "
            f"{plan.conversion.column!r} that DuckDB's client does not take"
        ) from None


def _read_csv(data: bytes, types: Sequence[pa.DataType]) -> pa.Table:
    names = [f"c{number}" for number in range(len(types))]
    return pyarrow.csv.read_csv(
        pa.BufferReader(data),
        # One block, so that no row lies across the end of one.
        pyarrow.csv.ReadOptions(column_names=names, use_threads=False, block_size=len(data) + 1),
        pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        pyarrow.csv.ConvertOptions(
            column_types=dict(zip(names, types, strict=True)),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )


def _arrow_type(target: ColumnType) -> pa.DataType:
    if target.kind is Kind.NUMERIC and target.precision is not None and target.precision <= DUCKDB_DIGITS:
        return pa.decimal128(target.precision, target.scale or 0)
    # DuckDB refuses a number that is too large for its FLOAT, where Arrow would make infinity of it.
    return pa.float64() if target.kind is Kind.FLOAT32 else _TYPES.get(target.kind, pa.string())


def _read_type(ends: Ends, given: pa.DataType) -> pa.DataType | None:
    """As what Arrow may read PostgreSQL's text, so that a cast to what DuckDB is given changes no value."""
    source, target = ends.source, ends.target
    if ends.coercion is not None or ends.truncates or ends.source_backend != "postgresql":
        return None
    if source.kind in _SAME_TEXT and target.kind in _SAME_TEXT:
        return pa.string()
    if source.kind is Kind.NUMERIC and target.kind is Kind.NUMERIC and pa.types.is_decimal(given):
        return given
    if source.kind in INT_BITS and target.kind in INT_BITS:
        return given
    if source.kind in _TYPES and source.kind is not Kind.BYTES and always_fits(source, target):
        return _TYPES[source.kind]
    return None


def _text(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, str | int | uuid.UUID):
        return str(value)
    raise CopyError(f"A value of type {type(value).__name__} has no text that DuckDB reads")


def _float32(text: str) -> float:
    """The number that four bytes hold, as the driver would give it."""
    value: float = struct.unpack("f", struct.pack("f", float(text)))[0]
    return value


_DECODE: dict[Kind, Callable[[str], Any]] = {
    Kind.INT16: int,
    Kind.INT32: int,
    Kind.INT64: int,
    Kind.NUMERIC: Decimal,
    Kind.FLOAT32: _float32,
    Kind.FLOAT64: float,
    Kind.BOOL: "t".__eq__,
    Kind.BYTES: lambda text: bytes.fromhex(text[2:]),
}
"""PostgreSQL's text as its driver's values; of the kinds that are not here it gives text anyway, or text will do."""
