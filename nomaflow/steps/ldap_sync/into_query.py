"""One statement that is run once for each entry, with the entry's attributes as its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from nomaflow.definitions.sql_text import one_statement
from nomaflow.steps.databases.tables import TableDatabase
from nomaflow.steps.ldap_sync.mapping import Field
from nomaflow.steps.ldap_sync.reading import Reading


@dataclass(frozen=True)
class Ran:
    """How many entries there were, how many rows the statements changed, and how many of them changed none."""

    fetched: int
    upserted: int
    unchanged: int


def fields_of_query(query: str, mapping: Mapping[str, str], json_attributes: Sequence[str]) -> list[Field]:
    """One field for each parameter of the query: what is mapped to it, else the attribute of its name."""
    attributes = {parameter: attribute for attribute, parameter in mapping.items()}
    as_json = {name.lower() for name in json_attributes}
    pairs = [(attributes.get(name, name), name) for name in one_statement(query).names]
    return [Field(attribute, name, attribute.lower() in as_json) for attribute, name in pairs]


def run_query(reading: Reading, database: TableDatabase, query: str) -> Ran:
    """Run the statement for every entry; nothing is committed.

    Raises:
        DirectoryError: the answer is not whole.
    """
    names = [field.column for field in reading.fields]
    fetched = upserted = unchanged = 0
    with closing(reading.rows(lambda entry, values: (entry.dn, *values))) as batches:
        for rows in batches:
            for dn, *values in rows:
                try:
                    changed = database.execute(query, dict(zip(names, values, strict=True)))
                except Exception:
                    # The database's own words do not say which entry it was.
                    reading.ctx.log.error("the statement failed for the entry %r", dn)
                    raise
                fetched += 1
                upserted += changed
                unchanged += changed == 0
            reading.ctx.checkpoint()
    return Ran(fetched, upserted, unchanged)
