"""Which column of the source goes into which column of the target, and whether its values may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nomaflow.steps.databases.tables import Column, quoted
from nomaflow.steps.sql_copy import types
from nomaflow.steps.sql_copy.errors import CopyError
from nomaflow.steps.sql_copy.fits import always_fits, may_fit
from nomaflow.steps.sql_copy.types import Kind
from nomaflow.steps.sql_copy.values import Ends


@dataclass(frozen=True)
class Chosen:
    """A column of the source and the name that the target's is looked for by."""

    column: Column
    name: str


@dataclass(frozen=True)
class Pair:
    """A column of the source and the one of the target that takes its values; `ends` are their types."""

    source: Column
    target: Column
    ends: Ends

    @property
    def same_bytes(self) -> bool:
        """Whether what COPY writes for the one column is read as the same value by the other, both PostgreSQL's."""
        if self.ends.coercion is not None:
            return False
        source, target = self.source.declared, self.target.declared
        if self.ends.source.kind is Kind.TEXT and self.ends.target.kind is Kind.TEXT:
            # `character` is padded, and what is longer than the target is cut where only blanks are too many.
            padded = "character(" in source + target
            return source == target or (not padded and always_fits(self.ends.source, self.ends.target))
        return source == target or source.partition("(")[0] == target

    @property
    def is_converted_well(self) -> bool:
        """Whether one database, which has both columns, keeps every value when it copies by itself."""
        if self.ends.target_backend == "sqlite":
            return True  # its columns hold what they are given
        same = self.source.declared == self.target.declared
        return same or (Kind.OTHER is not self.ends.source.kind and always_fits(self.ends.source, self.ends.target))


def chosen(columns: Sequence[Column], wanted: Sequence[str] | Mapping[str, str] | None, place: str) -> list[Chosen]:
    """The columns of the source that are copied, in the order of the option, and what they are called in the target.

    Raises:
        CopyError: one is not there.
    """
    if not wanted:
        return [Chosen(column, column.name) for column in columns]
    renamed = wanted if isinstance(wanted, Mapping) else {name: name for name in wanted}
    found = []
    for name, called in renamed.items():
        column = alike(columns, name)
        if column is None:
            names = ", ".join(column.name for column in columns)
            raise CopyError(f"`columns` names {name!r}, and {place} has no such column; it has {names}")
        found.append(Chosen(column, called))
    return found


def alike(columns: Sequence[Column], name: str) -> Column | None:
    """The column of that name; one that differs in upper and lower case only is taken where there is no other."""
    exact = [column for column in columns if column.name == name]
    folded = exact or [column for column in columns if column.name.casefold() == name.casefold()]
    return folded[0] if len(folded) == 1 else None


def paired(
    source: Sequence[Chosen], target: Sequence[Column], source_place: str, target_place: str
) -> list[tuple[Column, Column]]:
    """Pairs by name.

    A column that the target's database computes is left out. One that the source does not have must have a value of
    its own there: a default, a number of a sequence.

    Raises:
        CopyError: a column has no partner; tells the column and both sides.
    """
    pairs: list[tuple[Column, Column]] = []
    for one in source:
        partner = alike(target, one.name)
        if partner is None:
            raise CopyError(
                f"Column {one.name!r} of {source_place} has no column of that name in {target_place}; "
                "add it there, or leave it out with `columns`"
            )
        if any(taken is partner for _, taken in pairs):
            raise CopyError(
                f"Two columns of {source_place} go into {partner.name!r} of {target_place}; "
                "rename one of them with `columns`"
            )
        pairs.append((one.column, partner))
    names = {partner.name for _, partner in pairs}
    for column in target:
        if column.name not in names and not (column.filled or column.generated):
            raise CopyError(
                f"Column {column.name!r} of {target_place} has no column of that name in {source_place} and no "
                "default; give it one, or add it to the source"
            )
    return [(column, partner) for column, partner in pairs if not partner.generated]


def checked(pair: Pair, source_place: str, target_place: str) -> Pair:
    """The pair, if a value of the source may be one of the target.

    Raises:
        CopyError: none can; tells the column and both types.
    """
    ends = pair.ends
    kind = ends.source.kind if ends.coercion is None else ends.coercion.type.kind
    # What SQLite declares binds nobody, so its values are looked at one by one.
    if ends.source_backend == "sqlite" and ends.coercion is None:
        return pair
    if not may_fit(kind, ends.target.kind):
        held = f"{pair.source.declared}, read as {kind.value}," if ends.coercion is not None else pair.source.declared
        raise CopyError(
            f"Column {pair.source.name!r} is {held} in {source_place} and {pair.target.declared} in {target_place}, "
            "which can hold none of its values; change the target's type, or cast it in `source.query`"
        )
    return pair


def created(
    columns: Sequence[Chosen],
    coerced: Mapping[str, types.ColumnType],
    key: Sequence[str],
    from_backend: str,
    to_backend: str,
) -> str:
    """The columns and the key of a table that takes every row of the source, as CREATE TABLE has them."""
    lines = []
    for one in columns:
        column = one.column
        # One database's own types are kept where both ends are of its kind and the type is built in.
        same = from_backend == to_backend and (column.binary or to_backend != "postgresql")
        if column.name in coerced:
            declared = types.declared(to_backend, coerced[column.name])
        elif same and column.declared:
            declared = column.declared
        else:
            declared = types.declared(to_backend, types.parsed(from_backend, column.declared))
        nullable = column.nullable or column.name in coerced
        if to_backend == "mysql" and column.name in key:
            declared = types.MYSQL_KEY.get(declared, declared)
        lines.append(f"{quoted(one.name)} {declared}{'' if nullable else ' NOT NULL'}")
    names = {one.column.name: one.name for one in columns}
    if key and all(name in names for name in key):
        lines.append(f"PRIMARY KEY ({', '.join(quoted(names[name]) for name in key)})")
    return ", ".join(lines)
