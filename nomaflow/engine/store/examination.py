"""Whether a store is whole: every block of it read, its keys counted."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from nomaflow.engine.store.file import StoreError

_KEYED = ("run", "slot")
_SUM = "bit_xor(hash(COLUMNS(*)))"


@dataclass(frozen=True)
class Facts:
    """What a store says of itself; `seq` is the number of its newest event."""

    schema_version: int
    epoch: int
    seq: int


def facts(db: duckdb.DuckDBPyConnection) -> Facts:
    """What a store says of itself; little of it is read.

    Raises:
        duckdb.Error: it is damaged, or no store of ours.
    """
    meta = dict(db.execute("SELECT name, value FROM meta").fetchall())
    seq = db.execute("SELECT coalesce(max(seq), 0) FROM event").fetchall()[0][0]
    return Facts(int(meta["schema_version"]), int(meta["epoch"]), seq)


def examine(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Read all of a store: how many rows each of its tables has.

    Raises:
        duckdb.Error: it is damaged.
        StoreError: a key is there twice.
    """
    names = [row[0] for row in db.execute("SELECT table_name FROM duckdb_tables() ORDER BY table_name").fetchall()]
    rows = {}
    for name in names:
        # Each column of each row, so that every block is checked against its sum.
        sql = f"SELECT count(*), {_SUM} FROM {name}"
        rows[name] = db.execute(sql).fetchall()[0][0]
    for name in _KEYED:
        if name in rows and db.execute(f"SELECT id FROM {name} GROUP BY id HAVING count(*) > 1").fetchall():
            raise StoreError(f"the table {name} has rows with the same id")
    return rows
