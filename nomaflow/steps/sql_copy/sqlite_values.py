"""Values in the form that SQLite keeps, which has five storage classes and changes some of what it is given."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from nomaflow.steps.sql_copy.errors import Misfit
from nomaflow.steps.sql_copy.types import SQLITE_DIGITS, Kind

Convert = Callable[[Any], Any]

STORAGE_CLASSES: frozenset[type] = frozenset({int, float, str, bytes, type(None)})

_WIDE = decimal.Context(prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)


def stored(
    kind: Kind, convert: Convert, classes: tuple[type, ...], affinity: str, as_text: Convert
) -> tuple[Convert, tuple[type, ...]]:
    """The same conversion, to SQLite's storage classes; `as_text` is how any value is written."""
    if kind is Kind.NUMERIC:
        if affinity == "TEXT":
            return lambda value: format(convert(value), "f"), ()
        return lambda value: _sqlite_number(convert(value)), ()
    if kind in (Kind.FLOAT32, Kind.FLOAT64):
        return lambda value: _sqlite_float(convert(value)), ()
    if kind is Kind.BOOL:
        return lambda value: int(convert(value)), ()
    if kind is Kind.TIMESTAMPTZ:
        return lambda value: _in_utc(convert(value)), ()
    if kind in (Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.UUID):
        return lambda value: as_text(convert(value)), ()
    if kind in (Kind.JSON, Kind.JSONB) and affinity not in ("TEXT", "BLOB"):
        return lambda value: _sqlite_json(convert(value)), ()
    if kind is Kind.OTHER:
        return convert, tuple(STORAGE_CLASSES)
    return convert, classes


def _in_utc(moment: Any) -> str:
    return moment if isinstance(moment, str) else str(moment.astimezone(dt.UTC).isoformat(" "))


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
