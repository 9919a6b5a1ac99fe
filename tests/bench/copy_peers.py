"""Copies by what people would use instead, each timed in a process of its own.

It needs nothing of this repository: `tests.bench.copy_ratio` runs it by `uv run`, which brings what NEEDS names for the
time of the call. `copy_peers.py NAME` reads what to copy as JSON from its input, and prints the seconds that the copy
took, without the imports.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Given = dict[str, Any]
"""`source` and `target` are addresses or paths, `select` what is read, `table` and `columns` what is written."""


@contextmanager
def timed(taken: list[float]) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    taken.append(time.perf_counter() - begun)


def adbc(driver: Any, given: Given, taken: list[float]) -> None:
    """Arrow from the driver into a table of DuckDB that is there, the least that such a copy can be."""
    import duckdb

    # With the file's opening and closing, which writes what is in its log.
    with timed(taken), duckdb.connect(given["target"]) as target:
        target.execute(f"CREATE OR REPLACE TABLE {given['table']} ({given['columns']})")
        with driver.connect(given["source"]) as source, source.cursor() as cursor:
            cursor.execute(given["select"])
            target.register("rows_read", cursor.fetch_record_batch())
            target.execute(f"INSERT INTO {given['table']} SELECT * FROM rows_read")


def adbc_postgresql(given: Given, taken: list[float]) -> None:
    import adbc_driver_postgresql.dbapi as driver

    adbc(driver, given, taken)


def adbc_sqlite(given: Given, taken: list[float]) -> None:
    import adbc_driver_sqlite.dbapi as driver

    adbc(driver, given, taken)


def pandas(given: Given, taken: list[float]) -> None:
    """Chunks as its documentation shows."""
    import pandas as pd
    import sqlalchemy

    source = sqlalchemy.create_engine(given["source"])
    if given["target"].startswith("postgresql"):
        target = sqlalchemy.create_engine(given["target"])
        with (
            timed(taken),
            source.connect().execution_options(stream_results=True) as reading,
            target.begin() as writing,
        ):
            for chunk in pd.read_sql(sqlalchemy.text(given["select"]), reading, chunksize=25_000):
                chunk.to_sql("by_pandas", writing, if_exists="append", index=False, method=None)
        return
    import duckdb

    with timed(taken), duckdb.connect(given["target"]) as target_file:
        target_file.execute(f"CREATE OR REPLACE TABLE {given['table']} ({given['columns']})")
        with source.connect().execution_options(stream_results=True) as reading:
            for chunk in pd.read_sql(sqlalchemy.text(given["select"]), reading, chunksize=25_000):
                target_file.register("rows_read", chunk)
                target_file.execute(f"INSERT INTO {given['table']} SELECT * FROM rows_read")


def dlt(given: Given, taken: list[float]) -> None:
    """Its source for SQL with the Arrow backend, which is its fastest."""
    import dlt as library
    from dlt.sources.sql_database import sql_table

    to_postgresql = given["target"].startswith("postgresql")
    kind = library.destinations.postgres if to_postgresql else library.destinations.duckdb
    with tempfile.TemporaryDirectory() as folder:
        pipeline = library.pipeline(
            "bench", pipelines_dir=folder, destination=kind(given["target"]), dataset_name="copied"
        )
        table = sql_table(credentials=given["source"], table=given["table"], backend="pyarrow", chunk_size=50_000)
        with timed(taken):
            pipeline.run(table, write_disposition="replace")


WAYS: dict[str, Callable[[Given, list[float]], None]] = {
    "adbc_postgresql": adbc_postgresql,
    "adbc_sqlite": adbc_sqlite,
    "pandas": pandas,
    "dlt": dlt,
}

NEEDS = {
    "adbc_postgresql": ["adbc-driver-postgresql", "pyarrow", "duckdb==2.0.*"],
    "adbc_sqlite": ["adbc-driver-sqlite", "pyarrow", "duckdb==2.0.*"],
    "pandas": ["pandas", "sqlalchemy", "psycopg[binary]", "duckdb==2.0.*"],
    "dlt": ["dlt[sql_database,postgres,duckdb]", "psycopg[binary]", "pyarrow", "pandas", "duckdb==2.0.*"],
}


if __name__ == "__main__":
    seconds: list[float] = []
    WAYS[sys.argv[1]](json.load(sys.stdin), seconds)
    print(seconds[0])
