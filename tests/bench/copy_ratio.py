"""How fast `sql_copy` is: PostgreSQL to PostgreSQL beside a bare COPY pipe, and SQLite to DuckDB.

Run it with `python -m tests.bench.copy_ratio`.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from nomaflow.steps import sql_copy
from tests.fakes.context import file_connector, step_context
from tests.servers import postgresql

ROWS = 1_000_000
ROUNDS = 3
BOUND = 1.3
FLIGHTS = 336_776

_COLUMNS = (
    "id bigint, name text, amount numeric, created_at timestamptz, day date, ok boolean, ratio double precision, n int"
)
_VALUES = (
    "i, md5(i::text), (i * 7 % 100000)::numeric / 100, now() + i * interval '1 s', current_date + i % 1000,"
    " i % 2 = 0, i::float8 / 3, i % 100"
)


def copied(mode: str, source: dict[str, object], target: dict[str, object], table: str) -> None:
    """One run of the step."""
    ctx, _ = step_context({"source": source, "target": target}, log_level="WARNING")
    end = {"schema": None, "table": table}
    options = {"mode": mode, "key": [], "batch_size": 10_000}
    ends = {"source": {"connector": "source", **end}, "target": {"connector": "target", **end}}
    output = sql_copy.run(ctx, options | ends)
    assert output["source_rows"] == output["target_rows"]


def bare(source: postgresql.Server, target: postgresql.Server) -> None:
    """What psycopg's documentation shows for a copy between two servers, nothing else."""
    with (
        source.connect() as reading,
        target.connect() as writing,
        reading.cursor().copy("COPY rows TO STDOUT (FORMAT binary)") as out,
        writing.cursor().copy("COPY rows FROM STDIN (FORMAT binary)") as into,
    ):
        for data in out:
            into.write(data)


def seconds(call: Callable[[], None]) -> float:
    """How long the call takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def between_servers() -> None:
    """Time each way with the same rows, in turn, and show the medians."""
    with (
        postgresql.running() as server,
        server.new_database() as source,
        server.new_database() as target,
        source.connect() as at_source,
        target.connect() as at_target,
    ):
        at_source.execute(f"CREATE TABLE rows ({_COLUMNS})".encode())
        at_source.execute(f"INSERT INTO rows SELECT {_VALUES} FROM generate_series(1, {ROWS}) i".encode())
        at_source.execute("VACUUM ANALYZE rows")
        at_target.execute(f"CREATE TABLE rows ({_COLUMNS})".encode())
        step = {"source": source.connector(), "target": target.connector(), "table": "rows"}
        ways: dict[str, Callable[[], None]] = {
            "bare COPY pipe": lambda: bare(source, target),
            "sql_copy append": lambda: copied("append", **step),  # type: ignore[arg-type]
            "sql_copy overwrite, target empty": lambda: copied("overwrite", **step),  # type: ignore[arg-type]
            "sql_copy overwrite, target full": lambda: copied("overwrite", **step),  # type: ignore[arg-type]
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, call in ways.items():
                if not way.endswith("full"):
                    at_target.execute("TRUNCATE rows")
                at_target.execute("CHECKPOINT")
                times[way].append(seconds(call))
    print(f"PostgreSQL to PostgreSQL, {ROWS:,} rows x 8 columns, median of {ROUNDS}, {os.cpu_count()} cores")
    base = statistics.median(times["bare COPY pipe"])
    for way, taken in times.items():
        median = statistics.median(taken)
        print(f"  {way:34} {median:6.2f} s {ROWS / median:11,.0f} rows/s  ratio {median / base:4.2f}  (bound {BOUND})")


def sqlite_to_duckdb() -> None:
    """A table of the size and the shape of the sample's flights."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "source.db")
        names = [f"n{number} INTEGER" for number in range(13)] + [f"t{number} TEXT" for number in range(5)]
        connection = sqlite3.connect(path)
        connection.execute(f"CREATE TABLE flights ({', '.join(names)}, time_hour TIMESTAMP)")
        row = (*range(13), "UA", "N14228", "EWR", "IAH", "x", "2013-01-01 05:00:00")
        connection.executemany(f"INSERT INTO flights VALUES ({', '.join('?' * 19)})", [row] * FLIGHTS)
        connection.commit()
        connection.close()
        source, target = file_connector("sqlite", path), file_connector("duckdb", Path(folder, "target.duckdb"))
        taken = seconds(lambda: copied("overwrite", source, target, "flights"))
        again = seconds(lambda: copied("overwrite", source, target, "flights"))
    print(f"SQLite to DuckDB, {FLIGHTS:,} rows x 19 columns, {os.cpu_count()} cores")
    print(f"  overwrite, new target  {taken:6.2f} s {FLIGHTS / taken:11,.0f} rows/s")
    print(f"  overwrite, full target {again:6.2f} s {FLIGHTS / again:11,.0f} rows/s")


def main() -> None:
    """Measure and print."""
    between_servers()
    sqlite_to_duckdb()


if __name__ == "__main__":
    main()
