"""`sql_copy`: a table, a part of one or what a query gives, from one connector to another."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from nomaflow.definitions.record import NonEmpty, Number, ParamName, Record
from nomaflow.definitions.sql_text import StatementError, condition, one_statement
from nomaflow.definitions.steps.common import ConnectorRef, Identifier, OptionText, StepCommon

Names = Annotated[list[Identifier], Field(max_length=1000)]


class Target(Record):
    """A table on a connector. `schema` is the database's default one where it is left out."""

    connector: ConnectorRef
    schema_: Annotated[OptionText | None, Field(alias="schema")] = None
    table: OptionText


class Source(Record):
    """A table, those of its rows for which `where` holds, or the rows of `query`.

    `where` and `query` are taken as they stand, `${…}` too; values go in as `params`, written `:name` in the text.
    """

    connector: ConnectorRef
    schema_: Annotated[OptionText | None, Field(alias="schema")] = None
    table: OptionText | None = None
    where: NonEmpty | None = None
    query: NonEmpty | None = None
    params: Annotated[dict[ParamName, bool | Number | OptionText], Field(max_length=200)] = {}

    @model_validator(mode="after")
    def _one_of_both(self) -> Source:
        if (self.table is None) == (self.query is None):
            raise ValueError("needs a `table` or a `query`, one of the two")
        if self.query is not None and (self.where is not None or self.schema_ is not None):
            raise ValueError("has a `query`, which says itself where its rows come from; take `schema` and `where` out")
        try:
            if self.where is not None:
                names = one_statement(f"SELECT 1 WHERE ({condition(self.where)})").names
            elif self.query is not None:
                statement = one_statement(self.query)
                names = statement.names
                if not statement.only_reads:
                    raise ValueError("has a `query` that is none, or that changes something; give it one SELECT")
            else:
                names = ()
        except StatementError as error:
            raise ValueError(f"has SQL that cannot be run: {error}") from None
        if missing := [name for name in names if name not in self.params]:
            raise ValueError(f"asks for :{missing[0]}, which `params` does not have")
        return self


class SqlCopy(StepCommon):
    """Rows in = rows out.

    overwrite puts the new rows in the place of the old ones in one transaction, so that the target is never empty and
    a failed copy leaves it as it was; append adds; upsert replaces by `key`, or by the target's primary key.

    `columns` chooses columns, or chooses and renames them: `{ source = "target" }`. `type_coercion = "jde"` reads
    `julian_columns` as dates (CYYDDD) and puts the point into the numbers of `decimal_scales`; `decimal_mode` says
    whether decimals that the target's column does not have are cut or an error. `strip_both_columns` lose the blanks
    at both ends.
    """

    literal_options: ClassVar = frozenset({"source.where", "source.query"})
    connector_options: ClassVar = (("source", "connector"), ("target", "connector"))
    is_transactional: ClassVar = True

    type: Literal["sql_copy"]
    source: Source
    target: Target
    mode: Literal["overwrite", "append", "upsert"] = "overwrite"
    key: Annotated[list[Identifier], Field(max_length=32)] = []
    columns: Names | Annotated[dict[Identifier, Identifier], Field(max_length=1000)] = []
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    type_coercion: Literal["none", "jde"] = "none"
    decimal_mode: Literal["preserve", "truncate"] = "preserve"
    julian_columns: Names = []
    decimal_scales: Annotated[dict[Identifier, Annotated[int, Field(ge=0, le=38)]], Field(max_length=1000)] = {}
    strip_both_columns: Names = []

    @model_validator(mode="after")
    def _coercion_is_named(self) -> SqlCopy:
        if self.type_coercion == "none":
            given: dict[str, Any] = {"julian_columns": self.julian_columns, "decimal_scales": self.decimal_scales}
            given["decimal_mode"] = self.decimal_mode == "truncate"
            if named := [name for name, value in given.items() if value]:
                raise ValueError(f'has `{named[0]}`, which needs type_coercion = "jde"')
        return self

    @property
    def detail(self) -> str:
        """Source and target."""
        table = self.source.table
        source = _place(self.source.connector, self.source.schema_, "(query)" if table is None else table)
        return f"{source} → {_place(self.target.connector, self.target.schema_, self.target.table)} ({self.mode})"

    def writes(self) -> frozenset[str]:
        """The target."""
        return frozenset({self.target.connector})


def _place(connector: str, schema: str | None, table: str) -> str:
    return ".".join(part for part in (connector, schema, table) if part)
