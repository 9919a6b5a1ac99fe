"""`sql_query`: one SQL statement on one connector."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from nomaflow.definitions.record import NonEmpty, Number, ParamName
from nomaflow.definitions.sql_text import StatementError, one_statement
from nomaflow.definitions.steps.common import ConnectorRef, OptionText, StepCommon


class SqlQuery(StepCommon):
    """One statement, read or write; values go in as bound parameters, written `:name` in the text."""

    literal_options: ClassVar = frozenset({"query"})
    connector_options: ClassVar = (("connector",),)
    is_transactional: ClassVar = True

    type: Literal["sql_query"]
    connector: ConnectorRef
    query: NonEmpty
    params: Annotated[dict[ParamName, bool | Number | OptionText], Field(max_length=200)] = {}

    @property
    def detail(self) -> str:
        """The connector and the statement's first line."""
        return f"{self.connector}: {self.query.strip().splitlines()[0][:120]}"

    def writes(self) -> frozenset[str]:
        """The connector, unless the statement only reads."""
        try:
            only_reads = not one_statement(self.query).writes
        except StatementError:
            only_reads = False
        return frozenset() if only_reads else frozenset({self.connector})
