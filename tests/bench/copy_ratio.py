"""How fast `sql_copy` is, beside the least that a copy can be and beside what people would use instead.

The least is a bare pipe of COPY between two PostgreSQL servers, and ADBC's bare stream into DuckDB; ways take turns, so
that a busy moment of the machine meets all of them. Run it with `python -m tests.bench copy`.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from nomaflow.steps import sql_copy
from tests.bench import copy_peers
from tests.fakes.context import file_connector, step_context
from tests.servers import postgresql

type Row = tuple[str, str, str]

ROWS = 1_000_000
PEER_ROWS = 100_000
"""What takes minutes for a million rows is timed with fewer."""

ROUNDS = 3
FLIGHTS = 336_776
COPY_BOUND, ADBC_BOUND = 1.3, 1.5

_COLUMNS = (
    "id bigint, name text, amount numeric, created_at timestamptz, day date, ok boolean, ratio double precision, n int"
)
_VALUES = (
    "i, md5(i::text), (i * 7 % 100000)::numeric / 100, now() + i * interval '1 s', current_date + i % 1000,"
    " i % 2 = 0, i::float8 / 3, i % 100"
)
# ADBC gives PostgreSQL's numbers as a text that Arrow does not know; as text DuckDB reads them.
_SELECT = "SELECT id, name, amount::text, created_at, day, ok, ratio, n FROM rows"
_DUCKDB = (
    "id BIGINT, name VARCHAR, amount DECIMAL(38,18), created_at TIMESTAMPTZ, day DATE, ok BOOLEAN, ratio DOUBLE,"
    " n INTEGER"
)
_FLIGHT = [f"n{number} INTEGER" for number in range(13)] + [f"t{number} VARCHAR" for number in range(5)]


class MissingPeerError(Exception):
    """A peer could not be brought or did not do it; the message holds what it said last."""


def copied(mode: str, source: dict[str, Any], target: dict[str, Any], table: str) -> None:
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


def peer(name: str, source: str, target: str, select: str, table: str, columns: str) -> float:
    """How long a way of `copy_peers` takes.

    Raises:
        MissingPeerError: it cannot be had here.
    """
    needs = [word for need in copy_peers.NEEDS[name] for word in ("--with", need)]
    uv = [
        Path(sys.executable).with_name("uv"),
        "run",
        "--quiet",
        "--no-project",
        "--isolated",
        "--python",
        sys.executable,
    ]
    # `-P`: the folder of this file has modules that are named as those of the library.
    command = [*uv, *needs, "python", "-P", copy_peers.__file__, name]
    given = {"source": source, "target": target, "select": select, "table": table, "columns": columns}
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "Error" in line] or ["it gave no reason"]
        raise MissingPeerError(f"{name}: {said[-1][:200]}")
    return float(done.stdout.split()[-1])


def turns(ways: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The median of each way, all of them in turn."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, measure in ways.items():
            taken[way].append(measure())
    return {way: statistics.median(found) for way, found in taken.items()}


def rows_of(what: str, medians: dict[str, float], rows: int, base: str, bound: float) -> Iterator[Row]:
    """Rows a second of each way; those of `sql_copy` beside the base."""
    for way, median in medians.items():
        ratio, held = (f", {median / medians[base]:.2f} × {base}", f"{bound} ×") if "sql_copy" in way else ("", "")
        yield f"{what}: {way}", f"{rows / median:,.0f} rows/s{ratio}", held


def url(server: postgresql.Server, driver: str = "") -> str:
    """The address with the password of the private server."""
    return f"postgresql{driver}://{server.username}:{server.password}@{server.host}:{server.port}/{server.database}"


def made(server: postgresql.Server, rows: int) -> None:
    """The table to copy."""
    with server.connect() as connection:
        connection.execute(f"CREATE TABLE rows ({_COLUMNS})".encode())
        connection.execute(f"INSERT INTO rows SELECT {_VALUES} FROM generate_series(1, {rows}) i".encode())
        connection.execute("VACUUM ANALYZE rows")


def figures() -> Iterator[Row]:
    """Every pair that has a bound, and the peers."""
    with ExitStack() as opened:
        server = opened.enter_context(postgresql.running())
        source, target, small = (opened.enter_context(server.new_database()) for _ in range(3))
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        made(source, ROWS)
        made(small, PEER_ROWS)
        yield from between_servers(source, target)
        yield from into_duckdb(source, folder)
        yield from flights(folder)
        yield from peers(small, target, folder)


def between_servers(source: postgresql.Server, target: postgresql.Server) -> Iterator[Row]:
    """PostgreSQL to PostgreSQL beside a bare pipe."""
    with target.connect() as at_target:
        at_target.execute(f"CREATE TABLE rows ({_COLUMNS})".encode())

        def emptied(call: Callable[[], None], *, first: bytes | None = b"TRUNCATE rows") -> float:
            if first is not None:
                at_target.execute(first)
            at_target.execute("CHECKPOINT")
            return seconds(call)

        def step(mode: str) -> None:
            copied(mode, source.connector(), target.connector(), "rows")

        medians = turns(
            {
                "a bare COPY": lambda: emptied(lambda: bare(source, target)),
                "sql_copy, append": lambda: emptied(lambda: step("append")),
                "sql_copy, overwrite of an empty table": lambda: emptied(lambda: step("overwrite")),
                "sql_copy, overwrite of as many rows": lambda: emptied(lambda: step("overwrite"), first=None),
            }
        )
    what = f"PostgreSQL → PostgreSQL, {ROWS:,} rows × 8"
    yield from rows_of(what, medians, ROWS, "a bare COPY", COPY_BOUND)


def into_duckdb(source: postgresql.Server, folder: Path) -> Iterator[Row]:
    """PostgreSQL to a DuckDB file beside a bare ADBC stream, each into a new file."""
    what = f"PostgreSQL → DuckDB, {ROWS:,} rows × 8"

    def step() -> float:
        path = folder / "ours.duckdb"
        path.unlink(missing_ok=True)
        return seconds(lambda: copied("overwrite", source.connector(), file_connector("duckdb", path), "rows"))

    def adbc() -> float:
        path = folder / "adbc.duckdb"
        path.unlink(missing_ok=True)
        return peer("adbc_postgresql", url(source), str(path), _SELECT, "rows", _DUCKDB)

    yield from beside_adbc(what, step, adbc, ROWS)


def flights(folder: Path) -> Iterator[Row]:
    """SQLite to DuckDB with a table of the size and the shape of the sample's flights."""
    path = folder / "source.db"
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE flights ({', '.join(_FLIGHT)}, time_hour TIMESTAMP)")
    row = (*range(13), "UA", "N14228", "EWR", "IAH", "x", "2013-01-01 05:00:00")
    connection.executemany(f"INSERT INTO flights VALUES ({', '.join('?' * 19)})", [row] * FLIGHTS)
    connection.commit()
    connection.close()

    def step() -> float:
        target = folder / "ours.duckdb"
        target.unlink(missing_ok=True)
        ends = file_connector("sqlite", path), file_connector("duckdb", target)
        return seconds(lambda: copied("overwrite", *ends, "flights"))

    def adbc() -> float:
        target = folder / "adbc.duckdb"
        target.unlink(missing_ok=True)
        columns = ", ".join([*_FLIGHT, "time_hour TIMESTAMP"]).replace("INTEGER", "BIGINT")
        return peer("adbc_sqlite", str(path), str(target), "SELECT * FROM flights", "flights", columns)

    yield from beside_adbc(f"SQLite → DuckDB, {FLIGHTS:,} rows × 19", step, adbc, FLIGHTS)


def beside_adbc(what: str, step: Callable[[], float], adbc: Callable[[], float], rows: int) -> Iterator[Row]:
    """Both in turn, or the step alone where ADBC cannot be had."""
    step()  # loads Arrow
    try:
        medians = turns({"bare ADBC": adbc, "sql_copy, overwrite": step})
    except MissingPeerError as error:
        yield what, f"{rows / step():,.0f} rows/s; beside nothing: {error}", f"{ADBC_BOUND} ×"
        return
    yield from rows_of(what, medians, rows, "bare ADBC", ADBC_BOUND)


def peers(source: postgresql.Server, target: postgresql.Server, folder: Path) -> Iterator[Row]:
    """What people would use instead, once each."""
    reading, columns = url(source, "+psycopg"), (_SELECT.replace("::text", ""), "rows", _DUCKDB)
    places = {
        "PostgreSQL": {"pandas": url(target, "+psycopg"), "dlt": url(target)},
        "DuckDB": {"pandas": str(folder / "pandas.duckdb"), "dlt": str(folder / "dlt.duckdb")},
    }
    for place, by_name in places.items():
        for name, where in by_name.items():
            what = f"PostgreSQL → {place}, {PEER_ROWS:,} rows × 8: {name}"
            try:
                yield what, f"{PEER_ROWS / peer(name, reading, where, *columns):,.0f} rows/s", ""
            except MissingPeerError as error:
                yield what, f"not measured: {error}", ""
