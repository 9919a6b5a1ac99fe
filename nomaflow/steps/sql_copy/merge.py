"""Rows that wait in a temporary table of the target's database, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence

from nomaflow.steps.databases.tables import Table, TableDatabase, listed, quoted
from nomaflow.steps.sql_copy.errors import CopyError

STASH = "_nomaflow_stash"


def stash(database: TableDatabase, target: Table, names: Sequence[str]) -> Table:
    """A temporary table with the target's columns; it is gone when the connection closes, whatever happens."""
    database.execute(f"CREATE TEMPORARY TABLE {quoted(STASH)} AS SELECT {listed(names)} FROM {target.quoted} LIMIT 0")
    return Table(database.temporary_schema, STASH)


def moved(database: TableDatabase, waiting: Table, target: Table, names: Sequence[str]) -> int:
    """Add the rows that wait to the target."""
    return database.execute(
        f"INSERT INTO {target.quoted} ({listed(names)}){overriding(database)} "
        f"SELECT {listed(names)} FROM {waiting.quoted}"
    )


def merged(database: TableDatabase, waiting: Table, target: Table, names: Sequence[str], key: Sequence[str]) -> int:
    """Replace the target's rows of the same key and add the others; how many rows of the target that were.

    An update and an insert need no unique index on the key, and with the target held against other writers nobody
    comes between them.

    Raises:
        CopyError: the key does not tell the waiting rows apart.
    """
    _check_key(database, waiting, key)
    same_key = " AND ".join(f"t.{quoted(name)} = s.{quoted(name)}" for name in key)
    changed = "t." if database.backend == "mysql" else ""
    changes = ", ".join(f"{changed}{quoted(name)} = s.{quoted(name)}" for name in names if name not in key)
    # With nothing beside the key there is nothing to replace, so the rows that are there only count.
    updated = (
        database.execute(_update(database, waiting, target, changes, same_key))
        if changes
        else database.fetch(f"SELECT count(*) FROM {target.quoted} AS t JOIN {waiting.quoted} AS s ON {same_key}")[0][0]
    )
    values = ", ".join(f"s.{quoted(name)}" for name in names)
    inserted = database.execute(
        f"INSERT INTO {target.quoted} ({listed(names)}){overriding(database)} SELECT {values} "
        f"FROM {waiting.quoted} AS s LEFT JOIN {target.quoted} AS t ON {same_key} WHERE t.{quoted(key[0])} IS NULL"
    )
    return int(updated) + inserted


def _update(database: TableDatabase, waiting: Table, target: Table, changes: str, same_key: str) -> str:
    if database.backend == "mysql":
        return f"UPDATE {target.quoted} AS t JOIN {waiting.quoted} AS s ON {same_key} SET {changes}"
    return f"UPDATE {target.quoted} AS t SET {changes} FROM {waiting.quoted} AS s WHERE {same_key}"


def overriding(database: TableDatabase) -> str:
    """What lets an INSERT fill a column GENERATED ALWAYS AS IDENTITY, as COPY does anyway."""
    return " OVERRIDING SYSTEM VALUE" if database.backend == "postgresql" else ""


def _check_key(database: TableDatabase, waiting: Table, key: Sequence[str]) -> None:
    empty = " OR ".join(f"{quoted(name)} IS NULL" for name in key)
    (without,) = database.fetch(f"SELECT count(*) FROM {waiting.quoted} WHERE {empty}")[0]
    if without:
        raise CopyError(f"{without} rows of the source have NULL in the key ({', '.join(key)}); name another key")
    (several,) = database.fetch(
        f"SELECT count(*) FROM (SELECT 1 FROM {waiting.quoted} GROUP BY {listed(key)} HAVING count(*) > 1) AS d"
    )[0]
    if several:
        raise CopyError(
            f"{several} values of the key ({', '.join(key)}) stand in more than one row of the source; name another key"
        )
