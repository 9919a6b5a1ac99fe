"""Whether an error will be met again however often the step is tried.

Drivers are not imported: what a driver's error says of itself is enough, and few steps load one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nomaflow.errors import NoRetry, RetryAfter
from nomaflow.steps.databases.errors import OpenError

_TEXT = "the text of the query stays as it is"
_MISSING = "what is missing stays missing"
_RIGHTS = "a right that is missing stays missing"
_VALUES = "the values stay as they are"
_CONSTRAINT = "the values violate a constraint and stay as they are"
_LOGIN = "a name or a password that is refused stays refused"
_UNKNOWN = "the database does not know how to do this"

_SQLSTATES = {
    "0A": _UNKNOWN,
    "0L": _RIGHTS,
    "0P": _RIGHTS,
    "21": _TEXT,
    "22": _VALUES,
    "23": _CONSTRAINT,
    "25006": "the database takes no changes",
    "26": _MISSING,
    "28": _LOGIN,
    "2B": "other things depend on it",
    "34": _MISSING,
    "3D": _MISSING,
    "3F": _MISSING,
    "40002": _CONSTRAINT,
    "40003": "its changes may be there already",
    "42": _TEXT,
    "42501": _RIGHTS,
    "42601": "a syntax error stays one",
    "42703": _MISSING,
    "42704": _MISSING,
    "42883": _MISSING,
    "42P01": _MISSING,
    "44": _CONSTRAINT,
    "54": _TEXT,
}
"""SQLSTATE codes and, for what is not among them, classes."""

_MYSQL = {
    1044: _RIGHTS,
    1049: _MISSING,
    1054: _MISSING,
    1142: _RIGHTS,
    1143: _RIGHTS,
    1146: _MISSING,
    1227: _RIGHTS,
    1235: _UNKNOWN,
    1265: _VALUES,
    1305: _MISSING,
    1364: _VALUES,
    1366: _VALUES,
    1370: _RIGHTS,
    1792: "the transaction is one that only reads",
    2061: _LOGIN,
    4025: _CONSTRAINT,
}
"""Numbers of MySQL's and MariaDB's errors whose SQLSTATE says less, or something else."""

_ORACLE = {
    "ORA-00001": _CONSTRAINT,
    "ORA-00904": _MISSING,
    "ORA-00942": _MISSING,
    "ORA-01017": _LOGIN,
    "ORA-01031": _RIGHTS,
    "ORA-01400": _CONSTRAINT,
    "ORA-01438": _VALUES,
    "ORA-01722": _VALUES,
    "ORA-02290": _CONSTRAINT,
    "ORA-02291": _CONSTRAINT,
    "ORA-02292": _CONSTRAINT,
    "ORA-12899": _VALUES,
    "ORA-28000": _LOGIN,
    "ORA-28001": _LOGIN,
    "DPY-4001": _LOGIN,
    "DPY-6001": _MISSING,
    "DPY-6003": _MISSING,
    **{f"ORA-009{number:02}": _TEXT for number in range(38) if number != 4},
}

_SQLITE = {
    "SQLITE_ERROR": _TEXT,
    "SQLITE_CONSTRAINT": _CONSTRAINT,
    "SQLITE_MISMATCH": _VALUES,
    "SQLITE_RANGE": _TEXT,
    "SQLITE_TOOBIG": _VALUES,
    "SQLITE_AUTH": _RIGHTS,
    "SQLITE_PERM": _RIGHTS,
    "SQLITE_READONLY": "the database takes no changes",
    "SQLITE_CORRUPT": "a broken file stays broken",
    "SQLITE_NOTADB": "a broken file stays broken",
}
"""Primary result codes; an extended one begins with its primary one."""

_CLASSES = {
    "builtins.SyntaxError": "a syntax error stays one",
    "builtins.ImportError": _MISSING,
    "ssl.SSLCertVerificationError": "a certificate that is not trusted stays so",
    "duckdb.SyntaxException": "a syntax error stays one",
    "duckdb.ParserException": "a syntax error stays one",
    "duckdb.CatalogException": _MISSING,
    "duckdb.PermissionException": _RIGHTS,
    "duckdb.DependencyException": "other things depend on it",
    "duckdb.ProgrammingError": _TEXT,
    "duckdb.DataError": _VALUES,
    "duckdb.IntegrityError": _CONSTRAINT,
    "duckdb.NotSupportedError": _UNKNOWN,
    "psycopg.ProgrammingError": _TEXT,
    "psycopg.DataError": _VALUES,
    "psycopg.NotSupportedError": _UNKNOWN,
    "pymysql.ProgrammingError": _TEXT,
    "pymysql.DataError": _VALUES,
    "pymysql.IntegrityError": _CONSTRAINT,
    "pymysql.NotSupportedError": _UNKNOWN,
    "sqlite3.ProgrammingError": _TEXT,
}
"""Classes by library and name, the more exact ones first in a class's own line of ancestors."""

_SERVER_IS_BUSY = ("too many", "connection slots", "starting up", "shutting down", "recovery mode", "not yet accepting")
"""What a PostgreSQL server says at the door when it will let one in later; the driver gives no code there."""


@dataclass(frozen=True)
class Verdict:
    """Whether another try makes sense; `why` says why it does not, and ends a sentence."""

    may_retry: bool = True
    retry_after: float | None = None
    why: str | None = None

    def fields(self) -> dict[str, Any]:
        """As a part of the `failed` message."""
        return {
            "retry": self.may_retry,
            **({"retry_after": self.retry_after} if self.retry_after is not None else {}),
            **({"lasting": self.why} if self.why is not None else {}),
        }


def verdict(error: BaseException) -> Verdict:
    """What an error of a step means for another try. One that is not known may be gone the next time."""
    leaves = list(_leaves(error))
    why = next((why for leaf in leaves if (why := _lasting(leaf))), None)
    if why is not None:
        return Verdict(may_retry=False, why=why)
    waits = [leaf.seconds for leaf in leaves if isinstance(leaf, RetryAfter) and math.isfinite(leaf.seconds)]
    return Verdict(retry_after=max(waits, default=None))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors of a group, which a nursery of the step's own may have made."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _lasting(error: BaseException) -> str | None:
    if isinstance(error, NoRetry):
        return "the step says that it makes no sense"
    said = getattr(error, "lasting", None)
    if isinstance(said, str):
        return said
    if isinstance(error, OpenError) and error.__cause__ is not None:
        return _at_the_door(error.__cause__)
    return _by_code(error) or _by_class(error)


def _at_the_door(error: BaseException) -> str | None:
    text = str(error)
    if "FATAL" in text and not any(busy in text for busy in _SERVER_IS_BUSY):
        return _LOGIN if "authentication" in text or "pg_hba" in text else _MISSING
    return _by_code(error) or _by_class(error)


def _by_code(error: BaseException) -> str | None:
    first = error.args[0] if error.args else None
    library = type(error).__module__.partition(".")[0]
    if library == "pymysql" and first in _MYSQL:
        return _MYSQL[first]
    if library == "oracledb":
        return _ORACLE.get(getattr(first, "full_code", ""))
    state = first if library == "pyodbc" else getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return _SQLSTATES.get(state) or _SQLSTATES.get(state[:2])
    name = getattr(error, "sqlite_errorname", None)
    if isinstance(name, str):
        if name.startswith("SQLITE_ERROR_"):
            return None  # a snapshot that is too old, for example: no error of the text
        return _SQLITE.get("_".join(name.split("_")[:2]))
    return None


def _by_class(error: BaseException) -> str | None:
    if getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None):
        return None  # its code has been looked at
    names = (f"{of.__module__.partition('.')[0].lstrip('_')}.{of.__name__}" for of in type(error).__mro__)
    return next((_CLASSES[name] for name in names if name in _CLASSES), None)
