"""What keeps a text from being TOML, told to somebody who has never heard of a grammar."""

from __future__ import annotations

import re
from collections.abc import Iterator

TOKENS = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+"{3,5}'
    r"|'''(?:[^']|'(?!''))*+'{3,5}"
    r"|\"\"\"|'''"
    r'|"(?:[^"\\\n]|\\.)*+"'
    r"|'[^'\n]*+'"
    r"|#[^\n]*+"
    r"|\n(?:[ \t\r\n]|#[^\n]*+)*+"
    r"|[\[\]{}.,=\"']",
    re.DOTALL,
)
"""Strings and comments as wholes, brackets and separators; three quotes or one where they are never closed.

The end of a line is one token with the lines without a statement that follow it.
"""

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_OPEN_QUOTES = ('"', "'", '"""', "'''")
_BRACKETS = {"[": "]", "{": "}"}
_SWITCHES = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_LITERALS = ("true", "false")


def tokens(text: str) -> Iterator[re.Match[str]]:
    """The tokens in their order, up to the first quote that is never closed.

    Each such quote is looked at to the end of the text, so that a text full of them would take minutes.
    """
    for token in TOKENS.finditer(text):
        yield token
        if token[0] in _OPEN_QUOTES:
            return


def explain(text: str, error: ValueError) -> tuple[str, int | None]:
    """The rest of a sentence after "is not valid TOML: ", with the column, and the line it is about.

    Args:
        text: what tomllib was given.
        error: what it raised.
    """
    place = _AT.search(str(error))
    if place is None:  # a number with more digits than Python reads
        return _lowered(str(error)), None
    said = str(error)[: place.start()]
    at = _offset(text, int(place[1]), int(place[2])) if place[1] else len(text)
    message, at = _explained(text, said, at)
    return message, text.count("\n", 0, at) + 1


def _explained(text: str, said: str, at: int) -> tuple[str, int]:
    column = _column(text, at)
    rest = text[at:].partition("\n")[0].strip()
    if said in ("Unterminated string", 'Expected "\'"', "Expected \"'''\"") or said.endswith("character '\\n'"):
        at = _open_quote(text, at)
        return f"the quote at column {_column(text, at)} is not closed", at
    if said in ("Unclosed array", "Unclosed inline table"):
        return _unclosed(text, at)
    if said == "Invalid value":
        return _bad_value(rest, column), at
    if said.startswith("Expected '=' after a key"):
        if rest.startswith(":"):
            return f"write = instead of the colon at column {column}", at
        return f"a key must be followed by = and its value, as in name = 1 (column {column})", at
    if match := re.match(r"Expected '(\]+)' at the end of", said):
        return f"the header in brackets is not closed; {match[1]} is missing at column {column}", at
    if said.startswith("Expected newline or end of document"):
        return (
            f"{rest[:40]!r} at column {column} follows a value that has ended; text must be in quotes as a whole, "
            f"and each key on a line of its own"
        ), at
    if said == "Cannot overwrite a value":
        return f"what stands on this line, up to column {column}, is set a second time; keep one of them", at
    if match := re.match(r"Cannot declare \((.*)\) twice", said):
        name = ".".join(re.findall(r"'([^']*)'", match[1]))
        return f"the table [{name}] is there a second time; keep one of them", at
    if said.startswith("Unescaped '\\'"):
        return (
            f"the backslash at column {column} begins no known escape; write it twice, or put the text in single quotes"
        ), at
    if said.startswith("Invalid date"):
        return f"{rest[:40]!r} at column {column} is no day or time that exists", at
    if said.startswith("Cannot mutate immutable namespace"):
        return f"what stands on this line, up to column {column}, adds to a value that is complete above", at
    if said == "Invalid initial character for a key part":
        opened = None if rest else _open_bracket(text, at)
        if opened is not None:
            return (
                f"the table that begins at column {_column(text, opened)} must be closed with }} on the same line",
                at,
            )
        return f"column {column} begins no key; a key with other characters than A-Z, 0-9, _ and - is in quotes", at
    if said == "Invalid statement":
        return f"column {column} begins neither a key, nor a table in brackets, nor a comment", at
    return f"{_lowered(said)} (column {column})", at


def _bad_value(rest: str, column: int) -> str:
    word = re.split(r"[\s,\]}#]", rest, maxsplit=1)[0]
    if not word:
        return f"a value is missing at column {column}"
    if word[0] in "“”„‘’«":
        return f"the quote at column {column} is a typographic one; write a straight one"
    if switch := _SWITCHES.get(word.lower()) or next((each for each in _LITERALS if each == word.lower()), None):
        return f"write {switch} instead of {word} at column {column}"
    return f"{word[:40]!r} at column {column} is no value; text must be in quotes"


def _unclosed(text: str, at: int) -> tuple[str, int]:
    opened = _open_bracket(text, at)
    if opened is None:
        return f"a bracket is not closed (column {_column(text, at)})", at
    closing = _BRACKETS[text[opened]]
    begun = f"the {'list' if closing == ']' else 'table'} that begins at column {_column(text, opened)}"
    if at >= len(text.rstrip()):
        return f"{begun} is not closed; a {closing} is missing", opened
    line, column = text.count("\n", 0, at) + 1, _column(text, at)
    if closing == "}" and text[at] == "\n":
        return f"{begun} must be closed with }} on the same line", opened
    return f"{begun} is not closed; a comma or a {closing} is missing before line {line}, column {column}", opened


def _open_bracket(text: str, end: int) -> int | None:
    """Where the innermost bracket begins that is open at `end`."""
    opened: list[int] = []
    for match in _tokens(text, end):
        if match[0] in _BRACKETS:
            opened.append(match.start())
        elif match[0] in _BRACKETS.values() and opened:
            opened.pop()
    return opened[-1] if opened else None


def _open_quote(text: str, end: int) -> int:
    """Where the first quote is that is never closed."""
    return next((match.start() for match in _tokens(text, end) if match[0] in _OPEN_QUOTES), end)


def _tokens(text: str, end: int) -> Iterator[re.Match[str]]:
    for match in tokens(text):
        if match.start() >= end:
            return
        yield match


def _offset(text: str, line: int, column: int) -> int:
    start = 0
    for _ in range(line - 1):
        start = text.index("\n", start) + 1
    return start + column - 1


def _column(text: str, at: int) -> int:
    return at - (text.rfind("\n", 0, at) + 1) + 1


def _lowered(message: str) -> str:
    return message[0].lower() + message[1:]
