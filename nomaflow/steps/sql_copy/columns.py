"""Which column of the source goes into which column of the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nomaflow.steps.databases.tables import Column, quoted
from nomaflow.steps.sql_copy import types
from nomaflow.steps.sql_copy.errors import CopyError


@dataclass(frozen=True)
class Pair:
    """A column of the source and the one of the target that takes its values."""

    source: Column
    target: Column


def paired(source: Sequence[Column], target: Sequence[Column], source_place: str, target_place: str) -> list[Pair]:
    """Pairs by name; one that differs in upper and lower case only is taken where there is no other.

    A column that the target's database computes is left out. One that the source does not have must have a value of
    its own there: a default, a number of a sequence.

    Raises:
        CopyError: a column has no partner; tells the column and both sides.
    """
    by_name = {column.name: column for column in target}
    by_fold: dict[str, list[Column]] = {}
    for column in target:
        by_fold.setdefault(column.name.casefold(), []).append(column)
    pairs: list[Pair] = []
    for column in source:
        alike = by_fold.get(column.name.casefold(), [])
        partner = by_name.get(column.name) or (alike[0] if len(alike) == 1 else None)
        if partner is None:
            raise CopyError(
                f"Column {column.name!r} of {source_place} has no column of that name in {target_place}; "
                "add it there, or take it out of the source"
            )
        if any(pair.target is partner for pair in pairs):
            raise CopyError(
                f"Two columns of {source_place} go into {partner.name!r} of {target_place}; rename one of them"
            )
        pairs.append(Pair(column, partner))
    taken = {pair.target.name for pair in pairs}
    for column in target:
        if column.name not in taken and not (column.filled or column.generated):
            raise CopyError(
                f"Column {column.name!r} of {target_place} has no column of that name in {source_place} and no "
                "default; give it one, or add it to the source"
            )
    return [pair for pair in pairs if not pair.target.generated]


def created(columns: Sequence[Column], key: Sequence[str], from_backend: str, to_backend: str) -> str:
    """The columns and the key of a table that takes every row of the source, as CREATE TABLE has them."""
    lines = []
    for column in columns:
        # One database's own types are kept where both ends are of its kind and the type is built in.
        same = from_backend == to_backend and (column.binary or to_backend != "postgresql")
        declared = column.declared if same else _translated(column, from_backend, to_backend)
        lines.append(f"{quoted(column.name)} {declared}{'' if column.nullable else ' NOT NULL'}")
    if key:
        lines.append(f"PRIMARY KEY ({', '.join(map(quoted, key))})")
    return ", ".join(lines)


def _translated(column: Column, from_backend: str, to_backend: str) -> str:
    return types.declared(to_backend, types.parsed(from_backend, column.declared))
