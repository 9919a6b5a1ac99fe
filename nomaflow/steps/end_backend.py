"""`end_backend`: end what a stopped step has left at work on its server. The engine's own; no job can name it."""

from __future__ import annotations

import time
from typing import Any

from nomaflow.worker.context import Database, StepContext

WAIT_SECONDS = 0.3
"""How long a backend that was asked to end is watched; one that takes longer may be frozen."""

_LOOK = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE pid = :process AND application_name = left(:name, 63)",
    # What is at work there carries the name in a comment; a number may be another's after the server's restart.
    "mysql": """
        SELECT id FROM information_schema.processlist
        WHERE id = :process AND locate(concat('/* ', :name, ' */'), info) > 0""",
}
_END = {"postgresql": "SELECT pg_terminate_backend(:process)", "mysql": "KILL :process"}


def run(ctx: StepContext, options: dict[str, Any]) -> dict[str, Any]:
    """Ask the server to end the process `process`, if it still serves a connection named `name`.

    Returns:
        Whether it has `ended`.
    """
    database = ctx.open_connector(options["connector"])
    try:
        if is_there := _is_there(database, options):
            database.fetch(_END[database.backend], options)
        ends = time.monotonic() + WAIT_SECONDS
        while is_there and time.monotonic() < ends:
            time.sleep(0.01)
            is_there = _is_there(database, options)
    finally:
        database.close()
    return {"ended": not is_there}


def _is_there(database: Database, options: dict[str, Any]) -> bool:
    found = database.fetch(_LOOK[database.backend], options)
    database.rollback()  # within one transaction it would see the same again
    return bool(found)
