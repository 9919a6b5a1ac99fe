"""`ldap_sync`: the entries of a directory into a table, or through a query.

All changes of the target are one transaction, committed when the directory has given its last page and every check has
passed. What cannot be told from a whole answer, a size limit, a lost connection, a referral, is an error.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from contextlib import ExitStack
from typing import Any, cast

from nomaflow.definitions.ldap_text import LdapTextError, check_filter, filled_dn, filled_filter
from nomaflow.steps.databases.tables import Table, TableDatabase
from nomaflow.steps.ldap_sync.columns import Columns
from nomaflow.steps.ldap_sync.directory import Directory, Search
from nomaflow.steps.ldap_sync.errors import SyncError
from nomaflow.steps.ldap_sync.guard import Guard
from nomaflow.steps.ldap_sync.into_query import fields_of_query, run_query
from nomaflow.steps.ldap_sync.into_table import Deletion, IntoTable
from nomaflow.steps.ldap_sync.mapping import DN, NORMALIZED_DN, Field, fields_of, requested
from nomaflow.steps.ldap_sync.reading import Reading
from nomaflow.worker.context import StepContext


def run(ctx: StepContext, options: dict[str, Any]) -> dict[str, Any]:
    """Synchronize, verify and commit.

    Returns:
        `fetched` entries; with a table the rows `inserted`, `updated`, `pruned` (deleted or marked) and `unchanged`,
        with a query the rows `upserted`; `rows_affected` is all rows that were changed.

    Raises:
        DirectoryError: the directory cannot be reached, refuses, or its answer is not whole.
        SyncError: entries and target do not fit, or the deletion guard says no.
        StepCanceled: the step is asked to stop; the target is as it was.
    """
    begun = time.perf_counter()
    ctx.rolled_back = True  # there is nothing yet
    with ExitStack() as opened:
        with ctx.canceler.interrupting_main_thread():
            # A server that does not answer keeps the driver waiting.
            directory = Directory(ctx.describe_connector(options["connector"], "ldap"))
            opened.callback(directory.close)
            database = cast("TableDatabase", ctx.open_connector(options["target_connector"]))
            opened.callback(database.close)
        with (
            ctx.undoing(database),
            ctx.canceler.armed(directory.cut),
            ctx.canceler.stopping(database, patience=1.2),
        ):
            output = _synchronized(ctx, options, directory, database)
            ctx.checkpoint()
            database.commit()
    told = ", ".join(f"{count} {what}" for what, count in output.items())
    ctx.log.info("committed: %s", told)
    changed = sum(output.get(what, 0) for what in ("inserted", "updated", "upserted", "pruned"))
    elapsed_ms = round((time.perf_counter() - begun) * 1000)
    return {**output, "rows_affected": changed, "elapsed_ms": elapsed_ms}


def _synchronized(
    ctx: StepContext, options: dict[str, Any], directory: Directory, database: TableDatabase
) -> dict[str, int]:
    """What was done, in numbers; it waits for the commit."""
    if not directory.read_schema():
        ctx.log.warning("the directory does not show its schema; values are taken as text")
    target = options["target_connector"]
    table = Table(options["target_schema"], options["target_table"] or "")
    query: str | None = options["target_query"]
    columns = Columns.of(database, table, f"{target}.{table}") if query is None else None
    fields = _fields(options, directory, columns)
    search = _search(options, fields)
    for name in search.attributes:
        if not directory.knows(name):
            raise SyncError(
                f"The directory's schema has no attribute {name!r}; correct mapping, attributes or the query"
            )
    ctx.log.info("%s: %s %s, scope %s", directory.name, search.base or "the root", search.filter, search.scope)
    reading = Reading(ctx, directory, search, fields, options["separator"])
    if query is not None:
        ctx.log.debug("%s", query)
        return {**dataclasses.asdict(run_query(reading, database, query)), "pruned": 0}
    assert columns is not None
    now = dt.datetime.now(dt.UTC)
    into = IntoTable(reading, database, table, columns, options["key"], _deletion(options), now)
    return dataclasses.asdict(into.run())


def _fields(options: dict[str, Any], directory: Directory, columns: Columns | None) -> list[Field]:
    if columns is None:
        return fields_of_query(options["target_query"], options["mapping"], options["json_attributes"])
    own = {str(options[name]).lower() for name in ("flag_column", "flagged_at_column") if options[name]}
    like_attributes = [
        column.name
        for column in columns.all
        if column.name.lower() not in own
        and not column.generated
        and (column.name.lower() in (DN, NORMALIZED_DN) or directory.knows(column.name))
    ]
    return fields_of(options["mapping"], options["attributes"], options["json_attributes"], like_attributes)


def _search(options: dict[str, Any], fields: list[Field]) -> Search:
    values = options["search_params"]
    try:
        base, query = filled_dn(options["search_base"], values), filled_filter(options["search_filter"], values)
        check_filter(query)
    except LdapTextError as error:
        raise SyncError(f"The search {error}") from None
    return Search(
        base, query, options["scope"], requested(fields), options["page_size"], options["referrals"] == "ignore"
    )


def _deletion(options: dict[str, Any]) -> Deletion:
    limits: list[float] = []
    for name in ("max_deletions", "max_deletion_percent"):
        value = options[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise SyncError(f"{name} is {value!r}, which is no number from 0 up")
        limits.append(value)
    guard = Guard(int(limits[0]), limits[1])
    return Deletion(options["deletion"], options["flag_column"], options["flagged_at_column"], guard)
