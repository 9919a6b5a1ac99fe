"""Attributes of which Active Directory gives only the first 1,500 values at a time, as `member;range=0-1499`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from nomaflow.steps.ldap_sync.errors import DirectoryError

RawAttributes = Mapping[str, list[bytes]]

_RANGE = re.compile(r"(?P<name>[^;]+(?:;(?!range=)[^;]+)*);range=(?P<first>\d+)-(?P<last>\d+|\*)", re.IGNORECASE)


def complete(dn: str, attributes: RawAttributes, ask: Callable[[str, str], RawAttributes]) -> dict[str, list[bytes]]:
    """The attributes of an entry with all their values.

    Args:
        dn: the entry.
        attributes: as the server gave them.
        ask: gives the attributes of one entry, for its name and the one attribute that is asked for.

    Raises:
        DirectoryError: the server does not go on where it stopped: a part of the values is missing.
    """
    whole: dict[str, list[bytes]] = {}
    for key, values in attributes.items():
        if not (part := _RANGE.fullmatch(key)):
            # Beside a part, the attribute itself comes too, without values.
            whole.setdefault(key, []).extend(values)
            continue
        name = part["name"]
        found = whole.setdefault(name, [])
        found.extend(values)
        while part["last"] != "*":
            first = int(part["last"]) + 1
            given = ask(dn, f"{name};range={first}-*")
            nexts = [(match, more) for one, more in given.items() if (match := _RANGE.fullmatch(one))]
            if len(nexts) != 1 or int(nexts[0][0]["first"]) != first:
                raise DirectoryError(f"the server stopped in the middle of {name} of {dn!r}, after {first} values")
            part, more = nexts[0]
            found.extend(more)
    return whole
