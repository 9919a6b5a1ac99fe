"""Where the keys, tables and list items of a TOML text stand: one pass over its tokens, however the text is made.

tomlkit knows the places too, but copies whole tables for each dotted key: a thousand of those take it twelve seconds.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field

from nomaflow.definitions.problems import Location
from nomaflow.definitions.toml_syntax import tokens

_BLANK = re.compile(r"(?:\s|#[^\n]*+)*+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_KEY_PART = re.compile(r"\"(?:[^\"\\\n]|\\.)*+\"|'[^'\n]*+'|[A-Za-z0-9_-]+")


@dataclass(slots=True)
class Place:
    """One key, table header or list item; positions count characters of the text.

    `value_start` is where the value of a key begins. `end` is where the line ends on which a statement is complete,
    and `is_top` says that the statement stands above all tables.
    """

    location: Location
    start: int
    value_start: int | None = None
    end: int | None = None
    is_top: bool = False


@dataclass
class _Reader:
    """What is known while the tokens pass: the table that is open, the brackets within a value, the items so far."""

    text: str
    places: list[Place] = field(default_factory=list)
    header: Location = ()
    location: Location = ()
    key_start: int | None = 0
    statement: Place | None = None
    brackets: list[tuple[str, Location, int]] = field(default_factory=list)
    counts: dict[Location, int] = field(default_factory=dict)

    def equals(self, start: int, end: int) -> None:
        """A key has ended and its value begins."""
        if self.key_start is None:
            return
        key_start = _after_blank(self.text, self.key_start)
        table = self.brackets[-1][1] if self.brackets else self.header
        self.location = (*table, *_parts(self.text[key_start:start]))
        self.key_start = None
        place = Place(self.location, key_start, _after_blank(self.text, end), is_top=not (self.brackets or self.header))
        self.places.append(place)
        if not self.brackets:
            self.statement = place

    def open(self, bracket: str, end: int) -> None:
        """A list or a table begins within a value."""
        self.brackets.append((bracket, self.location, 0))
        if bracket == "{":
            self.key_start = end
        else:
            self.item(end)

    def item(self, end: int) -> None:
        """Behind the bracket or the comma may follow an item of a list."""
        _, owner, number = self.brackets[-1]
        self.location = (*owner, number)
        start = _after_blank(self.text, end)
        if not self.text.startswith("]", start):
            self.places.append(Place(self.location, start))

    def comma(self, end: int) -> None:
        """An item of a list, or a key of a table on one line, is complete."""
        bracket, owner, number = self.brackets[-1]
        if bracket == "{":
            self.key_start = end
        else:
            self.brackets[-1] = (bracket, owner, number + 1)
            self.item(end)

    def close(self) -> None:
        """The innermost list or table of a value is complete."""
        self.location = self.brackets.pop()[1]
        self.key_start = None

    def table(self, key: str, start: int, *, is_item: bool) -> None:
        """A header in brackets; in double ones it begins one more item."""
        *parents, last = _parts(key)
        self.header = ()
        for part in parents:
            self.header = self._current((*self.header, part))
        self.header = (*self.header, last)
        if is_item:
            number = self.counts[self.header] = self.counts.get(self.header, -1) + 1
            self.header = (*self.header, number)
        self.statement = Place(self.header, start)
        self.places.append(self.statement)
        self.key_start = None

    def line_end(self, end: int, next_start: int) -> None:
        """A statement is complete, if there was one, and the next one follows."""
        if self.statement is not None:
            self.statement.end = end
        self.statement = None
        self.key_start = next_start

    def _current(self, location: Location) -> Location:
        return (*location, self.counts[location]) if location in self.counts else location


def places(text: str) -> list[Place]:
    """Every key, header and list item, in their order.

    Args:
        text: what tomllib has read, without a byte order mark; of other texts some places are wrong or missing.
    """
    reader = _Reader(text)
    opened: re.Match[str] | None = None  # a header's first bracket
    doubled = False
    for token in tokens(text):
        start, end = token.span()
        kind = text[start]
        if opened is not None:
            if kind == "]":
                reader.table(text[opened.end() + doubled : start], opened.start(), is_item=doubled)
                opened = None
        elif kind == "\n":
            if not reader.brackets:
                reader.line_end(start + 1, end)
        elif kind == "=":
            reader.equals(start, end)
        elif kind == "[" and reader.key_start is not None and not reader.brackets:
            opened, doubled = token, text.startswith("[", end)
        elif kind in "[{" and reader.key_start is None:
            reader.open(kind, end)
        elif kind == "," and reader.brackets:
            reader.comma(end)
        elif kind in "]}" and reader.brackets:
            reader.close()
    reader.line_end(len(text), len(text))
    return reader.places


def lines(text: str, locations: Iterable[Location]) -> list[int | None]:
    """The line of each location, from 1: its own, or that of the nearest thing around it that has one; else None.

    Args:
        text: what `places` takes.
        locations: keys and list positions, as tomllib's values have them.
    """
    starts: dict[Location, int] = {}
    implied: dict[Location, int] = {}
    for place in places(text):
        starts.setdefault(place.location, place.start)
        # `[[steps]]` as a whole, and `[params]` that exists through `[params.period]` alone, begin with their first.
        for length in range(len(place.location) - 1, 0, -1):
            above = place.location[:length]
            if above in implied:
                break
            implied[above] = place.start
    starts = implied | starts
    return [_line(text, location, starts) for location in locations]


def _line(text: str, location: Location, starts: dict[Location, int]) -> int | None:
    for length in range(len(location), 0, -1):
        if (start := starts.get(location[:length])) is not None:
            return text.count("\n", 0, start) + 1
    return None


def _parts(key: str) -> list[str]:
    """A key as its parts, without quotes."""
    key = key.strip()
    return [key] if _BARE_KEY.fullmatch(key) else [_unquoted(part) for part in _KEY_PART.findall(key)] or [key]


def _unquoted(part: str) -> str:
    if part[0] == '"' and "\\" in part:
        return str(tomllib.loads(f"key = {part}")["key"])
    return part[1:-1] if part[0] in "\"'" else part


def _after_blank(text: str, start: int) -> int:
    blank = _BLANK.match(text, start)
    return blank.end() if blank else start
