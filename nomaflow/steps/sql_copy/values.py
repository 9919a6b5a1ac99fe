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
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any

from nomaflow.steps.sql_copy import moments, sqlite_values
from nomaflow.steps.sql_copy.errors import CopyError, Misfit, kind_of, misfit
from nomaflow.steps.sql_copy.fits import always_fits
from nomaflow.steps.sql_copy.jde import Coercion
from nomaflow.steps.sql_copy.types import INT_BITS, ColumnType, Kind, sqlite_affinity
from nomaflow.worker.context import Row

Convert = Callable[[Any], Any]

_NULL = type(None)
_WIDE = decimal.Context(prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)


@dataclass(frozen=True)
class Conversion:
    """How the values of one column are carried over. Those whose class is in `as_is` need nothing done."""

    column: str
    convert: Convert
    as_is: frozenset[type]


@dataclass(frozen=True)
class Ends:
    """One column on both sides: the databases, the types, and how the target declares it."""

    column: str
    source_backend: str
    source: ColumnType
    target_backend: str
    target: ColumnType
    declared: str
    coercion: Coercion | None = None
    truncates: bool = False


def conversion(ends: Ends) -> Conversion:
    """How values of the one type are written to a column of the other."""
    if ends.coercion is None:
        return _plain(ends)
    # What it gives are values as Python has them, whichever database they come from.
    after = _plain(replace(ends, source_backend="", source=ends.coercion.type)).convert
    return Conversion(ends.column, partial(_coerced, ends.coercion.read, after), frozenset({_NULL}))


def _plain(ends: Ends) -> Conversion:
    source, target = ends.source, ends.target
    if ends.source_backend == ends.target_backend == "sqlite" and source == target:
        return Conversion(ends.column, _to_other, sqlite_values.STORAGE_CLASSES)
    convert, classes = _CONVERT[target.kind]
    if target.kind in INT_BITS:
        convert = partial(_to_int, INT_BITS[target.kind])
        fits = source.kind in INT_BITS and INT_BITS[source.kind] <= INT_BITS[target.kind]
        # SQLite's declared widths bind nobody: only what is read with 64 bits and written with 64 is surely right.
        classes = (int,) if fits and (ends.source_backend != "sqlite" or target.kind is Kind.INT64) else ()
    elif target.kind is Kind.NUMERIC:
        convert = partial(_to_numeric, target.precision, target.scale, ends.truncates)
        same = source.kind is Kind.NUMERIC and ends.source_backend != "sqlite" and always_fits(source, target)
        classes = (Decimal,) if same and ends.target_backend not in ("duckdb", "mysql") else ()
        if ends.target_backend in ("duckdb", "mysql"):
            convert = partial(_finite, convert)
    elif target.kind in (Kind.FLOAT32, Kind.FLOAT64) and ends.target_backend == "mysql":
        convert, classes = partial(_finite, convert), ()
    elif target.kind in (Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        convert = moments.exact(source, ends.target_backend, target)
    elif target.precision is not None and not always_fits(source, target):
        convert, classes = partial(_no_longer, target.kind, target.precision, convert), ()
    if ends.target_backend == "sqlite":
        affinity = sqlite_affinity(ends.declared)
        convert, classes = sqlite_values.stored(target.kind, convert, classes, affinity, _to_text)
    return Conversion(ends.column, convert, frozenset(classes) | {_NULL})


def _coerced(read: Convert, convert: Convert, value: Any) -> Any:
    found = read(value)
    return None if found is None else convert(found)


def _no_longer(kind: Kind, limit: int, convert: Convert, value: Any) -> Any:
    """A text of at most so many characters, an interval of at most so many digits behind its seconds."""
    text = convert(value)
    if kind is Kind.TEXT and len(text) > limit:
        raise Misfit(f"holds a text of more than {limit} characters; widen the target's column")
    if kind is Kind.INTERVAL and len(text.rstrip("0").partition(".")[2]) > limit:
        raise Misfit(
            f"holds an interval of more than {limit} digits behind its seconds, which the target's column cuts"
        )
    return text


def _finite(convert: Convert, value: Any) -> Any:
    number = convert(value)
    if not math.isfinite(number):
        raise Misfit(
            "holds NaN or infinity, which the target's column does not keep; declare it there as a text column"
        )
    return number


def converted(rows: Sequence[Row], conversions: Sequence[Conversion], first_row: int) -> list[Row]:
    """A batch in the target's form; `first_row` is the number of its first row.

    Works by columns: one look at the classes of a column's values tells whether any of them needs work.

    Raises:
        CopyError: a value does not fit; tells its row and column, not the value, which may be a secret.
    """
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    carried = [column(values, plan, first_row) for values, plan in zip(columns, conversions, strict=True)]
    if all(now is before for now, before in zip(carried, columns, strict=True)):
        return list(rows)
    return list(zip(*carried, strict=True))


def column(values: Sequence[Any], plan: Conversion, first_row: int) -> Sequence[Any]:
    """One column of a batch in the target's form; the same object where nothing needs to be done.

    Raises:
        CopyError: a value does not fit.
    """
    if plan.as_is.issuperset(map(type, values)):
        return values
    result: list[Any] = []
    convert = plan.convert
    try:
        for value in values:
            result.append(None if value is None else convert(value))  # noqa: PERF401  # its length says where it ended
    except (ValueError, ArithmeticError) as error:
        reason = str(error) if isinstance(error, Misfit) else f"holds {kind_of(values[len(result)])} that does not fit"
        raise CopyError(f"Row {first_row + len(result)}, column {plan.column!r} {reason}") from None
    return result


def _to_int(bits: int, value: Any) -> int:
    if isinstance(value, str):
        if not re.fullmatch(r"\s*[+-]?[0-9]+\s*", value):
            raise misfit(value, "whole number")
        number = int(value)
    elif isinstance(value, int | float | Decimal) and value == value and abs(value) != math.inf and value == int(value):
        number = int(value)
    else:
        raise misfit(value, "whole number")
    if not -(1 << bits - 1) <= number < 1 << bits - 1:
        raise Misfit(f"holds a number that does not fit {bits} bits")
    return number


def _to_numeric(precision: int | None, scale: int | None, truncates: bool, value: Any) -> Decimal:
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
            raise misfit(value, "decimal number") from None
    else:
        raise misfit(value, "decimal number")
    if precision is None or not number.is_finite():
        return number
    assert scale is not None
    unit = Decimal(1).scaleb(-scale)
    exact = number.quantize(unit, decimal.ROUND_DOWN, _WIDE) if truncates else _WIDE.quantize(number, unit)
    if exact != number and not truncates:
        raise Misfit(f"holds a number of more than {scale} decimals; give the target's column more of them")
    if number and number.adjusted() >= precision - scale:
        raise Misfit(
            f"holds a number of more than {precision - scale} digits before the point; widen the target's column"
        )
    return exact


def _to_float(value: Any) -> float:
    if isinstance(value, bytes):
        raise misfit(value, "number")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise misfit(value, "number") from None


_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def _to_bool(value: Any) -> bool:
    if isinstance(value, int | Decimal | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in _BOOLEANS:
        return _BOOLEANS[value.strip().lower()]
    raise misfit(value, "boolean (0, 1, true, false)")


def _to_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        raise misfit(value, "text")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    return repr(value) if isinstance(value, float) else str(value)


def _to_interval(value: Any) -> str:
    # PostgreSQL writes `-1 years +3 days`, and DuckDB does not read the plus.
    if isinstance(value, str):
        return re.sub(r"\+(?=\d)", "", value)
    raise misfit(value, "interval")


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise misfit(value, "bytes")


def _to_json(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float | Decimal):
        return json.dumps(value) if isinstance(value, bool | float) else str(value)
    raise misfit(value, "JSON")


def _to_uuid(value: Any) -> uuid.UUID:
    if isinstance(value, uuid.UUID):
        return value
    try:
        return uuid.UUID(bytes=value) if isinstance(value, bytes) else uuid.UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise misfit(value, "UUID") from None


def _to_other(value: Any) -> Any:
    """A type that we do not know: the database reads the text by its own rules."""
    return value if isinstance(value, bytes) else _to_text(value)


_CONVERT: dict[Kind, tuple[Convert, tuple[type, ...]]] = {
    Kind.INT16: (partial(_to_int, 16), ()),
    Kind.INT32: (partial(_to_int, 32), ()),
    Kind.INT64: (partial(_to_int, 64), ()),
    Kind.NUMERIC: (partial(_to_numeric, None, None, False), ()),
    Kind.FLOAT32: (_to_float, (float,)),
    Kind.FLOAT64: (_to_float, (float,)),
    Kind.BOOL: (_to_bool, (bool,)),
    Kind.TEXT: (_to_text, (str,)),
    Kind.DATE: (_to_text, ()),  # moments.py
    Kind.TIME: (_to_text, ()),  # moments.py
    Kind.TIMESTAMP: (_to_text, ()),  # moments.py
    Kind.TIMESTAMPTZ: (_to_text, ()),  # moments.py
    Kind.INTERVAL: (_to_interval, ()),
    Kind.BYTES: (_to_bytes, (bytes,)),
    Kind.JSON: (_to_json, (str,)),
    Kind.JSONB: (_to_json, (str,)),
    Kind.UUID: (_to_uuid, (uuid.UUID,)),
    Kind.OTHER: (_to_other, (str,)),
}
