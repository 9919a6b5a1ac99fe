"""Changes to TOML text that leave every other byte as it was."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import tomlkit
from pydantic import JsonValue
from tomlkit.exceptions import TOMLKitError

from nomaflow.definitions.toml_places import places
from nomaflow.definitions.toml_source import BOM


def check_editable(text: str) -> None:
    """Refuse a job that could be run and never be switched.

    Raises:
        ValueError: the rest of a sentence that begins with the file's name.
    """
    set_enabled(text, tomllib.loads(_split(text)[1]).get("enabled", True) is not True)


def set_enabled(text: str, enabled: bool) -> str:
    """The text of a job with `enabled` changed: one token, or one line of our own below the first key.

    Raises:
        ValueError: the text cannot be changed; the rest of a sentence that begins with the file's name.
    """
    bom, body = _split(text)
    old = tomllib.loads(body)
    if old.get("enabled", True) is enabled:
        return text
    top = [place for place in places(body) if place.is_top]
    value = next((place.value_start for place in top if place.location == ("enabled",)), None)
    if value is not None:
        changed = body[:value] + re.sub(r"\A(true|false)", str(enabled).lower(), body[value:])
    else:
        line = f"enabled = {str(enabled).lower()}{newline(text)}"
        below = (top[0].end or 0) if top else 0
        if below and not body[:below].endswith("\n"):
            line = newline(text) + line
        changed = body[:below] + line + body[below:]
    if tomllib.loads(changed) != {**old, "enabled": enabled}:
        raise ValueError("holds `enabled` in a place where it cannot be switched; move it to the top of the file")
    return bom + changed


def set_text(text: str, path: tuple[str, ...], value: str) -> str:
    """The text with one string set: in its place, or below the last key of its table, which is added if need be.

    Raises:
        ValueError: the text cannot be changed; the rest of a sentence that begins with the file's name.
    """
    bom, body = _split(text)
    document = _document(text)
    *parents, key = path
    table: Any = document
    for number, name in enumerate(parents):
        if name not in table:
            table.append(name, tomlkit.table(is_super_table=number < len(parents) - 1))
        table = table[name]
    table[key] = value
    changed = document.as_string()
    if newline(text) == "\r\n":
        changed = changed.replace("\r\n", "\n").replace("\n", "\r\n")
    expected = inner = tomllib.loads(body)
    for name in parents:
        inner = inner.setdefault(name, {})
    inner[key] = value
    if tomllib.loads(changed) != expected:
        raise ValueError(f"has its {'.'.join(path)} in a place where it cannot be set; write it by hand")
    return bom + changed


def job_text(values: Mapping[str, JsonValue]) -> str:
    """A job given as values, as a new file's text: plain keys first, tables after them. Nulls are left out.

    Raises:
        ValueError: a list holds a null; the rest of a sentence.
    """
    given = {key: value for key, value in values.items() if key != "id"}
    return "".join(f"{line}\n" for line in _lines(given, "")).removeprefix("\n")


def newline(text: str) -> str:
    """How the text ends its lines: as its first one does."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def _split(text: str) -> tuple[str, str]:
    body = text.removeprefix(BOM)
    return text[: len(text) - len(body)], body


def _document(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text.removeprefix(BOM))
    except (TOMLKitError, ValueError) as error:
        raise ValueError(f"is not valid TOML: {error}") from None


def _lines(values: Mapping[str, JsonValue], table: str) -> Iterator[str]:
    """The keys of a table, then the tables below it. tomlkit writes the words; its tables get slow as they grow."""
    opens = _is_table if not table else _opens_table
    known = {key: value for key, value in values.items() if value is not None}
    for key, value in known.items():
        if not opens(key, value):
            yield f"{_key(key)} = {_inline(value)}"
    for key, value in known.items():
        if opens(key, value):
            name = f"{table}.{_key(key)}" if table else _key(key)
            for item in value if isinstance(value, list) else [value]:
                assert isinstance(item, dict)
                yield from ("", f"[[{name}]]" if isinstance(value, list) else f"[{name}]")
                yield from _lines(item, name)


def _is_table(_: str, value: JsonValue) -> bool:
    is_list_of_tables = isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
    return isinstance(value, dict) or is_list_of_tables


def _opens_table(key: str, value: JsonValue) -> bool:
    """Whether a value reads better under a header of its own than in braces on one line."""
    return key in ("params", "op_kwargs", "steps") and isinstance(value, dict) and bool(value)


def _key(key: str) -> str:
    return tomlkit.key(key).as_string()


def _inline(value: JsonValue) -> str:
    if isinstance(value, dict):
        known = (f"{_key(key)} = {_inline(item)}" for key, item in value.items() if item is not None)
        return "{" + ", ".join(known) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if value is None:
        raise ValueError("has a null in a list, which TOML cannot hold; leave it out")
    if isinstance(value, str) and "\n" in value and "\r" not in value:  # \r\n is read back as \n
        return tomlkit.string(value, multiline=True).as_string()
    return tomlkit.item(value).as_string()
