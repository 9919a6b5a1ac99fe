"""How fast `ldap_sync` is: 5,000 entries with TLS and pages of 500, into SQLite and PostgreSQL."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers import postgresql, slapd
from tests.steps.copying import Bench
from tests.steps.syncing import COLUMNS, sync

ENTRIES = 5000


@dataclass(frozen=True)
class Synchronized:
    """Seconds of one database: into an empty table, with nothing changed, and by a statement for each entry."""

    backend: str
    first_seconds: float
    again_seconds: float
    query_seconds: float


UPSERT = """
    INSERT INTO people (login, name, mail, number, dn) VALUES (:uid, :cn, :mail, :employeeNumber, :dn)
    ON CONFLICT (login) DO UPDATE SET name = excluded.name, mail = excluded.mail"""


def synchronized() -> Iterator[Synchronized]:
    """Measure each database, one after the other."""
    with slapd.running(ENTRIES) as directory, postgresql.running() as server, server.new_database() as database:
        tls = directory.connector(url=directory.tls_url, ca_file=str(directory.ca_file))
        for backend in ("sqlite", "postgresql"):
            with tempfile.TemporaryDirectory(prefix="nomaflow-bench-") as folder:
                bench = Bench(Path(folder))
                bench.add("db", backend, database if backend == "postgresql" else None)
                bench.sql("db", f"CREATE TABLE people ({COLUMNS[backend]})")
                soft = {"deletion": "soft", "flag_column": "gone"}
                first = _seconds(bench, tls, {"inserted": ENTRIES}, **soft)
                again = _seconds(bench, tls, {"unchanged": ENTRIES}, **soft)
                query = _seconds(bench, tls, {"upserted": ENTRIES}, target_query=UPSERT)
                yield Synchronized(backend, first, again, query)


def _seconds(bench: Bench, directory: dict[str, object], expected: dict[str, int], **options: object) -> float:
    begun = time.perf_counter()
    output = sync(bench, directory, **options)
    assert expected.items() <= output.items(), output
    return time.perf_counter() - begun
