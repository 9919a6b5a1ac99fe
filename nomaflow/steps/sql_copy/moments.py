"""Dates and times from one database in the form that another one takes.

Databases know days that Python does not: infinity, years before the first and after the 9999th, and the time 24:00:00.
Such a value is carried over as text where both columns are of one kind, in the notation of the database that takes it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from nomaflow.steps.sql_copy.errors import Misfit, misfit
from nomaflow.steps.sql_copy.types import ColumnType, Kind

Convert = Callable[[Any], Any]

_BEYOND = re.compile(
    r"""
    (?P<infinity> -?infinity ) | (?P<midnight> 24:00:00 )
    | (?P<day> \d{4,}-\d\d-\d\d ) (?P<duckdb_era> [ ]\(BC\) )?
      (?P<time> [ ]\d\d:\d\d:\d\d(\.\d{1,6})?([+-]\d\d(:\d\d){0,2})? )? (?P<era> [ ]BC )?
    """,
    re.VERBOSE,
)

_KINDS = {"infinity": (Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ), "midnight": (Kind.TIME,)}


def exact(source: ColumnType, target_backend: str, target: ColumnType) -> Convert:
    """How values of one of the four kinds are carried into a column of such a kind."""
    convert = _CONVERT[target.kind]
    digits = target.precision
    if digits is not None and digits < 6:
        convert = _no_finer(convert, digits)
    return _or_beyond(convert, target_backend, target.kind) if source.kind is target.kind else convert


def _or_beyond(convert: Convert, target_backend: str, kind: Kind) -> Convert:
    def carried(value: Any) -> Any:
        found = _BEYOND.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            return convert(value)
        if found["day"] is None:
            return value if kind in _KINDS[found.lastgroup or ""] else convert(value)
        before_christ = found["era"] or found["duckdb_era"]
        known_to_python = not before_christ and len(found["day"]) == len("YYYY-MM-DD")
        if known_to_python or bool(found["time"]) == (kind is Kind.DATE):
            return convert(value)
        day, time = found["day"], found["time"] or ""
        if not before_christ:
            return day + time
        return f"{day} (BC){time}" if target_backend == "duckdb" else f"{day}{time} BC"

    return carried


def _no_finer(convert: Convert, digits: int) -> Convert:
    def checked(value: Any) -> Any:
        moment = convert(value)
        if moment.microsecond % 10 ** (6 - digits):
            raise Misfit(
                f"holds a time of more than {digits} digits behind its seconds, which the target's column cuts"
            )
        return moment

    return checked


def _iso[T](read: Callable[[str], T], value: str, wanted: str) -> T:
    # Python would drop what stands after the microseconds.
    if "." in value and re.search(r"\.\d{7}", value):
        raise Misfit("holds a time that is finer than microseconds")
    try:
        return read(value.strip())
    except ValueError:
        raise misfit(value, wanted) from None


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
    raise misfit(value, "date (YYYY-MM-DD)")


def _to_time(value: Any) -> dt.time:
    if isinstance(value, dt.time):
        return value
    if isinstance(value, str):
        return _iso(dt.time.fromisoformat, value, "time of day (HH:MM:SS)")
    raise misfit(value, "time of day (HH:MM:SS)")


def _moment(value: Any) -> dt.datetime:
    if isinstance(value, dt.datetime):
        return value
    if isinstance(value, dt.date):
        return dt.datetime.combine(value, dt.time.min)
    if isinstance(value, str):
        return _iso(dt.datetime.fromisoformat, value, "date and time (YYYY-MM-DD HH:MM:SS)")
    raise misfit(value, "date and time (YYYY-MM-DD HH:MM:SS)")


def _to_timestamp(value: Any) -> dt.datetime:
    """Without a zone; an instant is written in UTC."""
    moment = _moment(value)
    return moment if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)


def _to_timestamptz(value: Any) -> dt.datetime:
    """An instant; one without a zone is taken as UTC."""
    moment = _moment(value)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment


_CONVERT: dict[Kind, Convert] = {
    Kind.DATE: _to_date,
    Kind.TIME: _to_time,
    Kind.TIMESTAMP: _to_timestamp,
    Kind.TIMESTAMPTZ: _to_timestamptz,
}
