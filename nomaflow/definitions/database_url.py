"""Database addresses in SQLAlchemy's form, `backend+driver://user:password@host:port/database?key=value`.

SQLAlchemy reads them too (the tests hold the two against each other), and costs the engine 0.4 s of its start and 15 MB
for nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

_URL = re.compile(
    r"""(?P<drivername>[\w+]+)://
    (?:(?P<username>[^:/]*)(?::(?P<password>[^@]*))?@)?
    (?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?
    (?::(?P<port>[0-9]+))?
    (?:/(?P<database>[^?]*))?
    (?:\?(?P<query>.*))?""",
    re.X,
)
FILE_BACKENDS = ("sqlite", "duckdb")


@dataclass(frozen=True)
class DatabaseUrl:
    """The parts of an address, as they are meant: percent signs are resolved, what is not said is None."""

    backend: str
    host: str | None
    port: int | None
    username: str | None
    password: str | None
    database: str | None
    query: dict[str, str]

    @property
    def file(self) -> str | None:
        """The database's file; None where it is no file, or one in memory."""
        in_memory = self.database in (None, "", ":memory:")
        return None if self.backend not in FILE_BACKENDS or in_memory else self.database


def parse(url: str) -> DatabaseUrl:
    """Take an address apart.

    Raises:
        ValueError: it is none. The message does not hold it, since a password may be in it.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError("is no SQLAlchemy URL; write for example postgresql+psycopg://user@host/database")
    username, password, database = match["username"], match["password"], match["database"]
    return DatabaseUrl(
        backend=match["drivername"].partition("+")[0],
        host=match["ipv6"] or match["host"],
        port=int(match["port"]) if match["port"] else None,
        username=unquote(username) if username is not None else None,
        password=unquote(password) if password is not None else None,
        database=unquote(database) if database else None,
        query=dict(parse_qsl(match["query"] or "", keep_blank_values=True)),
    )
