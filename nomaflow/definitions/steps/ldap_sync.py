"""`ldap_sync`: the entries of a directory into a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from nomaflow.definitions.ldap_text import LdapTextError, check_filter, placeholders
from nomaflow.definitions.record import NonEmpty, Number, ParamName, spelled
from nomaflow.definitions.sql_text import StatementError, one_statement
from nomaflow.definitions.steps.common import ConnectorRef, Identifier, OptionText, StepCommon

AttributeName = Annotated[
    str,
    spelled(r"^[A-Za-z0-9][A-Za-z0-9._-]*(;[A-Za-z0-9-]+)*$", "the name of an attribute, such as mail", max_length=200),
]
ParamRef = Annotated[
    str, spelled(r"^\$\{kw:[A-Za-z0-9_]+\}$", "a number, or `${kw:…}` with the parameter that holds it")
]


_TRANSACTION_CONTROL = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"})


def _filter(text: str) -> str:
    try:
        check_filter(text)
    except LdapTextError as error:
        raise ValueError(str(error)) from None
    return text


class LdapSync(StepCommon):
    """Every entry that the search finds becomes a row; a row is written where something of it has changed.

    Either `target_table` is kept like the directory, each row found by `key`, or `target_query` is run once for each
    entry, with its attributes as `:name` parameters. All changes are one transaction, and an answer that is not whole
    changes nothing. `deletion` says what becomes of rows without an entry: they stay (none), are marked in
    `flag_column` (soft) or deleted (hard), never more at once than `max_deletions` and `max_deletion_percent` allow.
    """

    literal_options: ClassVar = frozenset({"search_base", "search_filter", "target_query"})
    connector_options: ClassVar = (("connector",), ("target_connector",))
    connector_kinds: ClassVar = {"connector": "ldap"}
    is_transactional: ClassVar = True

    type: Literal["ldap_sync"]
    connector: ConnectorRef
    search_base: Annotated[str, Field(max_length=4096)]
    search_filter: Annotated[str, Field(max_length=65_536), AfterValidator(_filter)] = "(objectClass=*)"
    search_params: Annotated[dict[ParamName, bool | Number | OptionText], Field(max_length=200)] = {}
    scope: Literal["base", "one", "subtree"] = "subtree"
    attributes: Annotated[list[AttributeName], Field(max_length=500)] = []
    page_size: Annotated[int, Field(ge=1, le=100_000)] = 500
    referrals: Literal["fail", "ignore"] = "fail"
    separator: Annotated[str, Field(min_length=1, max_length=20)] = ";"
    json_attributes: Annotated[list[AttributeName], Field(max_length=500)] = []
    target_connector: ConnectorRef
    target_schema: OptionText | None = None
    target_table: OptionText | None = None
    key: Annotated[list[Identifier], Field(max_length=32)] = []
    mapping: Annotated[dict[AttributeName, Identifier], Field(max_length=500)] = {}
    target_query: NonEmpty | None = None
    deletion: Literal["none", "soft", "hard"] = "none"
    flag_column: Identifier | None = None
    flagged_at_column: Identifier | None = None
    max_deletions: Annotated[int, Field(ge=0)] | ParamRef = 50
    max_deletion_percent: Annotated[Number, Field(ge=0, le=100)] | ParamRef = 10

    @property
    def detail(self) -> str:
        """Directory and target."""
        target = ".".join(part for part in (self.target_schema, self.target_table) if part) or "a query"
        return (
            f"{self.connector}: {self.search_base[:80]} → {self.target_connector}.{target} (deletion: {self.deletion})"
        )

    def writes(self) -> frozenset[str]:
        """The target."""
        return frozenset({self.target_connector})

    @model_validator(mode="after")
    def _one_target(self) -> LdapSync:
        if (self.target_table is None) == (self.target_query is None):
            raise ValueError("needs either target_table or target_query")
        if self.target_query is None:
            return self
        for name in ("target_schema", "key", "flag_column", "flagged_at_column"):
            if getattr(self, name):
                raise ValueError(f"has {name}, which is for target_table; target_query finds its rows itself")
        if self.deletion != "none":
            raise ValueError("has deletion, which needs target_table; target_query sees one entry at a time")
        try:
            statement = one_statement(self.target_query)
        except StatementError as error:
            raise ValueError(f"has a target_query that cannot be run: {error}") from None
        if statement.outside_transaction or statement.verb in _TRANSACTION_CONTROL:
            raise ValueError(f"has a target_query ({statement.verb}) that ends the step's one transaction")
        if not statement.names:
            raise ValueError("has a target_query without parameters; write :uid for the attribute uid")
        return self

    @model_validator(mode="after")
    def _columns_fit(self) -> LdapSync:
        _refuse_twice("mapping", "attribute", self.mapping)
        _refuse_twice("mapping", "column", self.mapping.values())
        columns = {column.lower() for column in self.mapping.values()}
        own = [column for column in (self.flag_column, self.flagged_at_column) if column]
        if (self.deletion == "soft") != bool(self.flag_column):
            raise ValueError("needs flag_column for deletion = soft, and for nothing else")
        if self.flagged_at_column and not self.flag_column:
            raise ValueError("has flagged_at_column without flag_column")
        if taken := [column for column in own if column.lower() in columns]:
            raise ValueError(f"has a mapping to {taken[0]!r}, which marks rows whose entry is gone")
        asked = columns | {name.lower() for name in self.attributes}
        if asked and (missing := [column for column in self.key if column.lower() not in asked]):
            raise ValueError(f"has {missing[0]!r} in its key, and no attribute that is mapped to it")
        return self

    @model_validator(mode="after")
    def _params_fit(self) -> LdapSync:
        for option in ("search_base", "search_filter"):
            for name in placeholders(getattr(self, option)):
                if name not in self.search_params:
                    raise ValueError(f"has {{{name}}} in {option}, and search_params has no value of that name")
        return self


def _refuse_twice(option: str, what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise ValueError(f"names the {what} {name!r} twice in {option}")
        seen.add(name.lower())
