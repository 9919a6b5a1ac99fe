"""A table with every type of PostgreSQL that people use, to each database and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from nomaflow.steps.sql_copy.errors import CopyError
from tests.fakes.context import Told
from tests.servers.postgresql import Server
from tests.steps.copying import Bench

Connection = psycopg.Connection[tuple[Any, ...]]

COLUMNS = {
    "id": "bigint PRIMARY KEY",
    "small": "smallint",
    "i": "integer",
    "big": "bigint",
    "amount": "numeric(12,3)",
    "wide": "numeric(38,10)",
    "free": "numeric",
    "f4": "real",
    "f8": "double precision",
    "ok": "boolean",
    "txt": "text",
    "v": "varchar(20)",
    "c": "char(4)",
    "d": "date",
    "tm": "time",
    "ts": "timestamp",
    "tz": "timestamptz",
    "iv": "interval",
    "b": "bytea",
    "j": "json",
    "jb": "jsonb",
    "u": "uuid",
    "m": "mood",
    "numbers": "integer[]",
    "texts": "text[]",
    "ip": "inet",
}

ROWS = [
    "id = 0",
    r"""id = 1, small = -32768, i = 2147483647, big = -9223372036854775808, amount = 123456789.100,
        wide = 1234567890123456789012345678.0123456789, free = 12345678901234567890.012345678901234567, f4 = 0.1,
        f8 = 0.1, ok = true, txt = '', v = 'é', c = 'ab', d = '0001-01-01', tm = '23:59:59.999999',
        ts = '9999-12-31 23:59:59.999999', tz = '2024-03-31 01:30:00+02', iv = '1 year -2 mons +3 days -04:05:06.789',
        b = '\x00ff', j = '{"a": 1.50, "a": null}', jb = '{"a": 1.50}', u = '12345678-1234-5678-1234-567812345678',
        m = 'ok "x"', numbers = '{1,NULL,3}', texts = '{"a,b",NULL,""}', ip = '10.0.0.1/8'""",
    r"""id = 2, small = 0, i = -1, big = 9223372036854775807, amount = -0.001, wide = -0.0000000001,
        free = 0.000000000000000001, f4 = '1e-37', f8 = '1e308', ok = false, txt = E'a\tb\n\\N\r''",\\.', v = ' ',
        c = '',
        d = '2024-02-29', tm = '00:00', ts = '2024-02-29 00:00', tz = '1970-01-01 00:00+00', iv = '0', b = '',
        j = 'null', jb = '"\u00e9"', u = '00000000-0000-0000-0000-000000000000', m = 'sad', numbers = '{}',
        texts = '{}', ip = '::1'""",
    r"""id = 3, f4 = 'NaN', f8 = 'NaN', d = 'infinity', ts = '-infinity', tz = 'infinity', tm = '24:00',
        txt = 'NULL'""",
    r"""id = 4, f4 = '-infinity', f8 = 'infinity', d = '0044-03-15 BC', ts = '0044-03-15 01:02:03.5 BC',
        tz = '12024-01-01 01:02:03+00', iv = '-178000000 years', txt = ' infinity '""",
    r"""id = 5, f4 = '-0', f8 = '-0', amount = 0.000, free = 0, d = '12024-01-01', tz = '0044-03-15 01:02:03+00 BC'""",
]


@pytest.fixture
def at_source(tmp_path: Path, pg: Server) -> Any:
    """A database `s` with the table `t`, and connections to it and to nothing else."""
    bench = Bench(tmp_path)
    bench.add("s", "postgresql", pg)
    with pg.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("""CREATE TYPE mood AS ENUM ('sad', 'ok "x"')""")
        make(connection, "t")
        for row in ROWS:
            connection.execute("INSERT INTO t (id) VALUES (-1)")
            connection.execute(f"UPDATE t SET {row} WHERE id = -1".encode())
        yield bench, connection


def make(connection: Connection, name: str, without: frozenset[str] = frozenset()) -> None:
    """A table of all the types."""
    columns = ", ".join(f"{column} {kind}" for column, kind in COLUMNS.items() if column not in without)
    connection.execute(f"CREATE TABLE {name} ({columns})".encode())


def differences(connection: Connection, one: str, other: str, *, equal: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    """Rows of either table that the other does not have, by the text of each value; those of `equal` by their value."""
    wanted = ", ".join(name if name in equal else f"{name}::text" for name in COLUMNS)
    first, second = (f"SELECT {wanted} FROM {table}" for table in (one, other))
    query = f"({first} EXCEPT {second}) UNION ALL ({second} EXCEPT {first})"
    return connection.execute(query.encode()).fetchall()


def test_between_tables_of_one_server_every_value_stays(at_source: Any, postgresql: Server) -> None:
    """By COPY; the enum goes along as its label."""
    bench, connection = at_source
    with postgresql.new_database() as other, other.connect() as at_other:
        bench.add("d", "postgresql", other)
        at_other.execute("""CREATE TYPE mood AS ENUM ('ok "x"', 'sad')""")
        make(at_other, "t")
        told = Told()
        bench.copy("s.t", "d.t", told=told)
        assert "by COPY" in told.line("s.t → d.t")
        make(connection, "back")
        bench.copy("d.t", "s.back")
    assert differences(connection, "t", "back") == []


@pytest.mark.parametrize("batch_size", [1, 10_000])
@pytest.mark.parametrize(("backend", "equal"), [("sqlite", ("f4", "f8")), ("duckdb", ("free",))])
def test_through_a_file_and_back_every_value_stays(
    at_source: Any, backend: str, equal: tuple[str, ...], batch_size: int
) -> None:
    """In the types that a new table gets.

    What is equal, but not the same: DuckDB fills a number without limits up with zeros, SQLite's zero has no sign.
    """
    bench, connection = at_source
    bench.add("f", backend)
    if backend == "sqlite":
        with pytest.raises(CopyError, match=r"Row 4, column 'f4' holds NaN, which SQLite would keep as NULL"):
            bench.copy("s.t", "f.t", batch_size=batch_size)
        connection.execute("UPDATE t SET f4 = NULL, f8 = NULL WHERE f8 = 'NaN'")
    bench.copy("s.t", "f.t", batch_size=batch_size)
    make(connection, "back")
    bench.copy("f.t", "s.back", batch_size=batch_size)
    assert differences(connection, "t", "back", equal=equal) == []
