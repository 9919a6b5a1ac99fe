"""From the attributes of an entry to the values of a row."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nomaflow.definitions.ldap_text import normalized_dn
from nomaflow.steps.ldap_sync.columns import as_text
from nomaflow.steps.ldap_sync.errors import SyncError

DN, NORMALIZED_DN = "dn", "normalized_dn"
"""What a mapping may name beside attributes: where the entry is, as the server spells it and in one spelling."""


@dataclass(frozen=True)
class Entry:
    """What the directory gave: each attribute, by its name in lower case, has a list of values."""

    dn: str
    attributes: Mapping[str, Sequence[Any]]

    def values(self, attribute: str) -> Sequence[Any]:
        """The values; those of an attribute with options (`;binary`) where it is asked for without."""
        wanted = attribute.lower()
        if wanted in self.attributes or ";" in wanted:
            return self.attributes.get(wanted, ())
        alike = [name for name in self.attributes if name.partition(";")[0] == wanted]
        return self.attributes[alike[0]] if len(alike) == 1 else ()


@dataclass(frozen=True)
class Field:
    """One value of a row: the attribute that it is, and the column, or the parameter of a query, that takes it.

    `is_asked` says that somebody named the attribute; binary values of others are left out.
    """

    attribute: str
    column: str
    as_json: bool = False
    is_asked: bool = True


def fields_of(
    mapping: Mapping[str, str], attributes: Sequence[str], json_attributes: Sequence[str], columns: Sequence[str] = ()
) -> list[Field]:
    """What goes where: `mapping`, then `attributes` by their own names, else the columns by theirs."""
    as_json = {name.lower() for name in json_attributes}
    taken = {name.lower() for name in mapping}
    pairs = [*mapping.items(), *((name, name) for name in attributes if name.lower() not in taken)]
    if pairs:
        return [Field(name, column, name.lower() in as_json) for name, column in pairs]
    return [Field(name, name, name.lower() in as_json, is_asked=name.lower() in as_json) for name in columns]


def requested(fields: Sequence[Field]) -> list[str]:
    """The attributes to ask the server for."""
    return [field.attribute for field in fields if field.attribute.lower() not in (DN, NORMALIZED_DN)]


def value_of(field: Field, entry: Entry, separator: str) -> Any:
    """The one value that the column gets; None where the entry has none.

    The values of an attribute have no order, so they are sorted: the same ones are the same text the next time.

    Raises:
        SyncError: the attribute has several binary values, which no separator can join.
    """
    if field.attribute.lower() == DN:
        return entry.dn
    if field.attribute.lower() == NORMALIZED_DN:
        return normalized_dn(entry.dn)
    values = [_plain(value) for value in entry.values(field.attribute)]
    has_bytes = any(isinstance(value, bytes) for value in values)
    if has_bytes and not field.is_asked:
        return None
    if field.as_json:
        return json.dumps(sorted(map(_json, values), key=str), ensure_ascii=False) if values else None
    if len(values) < 2:
        return values[0] if values else None
    if has_bytes:
        raise SyncError(
            f"{field.attribute} of {entry.dn!r} has {len(values)} binary values, which cannot be joined; "
            "add it to json_attributes, or leave it out"
        )
    return separator.join(sorted(map(as_text, values)))


def _plain(value: Any) -> Any:
    """In the classes that databases know."""
    if isinstance(value, dt.datetime):
        # The library's own time zone is dropped; Active Directory's "never" is the last moment that there is.
        is_last = value.tzinfo is None or value.year == dt.MAXYEAR
        return value.replace(tzinfo=dt.UTC) if is_last else value.astimezone(dt.UTC)
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    return value


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value if isinstance(value, bool | int | float) else as_text(value)
