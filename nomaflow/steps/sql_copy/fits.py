"""Which types may go into which: never, value by value, or surely every value."""

from __future__ import annotations

from nomaflow.steps.sql_copy.types import INT_BITS, LIMITED, TIMES, ColumnType, Kind

_NUMBERS = frozenset({*INT_BITS, Kind.NUMERIC, Kind.FLOAT32, Kind.FLOAT64, Kind.BOOL})
_DAYS = frozenset({Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ})
_JSON = frozenset({Kind.JSON, Kind.JSONB})
_ANYTHING = frozenset({Kind.TEXT, Kind.OTHER})

_DIGITS = {Kind.INT16: 5, Kind.INT32: 10, Kind.INT64: 19}


def may_fit(source: Kind, target: Kind) -> bool:
    """Whether some value of the one is one of the other. Text may hold anything, and anything but bytes has a text."""
    if source is target:
        return True
    if Kind.BYTES in (source, target):
        return not {source, target}.isdisjoint({Kind.UUID, Kind.OTHER})
    if not _ANYTHING.isdisjoint({source, target}):
        return True
    if target in _JSON:
        return source in _JSON | _NUMBERS
    return any({source, target} <= alike for alike in (_NUMBERS, _DAYS))


def always_fits(source: ColumnType, target: ColumnType) -> bool:
    """Whether every value of the one is one of the other, as a database converts it by itself."""
    if source.kind is Kind.NUMERIC and target.kind is Kind.NUMERIC:
        return _digits_fit(source, target)
    if source.kind in INT_BITS and target.kind is Kind.NUMERIC:
        return _digits_fit(ColumnType(Kind.NUMERIC, _DIGITS[source.kind], 0), target)
    if source.kind in INT_BITS and target.kind in INT_BITS:
        return INT_BITS[source.kind] <= INT_BITS[target.kind]
    if source.kind in LIMITED and target.kind is source.kind:
        most = 6 if source.kind in TIMES else None
        has, takes = (limit if limit is not None else most for limit in (source.precision, target.precision))
        return takes is None or (has is not None and has <= takes)
    return source == target or (source.kind, target.kind) == (Kind.FLOAT32, Kind.FLOAT64)


def _digits_fit(source: ColumnType, target: ColumnType) -> bool:
    if target.precision is None:
        return True
    if source.precision is None:
        return False
    assert source.scale is not None
    assert target.scale is not None
    return source.scale <= target.scale and source.precision - source.scale <= target.precision - target.scale
