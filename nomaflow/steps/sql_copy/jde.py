"""What columns of JD Edwards really hold: dates as numbers, amounts without their point, codes with blanks around."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from nomaflow.steps.sql_copy.errors import CopyError, Misfit
from nomaflow.steps.sql_copy.types import ColumnType, Kind

_FIRST_CENTURY = 1900


@dataclass(frozen=True)
class Coercion:
    """The type that a column has after all, and how its values are read; NULL stays NULL."""

    type: ColumnType
    read: Callable[[Any], Any]


def coercions(options: Mapping[str, Any], columns: Mapping[str, ColumnType], place: str) -> dict[str, Coercion]:
    """By column of the source; `columns` says what its database declares.

    Raises:
        CopyError: an option names a column that the source does not have.
    """
    found: dict[str, Coercion] = {}
    for option, names in (
        ("strip_both_columns", options.get("strip_both_columns") or ()),
        ("julian_columns", options.get("julian_columns") or ()),
        ("decimal_scales", options.get("decimal_scales") or {}),
    ):
        for name in names:
            column = _spelled(name, columns, f"{option} names {name!r}, and {place} has no such column")
            if column in found:
                raise CopyError(f"Column {column!r} of {place} is named twice by the options that coerce; name it once")
            if option == "strip_both_columns":
                found[column] = Coercion(columns[column], stripped)
            elif option == "julian_columns":
                found[column] = Coercion(ColumnType(Kind.DATE), julian_date)
            else:
                scale = names[name]
                found[column] = Coercion(scaled_type(columns[column], scale), partial(scaled, scale))
    return found


def julian_date(value: Any) -> dt.date | None:
    """The day of CYYDDD: centuries since 1900, year, day of the year. 0 and blanks are no date.

    >>> julian_date(124060)
    datetime.date(2024, 2, 29)
    """
    number = _whole(value, "Julian date (CYYDDD)")
    if not number:
        return None
    years, day = divmod(number, 1000)
    if not 0 <= years < 1000:
        raise Misfit("holds a number that is no Julian date (CYYDDD)")
    first = dt.date(_FIRST_CENTURY + years, 1, 1)
    found = first + dt.timedelta(days=day - 1)
    if day == 0 or found.year != first.year:
        raise Misfit("holds a Julian date (CYYDDD) whose year has no such day")
    return found


def scaled(scale: int, value: Any) -> Decimal:
    """The number with its point put in: 12345 of scale 2 is 123.45."""
    if isinstance(value, Decimal):
        return value.scaleb(-scale) if value.is_finite() else value
    if isinstance(value, str) and not value.strip(" "):
        raise Misfit("holds a text that is no whole number")
    return Decimal(_whole(value, "whole number")).scaleb(-scale)


def scaled_type(declared: ColumnType, scale: int) -> ColumnType:
    """What holds every number of a column after its point is put in."""
    digits = {Kind.INT16: 5, Kind.INT32: 10, Kind.INT64: 19}.get(declared.kind)
    if digits is not None:
        return ColumnType(Kind.NUMERIC, max(digits, scale), scale)
    if declared.kind is Kind.NUMERIC and declared.precision is not None:
        decimals = (declared.scale or 0) + scale
        return ColumnType(Kind.NUMERIC, max(declared.precision, decimals), decimals)
    return ColumnType(Kind.NUMERIC)


def stripped(value: Any) -> Any:
    """A text without the blanks at both ends; codes stand to the right of their column."""
    return value.strip(" ") if isinstance(value, str) else value


def _whole(value: Any, wanted: str) -> int:
    if isinstance(value, str) and re.fullmatch(r" *[+-]?[0-9]* *", value):
        return int(value) if value.strip(" ") else 0
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool) and value == value // 1:
        return int(value)
    raise Misfit(f"holds a value that is no {wanted}")


def _spelled(name: str, columns: Sequence[str] | Mapping[str, Any], otherwise: str) -> str:
    if name in columns:
        return name
    alike = [column for column in columns if column.casefold() == name.casefold()]
    if len(alike) != 1:
        raise CopyError(otherwise)
    return alike[0]
