"""`end_backend`: end what a stopped step has left at work on its server. The engine's own; no job can name it."""

from __future__ import annotations

import time
from typing import Any

from nomaflow.definitions.sql_text import StatementError, one_statement
from nomaflow.worker.context import Database, StepContext

WAIT_SECONDS = 0.3
"""How long a backend that was asked to end is watched; one that takes longer may be frozen."""

_LOOK = "SELECT state, query FROM pg_stat_activity WHERE pid = :process AND application_name = left(:name, 63)"
_END = "SELECT pg_terminate_backend(:process)"


def run(ctx: StepContext, options: dict[str, Any]) -> dict[str, Any]:
    """Ask the server to end the process `process`, if it still serves a connection named `name`.

    Returns:
        `ended`, and `before_commit`: whether it was surely still at work on a statement of a transaction.
    """
    database = ctx.open_connector(options["connector"])
    try:
        found = _look(database, options)
        if found:
            database.fetch(_END, options)
        ends = time.monotonic() + WAIT_SECONDS
        while (there := bool(_look(database, options))) and time.monotonic() < ends:
            time.sleep(0.01)
    finally:
        database.close()
    return {"ended": not there, "before_commit": not there and any(map(_is_before_commit, found))}


def _look(database: Database, options: dict[str, Any]) -> list[Any]:
    found = database.fetch(_LOOK, options)
    database.rollback()  # within a transaction it would see the same again
    return found


def _is_before_commit(row: Any) -> bool:
    """Whether a backend without a client can do nothing but roll back."""
    state, query = row
    try:
        statement = one_statement(query)
    except StatementError:
        return False
    ends = statement.verb in ("", "COMMIT", "END") or statement.outside_transaction
    return state == "active" and not ends
