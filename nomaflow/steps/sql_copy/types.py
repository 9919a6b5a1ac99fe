"""Column types: what each database calls them, and what the others call the same.

The rule for a table that a copy makes: no value may change. Where a database has no type that keeps every value, a
wider one is taken, in the end text; so SQLite keeps decimals of more than 15 digits as text, since its numbers are
64 bits. A type that only one database knows (arrays, enums, addresses) travels in that database's notation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

SQLITE_DIGITS = 15
"""Decimal digits that SQLite's NUMERIC keeps."""

DUCKDB_DIGITS = 38
"""Digits of DuckDB's widest DECIMAL."""

MYSQL_DIGITS, MYSQL_DECIMALS = 65, 30
"""Digits of MySQL's widest DECIMAL, and how many of them may stand behind the point."""

DUCKDB_DECIMALS = 18
"""Decimals where the source sets no limit: as many again stand before the point, and more is told, not rounded."""


class Kind(StrEnum):
    """What a column holds, whatever its database calls it."""

    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    NUMERIC = "numeric"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BOOL = "bool"
    TEXT = "text"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    INTERVAL = "interval"
    BYTES = "bytes"
    JSON = "json"
    JSONB = "jsonb"
    UUID = "uuid"
    OTHER = "other"


TIMES = frozenset({Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ, Kind.INTERVAL})
"""Kinds whose seconds may have fewer than six digits behind the point."""

LIMITED = TIMES | {Kind.TEXT}

INT_BITS = {Kind.INT16: 16, Kind.INT32: 32, Kind.INT64: 64}


@dataclass(frozen=True)
class ColumnType:
    """A kind and its limits, each None where there is none.

    `precision` and `scale` are the digits of a number, in all and after the point. Of a text `precision` is the number
    of characters, of a time that of the digits behind its seconds.
    """

    kind: Kind
    precision: int | None = None
    scale: int | None = None


def parsed(backend: str, declared: str) -> ColumnType:
    """What a declared type holds."""
    name, precision, scale = _parts(declared)
    if backend == "sqlite":
        return _of_sqlite(name, precision, scale)
    if backend == "mysql":
        name, precision = _of_mysql(name, precision)
    kind = _NAMES[backend].get(name, Kind.OTHER)
    if (backend == "mysql" and kind in TIMES) or name in _WHOLE_SECONDS.get(backend, ()):
        return ColumnType(kind, precision or 0)
    if kind in LIMITED:
        return ColumnType(kind, _SECONDS_DIGITS.get(name, precision))
    if kind is not Kind.NUMERIC:
        return ColumnType(kind)
    if name in _WIDE_INTEGERS:
        return ColumnType(kind, _WIDE_INTEGERS[name], 0)
    if precision is not None and not 0 <= (scale or 0) <= precision:
        # PostgreSQL allows numeric(3,5) and numeric(3,-2), nobody else does.
        return ColumnType(kind)
    return ColumnType(kind, precision, precision and (scale or 0))


def declared(backend: str, column: ColumnType) -> str:
    """How a database declares a column that keeps every value of this type."""
    if column.kind is not Kind.NUMERIC:
        return _DECLARED[column.kind][backend]
    precision, scale = column.precision, column.scale
    limits = f"({precision},{scale})" if precision else ""
    if backend == "sqlite":
        return f"DECIMAL{limits}" if precision and precision <= SQLITE_DIGITS else f"DECIMAL_TEXT{limits}"
    if backend == "duckdb":
        if precision and precision <= DUCKDB_DIGITS:
            return f"DECIMAL{limits}"
        return f"DECIMAL({DUCKDB_DIGITS},{DUCKDB_DECIMALS if scale is None else min(scale, DUCKDB_DIGITS)})"
    if backend == "mysql":
        fits = precision and precision <= MYSQL_DIGITS and (scale or 0) <= MYSQL_DECIMALS
        return f"decimal{limits}" if fits else "longtext"
    return f"numeric{limits}"


_DECLARED: dict[Kind, dict[str, str]] = {
    kind: dict(zip(("postgresql", "duckdb", "sqlite", "mysql"), names, strict=True))
    for kind, names in {
        Kind.INT16: ("smallint", "SMALLINT", "SMALLINT", "smallint"),
        Kind.INT32: ("integer", "INTEGER", "INTEGER", "int"),
        Kind.INT64: ("bigint", "BIGINT", "BIGINT", "bigint"),
        Kind.FLOAT32: ("real", "FLOAT", "REAL", "float"),
        Kind.FLOAT64: ("double precision", "DOUBLE", "DOUBLE", "double"),
        Kind.BOOL: ("boolean", "BOOLEAN", "BOOLEAN", "tinyint(1)"),
        Kind.TEXT: ("text", "VARCHAR", "TEXT", "longtext"),
        Kind.DATE: ("date", "DATE", "DATE", "date"),
        Kind.TIME: ("time", "TIME", "TIME", "time(6)"),
        Kind.TIMESTAMP: ("timestamp", "TIMESTAMP", "TIMESTAMP", "datetime(6)"),
        Kind.TIMESTAMPTZ: ("timestamptz", "TIMESTAMPTZ", "TIMESTAMPTZ", "datetime(6)"),
        Kind.INTERVAL: ("interval", "INTERVAL", "INTERVAL", "longtext"),
        Kind.BYTES: ("bytea", "BLOB", "BLOB", "longblob"),
        # An instant is kept in UTC: MySQL's own TIMESTAMP ends in 2038. Its JSON is kept as text, as it was written.
        # SQLite would make numbers of `1.50` in a column whose type does not say TEXT.
        Kind.JSON: ("json", "JSON", "JSON_TEXT", "longtext"),
        Kind.JSONB: ("jsonb", "JSON", "JSONB_TEXT", "longtext"),
        Kind.UUID: ("uuid", "UUID", "UUID", "char(36)"),
        Kind.OTHER: ("text", "VARCHAR", "TEXT", "longtext"),
    }.items()
}

MYSQL_KEY = {"longtext": "varchar(255)", "longblob": "varbinary(255)"}
"""What a column of a primary key is where MySQL has no index for the type; a longer value is refused by its row."""

_SECONDS_DIGITS = {"timestamp_s": 0, "timestamp_ms": 3}

_WIDE_INTEGERS = {"bigint unsigned": 20, "ubigint": 20, "hugeint": 39, "uhugeint": 39}

_POSTGRESQL = {
    "smallint": Kind.INT16,
    "integer": Kind.INT32,
    "bigint": Kind.INT64,
    "numeric": Kind.NUMERIC,
    "real": Kind.FLOAT32,
    "double precision": Kind.FLOAT64,
    "boolean": Kind.BOOL,
    "text": Kind.TEXT,
    "character varying": Kind.TEXT,
    "character": Kind.TEXT,
    "name": Kind.TEXT,
    "date": Kind.DATE,
    "time without time zone": Kind.TIME,
    "timestamp without time zone": Kind.TIMESTAMP,
    "timestamp with time zone": Kind.TIMESTAMPTZ,
    "interval": Kind.INTERVAL,
    "bytea": Kind.BYTES,
    "json": Kind.JSON,
    "jsonb": Kind.JSONB,
    "uuid": Kind.UUID,
}

_DUCKDB = {
    "tinyint": Kind.INT16,
    "utinyint": Kind.INT16,
    "smallint": Kind.INT16,
    "usmallint": Kind.INT32,
    "integer": Kind.INT32,
    "uinteger": Kind.INT64,
    "bigint": Kind.INT64,
    "ubigint": Kind.NUMERIC,
    "hugeint": Kind.NUMERIC,
    "uhugeint": Kind.NUMERIC,
    "decimal": Kind.NUMERIC,
    "float": Kind.FLOAT32,
    "double": Kind.FLOAT64,
    "boolean": Kind.BOOL,
    "varchar": Kind.TEXT,
    "date": Kind.DATE,
    "time": Kind.TIME,
    "timestamp": Kind.TIMESTAMP,
    "timestamp_s": Kind.TIMESTAMP,
    "timestamp_ms": Kind.TIMESTAMP,
    "timestamp with time zone": Kind.TIMESTAMPTZ,
    "interval": Kind.INTERVAL,
    "blob": Kind.BYTES,
    "json": Kind.JSON,
    "uuid": Kind.UUID,
}

# SQLite keeps whatever name was declared. INTEGER is 64 bits there, whatever it is elsewhere.
_SQLITE = {
    "smallint": Kind.INT16,
    "int2": Kind.INT16,
    "tinyint": Kind.INT16,
    "boolean": Kind.BOOL,
    "bool": Kind.BOOL,
    "date": Kind.DATE,
    "time": Kind.TIME,
    "datetime": Kind.TIMESTAMP,
    "timestamp": Kind.TIMESTAMP,
    "timestamp without time zone": Kind.TIMESTAMP,
    "timestamptz": Kind.TIMESTAMPTZ,
    "timestamp with time zone": Kind.TIMESTAMPTZ,
    "interval": Kind.INTERVAL,
    "json": Kind.JSON,
    "json_text": Kind.JSON,
    "jsonb": Kind.JSONB,
    "jsonb_text": Kind.JSONB,
    "uuid": Kind.UUID,
    "decimal": Kind.NUMERIC,
    "decimal_text": Kind.NUMERIC,
    "numeric": Kind.NUMERIC,
    "bytea": Kind.BYTES,
    "": Kind.OTHER,
}

# A TIMESTAMP is an instant, a DATETIME is none.
_MYSQL = {
    "boolean": Kind.BOOL,
    "tinyint": Kind.INT16,
    "tinyint unsigned": Kind.INT16,
    "smallint": Kind.INT16,
    "smallint unsigned": Kind.INT32,
    "mediumint": Kind.INT32,
    "mediumint unsigned": Kind.INT32,
    "int": Kind.INT32,
    "int unsigned": Kind.INT64,
    "bigint": Kind.INT64,
    "bigint unsigned": Kind.NUMERIC,
    "year": Kind.INT16,
    "decimal": Kind.NUMERIC,
    "float": Kind.FLOAT32,
    "double": Kind.FLOAT64,
    "date": Kind.DATE,
    "time": Kind.TIME,
    "datetime": Kind.TIMESTAMP,
    "timestamp": Kind.TIMESTAMPTZ,
    "json": Kind.JSON,
    "uuid": Kind.UUID,
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext"), Kind.TEXT),
    **dict.fromkeys(
        ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit", "geometry", "point"), Kind.BYTES
    ),
}

_ORACLE = {
    "number": Kind.NUMERIC,
    "float": Kind.NUMERIC,
    "binary_float": Kind.FLOAT32,
    "binary_double": Kind.FLOAT64,
    "boolean": Kind.BOOL,
    "date": Kind.TIMESTAMP,
    "timestamp": Kind.TIMESTAMP,
    "json": Kind.JSON,
    **dict.fromkeys(
        (
            "timestamp with time zone",
            "timestamp with local time zone",
            "timestamp_tz",
            "timestamp_ltz",
        ),
        Kind.TIMESTAMPTZ,
    ),
    **dict.fromkeys(
        ("char", "nchar", "varchar", "varchar2", "nvarchar", "nvarchar2", "clob", "nclob", "long", "rowid"), Kind.TEXT
    ),
    **dict.fromkeys(("raw", "long raw", "long_raw", "blob"), Kind.BYTES),
}

_MSSQL = {
    "bit": Kind.BOOL,
    "tinyint": Kind.INT16,
    "smallint": Kind.INT16,
    "int": Kind.INT32,
    "bigint": Kind.INT64,
    "decimal": Kind.NUMERIC,
    "numeric": Kind.NUMERIC,
    "money": Kind.NUMERIC,
    "smallmoney": Kind.NUMERIC,
    "real": Kind.FLOAT32,
    "float": Kind.FLOAT64,
    "date": Kind.DATE,
    "time": Kind.TIME,
    "datetime": Kind.TIMESTAMP,
    "smalldatetime": Kind.TIMESTAMP,
    "datetime2": Kind.TIMESTAMP,
    "datetimeoffset": Kind.TIMESTAMPTZ,
    "uniqueidentifier": Kind.UUID,
    **dict.fromkeys(("char", "varchar", "text", "nchar", "nvarchar", "ntext", "xml", "sysname"), Kind.TEXT),
    **dict.fromkeys(("binary", "varbinary", "image", "timestamp", "rowversion"), Kind.BYTES),
}

_WHOLE_SECONDS = {"oracle": ("date",), "mssql": ("smalldatetime",)}

_NAMES = {"postgresql": _POSTGRESQL, "duckdb": _DUCKDB, "mysql": _MYSQL, "oracle": _ORACLE, "mssql": _MSSQL}


def sqlite_affinity(declared: str) -> str:
    """What SQLite makes of values in a column, by the rules of its documentation (datatype3, 3.1)."""
    upper = declared.upper()
    for marks, affinity in (
        (("INT",), "INTEGER"),
        (("CHAR", "CLOB", "TEXT"), "TEXT"),
        (("BLOB",), "BLOB"),
        (("REAL", "FLOA", "DOUB"), "REAL"),
    ):
        if any(mark in upper for mark in marks):
            return affinity
    return "NUMERIC" if upper.strip() else "BLOB"


def _of_sqlite(name: str, precision: int | None, scale: int | None) -> ColumnType:
    kind = _SQLITE.get(name)
    if kind is Kind.NUMERIC:
        return ColumnType(kind, precision, precision and (scale or 0))
    if kind is None:
        by_affinity = {"INTEGER": Kind.INT64, "TEXT": Kind.TEXT, "BLOB": Kind.BYTES, "REAL": Kind.FLOAT64}
        kind = by_affinity.get(sqlite_affinity(name), Kind.OTHER)
    return ColumnType(kind)


def _of_mysql(name: str, precision: int | None) -> tuple[str, int | None]:
    """The name without what says nothing of the values; `tinyint(1)` is what BOOLEAN is there."""
    if name in ("tinyint", "boolean") and precision == 1:
        return "boolean", None
    if name.startswith(("enum(", "set(")):
        return "text", None
    name = name.removesuffix(" zerofill")
    return (name if "int" in name else name.removesuffix(" unsigned")), precision


def _parts(declared: str) -> tuple[str, int | None, int | None]:
    """The name in lower case and the numbers in its parentheses: `DECIMAL (10, 2)`, `timestamp(3) with time zone`."""
    limits = re.search(r"\(\s*(\d+)\s*(?:,\s*(-?\d+)\s*)?\)", declared)
    bare = declared if limits is None else declared[: limits.start()] + declared[limits.end() :]
    name = " ".join(bare.lower().split())
    if limits is None:
        return name, None, None
    return name, int(limits[1]), int(limits[2]) if limits[2] else None
