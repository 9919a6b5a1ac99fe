"""`sql_copy`: a table from one connector to another."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from nomaflow.definitions.record import Record
from nomaflow.definitions.steps.common import ConnectorRef, Identifier, OptionText, StepCommon


class Table(Record):
    """A table on a connector. `schema` is the database's default one where it is left out."""

    connector: ConnectorRef
    schema_: Annotated[OptionText | None, Field(alias="schema")] = None
    table: OptionText


class SqlCopy(StepCommon):
    """Rows in = rows out.

    overwrite loads a table beside the target and swaps the two in one transaction, so that the target is never empty
    and a failed copy leaves it as it was; append adds; upsert replaces by `key`, or by the target's primary key.
    """

    connector_options: ClassVar = (("source", "connector"), ("target", "connector"))
    is_transactional: ClassVar = True

    type: Literal["sql_copy"]
    source: Table
    target: Table
    mode: Literal["overwrite", "append", "upsert"] = "overwrite"
    key: Annotated[list[Identifier], Field(max_length=32)] = []
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000

    @property
    def detail(self) -> str:
        """Source and target."""
        return f"{_place(self.source)} → {_place(self.target)} ({self.mode})"

    def writes(self) -> frozenset[str]:
        """The target."""
        return frozenset({self.target.connector})


def _place(table: Table) -> str:
    return ".".join(part for part in (table.connector, table.schema_, table.table) if part)
