"""Values from one database in the form that another one takes, or a reason why there is none.

Nothing is rounded or guessed: a value that the target's column cannot keep is an error, with one exception. A column of
floating-point numbers gets the nearest one, which is what such a column is for.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from nomaflow.steps.sql_copy.errors import CopyError
from nomaflow.steps.sql_copy.types import INT_BITS, SQLITE_DIGITS, ColumnType, Kind, sqlite_affinity
from nomaflow.worker.context import Row

Convert = Callable[[Any], Any]

_NULL = type(None)
_STORAGE_CLASSES: frozenset[type] = frozenset({int, float, str, bytes, _NULL})
_WIDE = decimal.Context(prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)


class Misfit(ValueError):
    """The value does not fit; the text ends the sentence that begins with where it stands."""


@dataclass(frozen=True)
class Conversion:
    """How the values of one column are carried over. Those whose class is in `as_is` need nothing done."""

    column: str
    convert: Convert
    as_is: frozenset[type]


def conversion(
    column: str, source_backend: str, source: ColumnType, target_backend: str, target: ColumnType, declared: str
) -> Conversion:
    """How a column of type `source` is written to one of type `target`, which is declared as `declared`."""
    if source_backend == target_backend == "sqlite" and source == target:
        return Conversion(column, _to_other, _STORAGE_CLASSES)
    convert, classes = _CONVERT[target.kind]
    if target.kind in INT_BITS:
        convert = partial(_to_int, INT_BITS[target.kind])
        fits = source.kind in INT_BITS and INT_BITS[source.kind] <= INT_BITS[target.kind]
        # SQLite's declared widths bind nobody: only what is read with 64 bits and written with 64 is surely right.
        classes = (int,) if fits and (source_backend != "sqlite" or target.kind is Kind.INT64) else ()
    elif target.kind is Kind.NUMERIC:
        convert = partial(_to_numeric, target.precision, target.scale)
        same = source_backend != "sqlite" and _fits(source, target)
        classes = (Decimal,) if same else ()
    elif target.kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ) and target.kind is source.kind:
        classes = (dt.datetime,)
    if target_backend == "sqlite":
        convert, classes = _for_sqlite(target.kind, convert, classes, sqlite_affinity(declared))
    return Conversion(column, convert, frozenset(classes) | {_NULL})


def converted(rows: Sequence[Row], conversions: Sequence[Conversion], first_row: int) -> list[Row]:
    """A batch in the target's form; `first_row` is the number of its first row.

    Works by columns: one look at the classes of a column's values tells whether any of them needs work.

    Raises:
        CopyError: a value does not fit; tells its row and column, not the value, which may be a secret.
    """
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    changed = False
    for index, plan in enumerate(conversions):
        if not plan.as_is.issuperset(map(type, columns[index])):
            columns[index] = _column(columns[index], plan, first_row)
            changed = True
    return list(zip(*columns, strict=True)) if changed else list(rows)


def _column(values: Sequence[Any], plan: Conversion, first_row: int) -> list[Any]:
    result: list[Any] = []
    convert = plan.convert
    try:
        for value in values:
            result.append(None if value is None else convert(value))  # noqa: PERF401  # its length says where it ended
    except (ValueError, ArithmeticError) as error:
        reason = str(error) if isinstance(error, Misfit) else f"holds {_kind_of(values[len(result)])} that does not fit"
        raise CopyError(f"Row {first_row + len(result)}, column {plan.column!r} {reason}") from None
    return result


def _kind_of(value: Any) -> str:
    if isinstance(value, str | bytes):
        return "text" if isinstance(value, str) else "bytes"
    return f"a value of type {type(value).__name__}"


def _fits(source: ColumnType, target: ColumnType) -> bool:
    if source.kind is not Kind.NUMERIC:
        return False
    if target.precision is None:
        return True
    if source.precision is None:
        return False
    assert source.scale is not None
    assert target.scale is not None
    return source.scale <= target.scale and source.precision - source.scale <= target.precision - target.scale


def _misfit(value: Any, wanted: str) -> Misfit:
    return Misfit(f"holds {_kind_of(value)} that is no {wanted}")


def _to_int(bits: int, value: Any) -> int:
    if isinstance(value, str):
        if not re.fullmatch(r"\s*[+-]?[0-9]+\s*", value):
            raise _misfit(value, "whole number")
        number = int(value)
    elif isinstance(value, int | float | Decimal) and value == value and abs(value) != math.inf and value == int(value):
        number = int(value)
    else:
        raise _misfit(value, "whole number")
    if not -(1 << bits - 1) <= number < 1 << bits - 1:
        raise Misfit(f"holds a number that does not fit {bits} bits")
    return number


def _to_numeric(precision: int | None, scale: int | None, value: Any) -> Decimal:
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, int):
        number = Decimal(value)
    elif isinstance(value, float):
        number = Decimal(repr(value))
    elif isinstance(value, str):
        try:
            number = Decimal(value.strip())
        except decimal.InvalidOperation:
            raise _misfit(value, "decimal number") from None
    else:
        raise _misfit(value, "decimal number")
    if precision is None or not number.is_finite():
        return number
    assert scale is not None
    exact = _WIDE.quantize(number, Decimal(1).scaleb(-scale))
    if exact != number:
        raise Misfit(f"holds a number of more than {scale} decimals; give the target's column more of them")
    if number and number.adjusted() >= precision - scale:
        raise Misfit(
            f"holds a number of more than {precision - scale} digits before the point; widen the target's column"
        )
    return exact


def _to_float(value: Any) -> float:
    if isinstance(value, bytes):
        raise _misfit(value, "number")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise _misfit(value, "number") from None


_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def _to_bool(value: Any) -> bool:
    if isinstance(value, int | Decimal | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in _BOOLEANS:
        return _BOOLEANS[value.strip().lower()]
    raise _misfit(value, "boolean (0, 1, true, false)")


def _to_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        raise _misfit(value, "text")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    return repr(value) if isinstance(value, float) else str(value)


def _iso[T](read: Callable[[str], T], value: str, wanted: str) -> T:
    # Python would drop what stands after the microseconds.
    if "." in value and re.search(r"\.\d{7}", value):
        raise Misfit("holds a time that is finer than microseconds")
    try:
        return read(value.strip())
    except ValueError:
        raise _misfit(value, wanted) from None


def _to_date(value: Any) -> dt.date:
    moment = value
    if isinstance(value, str):
        read: Callable[[str], Any] = dt.date.fromisoformat if len(value.strip()) <= 10 else dt.datetime.fromisoformat
        moment = _iso(read, value, "date (YYYY-MM-DD)")
    if isinstance(moment, dt.datetime):
        if moment.timetz() != dt.time.min:
            raise Misfit("holds a date with a time of day, and the target's column keeps only the date")
        return moment.date()
    if isinstance(moment, dt.date):
        return moment
    raise _misfit(value, "date (YYYY-MM-DD)")


def _to_time(value: Any) -> dt.time:
    if isinstance(value, dt.time):
        return value
    if isinstance(value, str):
        return _iso(dt.time.fromisoformat, value, "time of day (HH:MM:SS)")
    raise _misfit(value, "time of day (HH:MM:SS)")


def _moment(value: Any) -> dt.datetime:
    if isinstance(value, dt.datetime):
        return value
    if isinstance(value, dt.date):
        return dt.datetime.combine(value, dt.time.min)
    if isinstance(value, str):
        return _iso(dt.datetime.fromisoformat, value, "date and time (YYYY-MM-DD HH:MM:SS)")
    raise _misfit(value, "date and time (YYYY-MM-DD HH:MM:SS)")


def _to_timestamp(value: Any) -> dt.datetime:
    """Without a zone; an instant is written in UTC."""
    moment = _moment(value)
    return moment if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)


def _to_timestamptz(value: Any) -> dt.datetime:
    """An instant; one without a zone is taken as UTC."""
    moment = _moment(value)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment


def _to_interval(value: Any) -> str:
    # PostgreSQL writes `-1 years +3 days`, and DuckDB does not read the plus.
    if isinstance(value, str):
        return re.sub(r"\+(?=\d)", "", value)
    raise _misfit(value, "interval")


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise _misfit(value, "bytes")


def _to_json(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float | Decimal):
        return json.dumps(value) if isinstance(value, bool | float) else str(value)
    raise _misfit(value, "JSON")


def _to_uuid(value: Any) -> uuid.UUID:
    if isinstance(value, uuid.UUID):
        return value
    try:
        return uuid.UUID(bytes=value) if isinstance(value, bytes) else uuid.UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise _misfit(value, "UUID") from None


def _to_other(value: Any) -> Any:
    """A type that we do not know: the database reads the text by its own rules."""
    return value if isinstance(value, bytes) else _to_text(value)


_CONVERT: dict[Kind, tuple[Convert, tuple[type, ...]]] = {
    Kind.INT16: (partial(_to_int, 16), ()),
    Kind.INT32: (partial(_to_int, 32), ()),
    Kind.INT64: (partial(_to_int, 64), ()),
    Kind.NUMERIC: (partial(_to_numeric, None, None), ()),
    Kind.FLOAT32: (_to_float, (float,)),
    Kind.FLOAT64: (_to_float, (float,)),
    Kind.BOOL: (_to_bool, (bool,)),
    Kind.TEXT: (_to_text, (str,)),
    Kind.DATE: (_to_date, (dt.date,)),
    Kind.TIME: (_to_time, (dt.time,)),
    Kind.TIMESTAMP: (_to_timestamp, ()),
    Kind.TIMESTAMPTZ: (_to_timestamptz, ()),
    Kind.INTERVAL: (_to_interval, ()),
    Kind.BYTES: (_to_bytes, (bytes,)),
    Kind.JSON: (_to_json, (str,)),
    Kind.JSONB: (_to_json, (str,)),
    Kind.UUID: (_to_uuid, (uuid.UUID,)),
    Kind.OTHER: (_to_other, (str,)),
}


def _for_sqlite(
    kind: Kind, convert: Convert, classes: tuple[type, ...], affinity: str
) -> tuple[Convert, tuple[type, ...]]:
    """The same, in SQLite's storage classes."""
    if kind is Kind.NUMERIC:
        if affinity == "TEXT":
            return lambda value: format(convert(value), "f"), ()
        return lambda value: _sqlite_number(convert(value)), ()
    if kind in (Kind.FLOAT32, Kind.FLOAT64):
        return lambda value: _sqlite_float(convert(value)), ()
    if kind is Kind.BOOL:
        return lambda value: int(convert(value)), ()
    if kind is Kind.TIMESTAMPTZ:
        return lambda value: convert(value).astimezone(dt.UTC).isoformat(" "), ()
    if kind in (Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.UUID):
        return lambda value: _to_text(convert(value)), ()
    if kind in (Kind.JSON, Kind.JSONB) and affinity not in ("TEXT", "BLOB"):
        return lambda value: _sqlite_json(convert(value)), ()
    if kind is Kind.OTHER:
        return convert, tuple(_STORAGE_CLASSES)
    return convert, classes


def _sqlite_number(number: Decimal) -> int | float:
    if number.is_finite() and number == number.to_integral_value() and abs(number) < 1 << 63:
        return int(number)
    if not number.is_finite():
        raise Misfit("holds NaN or infinity, which SQLite's NUMERIC does not keep; declare the target's column as TEXT")
    if len(number.normalize(_WIDE).as_tuple().digits) > SQLITE_DIGITS:
        raise Misfit(
            f"holds a number of more than {SQLITE_DIGITS} digits, which SQLite's NUMERIC does not keep; "
            "declare the target's column as TEXT or DECIMAL_TEXT"
        )
    return float(number)


def _sqlite_json(text: str) -> str:
    if re.fullmatch(r"\s*-?\d[\d.eE+-]*\s*", text):
        raise Misfit(
            "holds a JSON number, which SQLite would rewrite here; declare the target's column as TEXT or JSON_TEXT"
        )
    return text


def _sqlite_float(number: float) -> float:
    if math.isnan(number):
        raise Misfit("holds NaN, which SQLite would keep as NULL")
    return number
