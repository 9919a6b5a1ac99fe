"""SQL text as far as it must be understood: where a statement ends, and where its `:name` parameters are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_TEXTS = r"""
      (?P<line_comment> --[^\n]* )
    | (?P<escaped> [eE]'(?:[^'\\]|\\.|'')*' )
    | (?P<quoted> '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` )
    | (?P<dollar> \$(?:[^\W\d]\w*)?\$ )
"""

# MySQL: a backslash escapes in every text, `#` begins a comment, and `--` does so with a blank behind it only.
_TEXTS_OF_MYSQL = r"""
      (?P<line_comment> (?: --(?=\s|\Z) | \# )[^\n]* )
    | (?P<minus> -- )
    | (?P<quoted> '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `(?:[^`]|``)*` )
"""

_REST = r"""
    | (?P<block_comment> /\* )
    | (?P<open_quote> ['"`] )
    | (?P<colons> :: | := )
    | (?P<bind> :(?P<name>[A-Za-z_][A-Za-z0-9_]*) )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<open> [(\[{] )
    | (?P<close> [)\]}] )
    | (?P<semicolon> ; )
    | (?P<space> \s+ )
    | (?P<other> \d[\w.]* | . )
"""

_TOKEN, _TOKEN_OF_MYSQL = (re.compile(texts + _REST, re.VERBOSE | re.DOTALL) for texts in (_TEXTS, _TEXTS_OF_MYSQL))

_READS = frozenset({"SELECT", "VALUES", "TABLE", "FROM"})
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"})
_OUTSIDE = frozenset({"VACUUM", "CHECKPOINT", "PRAGMA"})
_OUTSIDE_PAIRS = frozenset({("ALTER", "SYSTEM")}) | {
    (verb, thing) for verb in ("CREATE", "DROP") for thing in ("DATABASE", "TABLESPACE")
}

# The body of a trigger, or of a function of PostgreSQL's BEGIN ATOMIC form, has statements of its own.
_WITH_BODIES = frozenset({"TRIGGER", "FUNCTION", "PROCEDURE"})
_BLOCKS = {"BEGIN": 1, "CASE": 1, "END": -1}


class StatementError(Exception):
    """The SQL text cannot be run as it stands."""

    lasting = "the text of the query stays as it is"


@dataclass(frozen=True)
class Statement:
    """One statement. `words` are its words outside of parentheses, quotes and comments, in upper case.

    `changes` says that one of all its words, those in parentheses too, is a verb that changes rows. `end` is where its
    last word ends.
    """

    sql: str
    binds: tuple[tuple[int, int, str], ...]
    words: tuple[str, ...]
    changes: bool = False
    end: int | None = None

    @property
    def body(self) -> str:
        """The text without the semicolon and the comments behind it."""
        return self.sql[: self.end]

    @property
    def only_reads(self) -> bool:
        """Whether it is a query that changes nothing, as far as the text tells."""
        return self.verb in _READS and not self.writes

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters in the order of their first use."""
        return tuple(dict.fromkeys(name for _, _, name in self.binds))

    @property
    def verb(self) -> str:
        """What the statement does: its first word, or the one that follows the WITH clauses."""
        if self.words[:1] == ("WITH",):
            return next((word for word in self.words if word in _READS | _WRITES), "WITH")
        return self.words[0] if self.words else ""

    @property
    def returns_rows(self) -> bool:
        """Whether it surely gives rows: a query, or a change with RETURNING."""
        return (self.verb in _READS and "INTO" not in self.words) or "RETURNING" in self.words

    @property
    def writes(self) -> bool:
        """Whether it may change something, as far as the text tells.

        A WITH clause may hold a DELETE, and EXPLAIN ANALYZE runs what it explains.
        """
        if self.words[:1] == ("WITH",) or self.verb == "EXPLAIN":
            return self.changes or "INTO" in self.words
        return not (self.verb in _READS or self.verb in ("SHOW", "DESCRIBE")) or "INTO" in self.words

    @property
    def outside_transaction(self) -> bool:
        """Whether databases refuse it inside a transaction."""
        return self.verb in _OUTSIDE or self.words[:2] in _OUTSIDE_PAIRS or "CONCURRENTLY" in self.words

    def values(self, params: Mapping[str, Any] | None) -> dict[str, Any]:
        """The values that the statement asks for, out of those that are given.

        Raises:
            StatementError: one is not given.
        """
        given = params or {}
        for name in self.names:
            if name not in given:
                raise StatementError(
                    f"The query asks for :{name}, and params has no value of that name; "
                    "add it, or put a space after a colon that begins no parameter"
                )
        return {name: given[name] for name in self.names}

    def numbered(self) -> str:
        """The text with `$1`, `$2`, … in the order of `names`."""
        numbers = {name: number for number, name in enumerate(self.names, 1)}
        return self.rendered(lambda name: f"${numbers[name]}")

    def rendered(self, shown: Callable[[str], str]) -> str:
        """The text with what `shown` makes of each parameter's name in its place."""
        parts, start = [], 0
        for begin, end, name in self.binds:
            parts += [self.sql[start:begin], shown(name)]
            start = end
        return "".join([*parts, self.sql[start:]])


@lru_cache(maxsize=256)
def one_statement(sql: str, *, comments_nest: bool = True, backslashes: bool = False) -> Statement:
    """Read a text that must hold one statement; a last semicolon may stay. `backslashes` escape in MySQL's texts.

    Raises:
        StatementError: it holds none or several, or a quote or comment has no end.
    """
    binds: list[tuple[int, int, str]] = []
    words: list[str] = []
    depth = position = end = 0
    begun = ended = changes = False
    token = _TOKEN_OF_MYSQL if backslashes else _TOKEN
    while position < len(sql):
        match = token.match(sql, position)
        assert match is not None
        begin, position, kind = match.start(), match.end(), match.lastgroup
        if kind == "name":  # the innermost group of `bind` closes last
            kind = "bind"
        if kind in ("space", "line_comment"):
            continue
        if kind == "block_comment":
            position = _end_of_comment(sql, begin, comments_nest)
            continue
        if kind == "semicolon" and depth == 0:
            ended = ended or begun
            continue
        if ended:
            raise StatementError("The query holds more than one statement; give each one a step of its own")
        begun = True
        if kind == "bind" and not _follows_a_value(sql, begin):
            binds.append((begin, position, match["name"]))
        elif kind == "word":
            word = match[0].upper()
            changes = changes or (word in _WRITES and word != "REPLACE")  # that one is mostly the function
            if depth == 0:
                words.append(word)
            if words[:1] == ["CREATE"] and not _WITH_BODIES.isdisjoint(words):
                depth += _BLOCKS.get(word, 0)
        elif kind == "dollar":
            position = _end_of(sql, match[0], position, begin)
        elif kind == "open_quote":
            raise _open(sql, begin)
        depth += (kind == "open") - (kind == "close")
        if kind == "close" and depth < 0:
            raise StatementError("The query closes a bracket that it has not opened; take it out")
        end = position
    if not begun:
        raise StatementError("The query holds no statement")
    return Statement(sql, tuple(binds), tuple(words), changes, end)


def condition(text: str, *, comments_nest: bool = True, backslashes: bool = False) -> str:
    """The text of a condition as it may stand behind WHERE in brackets, without what follows its last word.

    Raises:
        StatementError: it is empty, or more than a condition.
    """
    before = "SELECT 1 WHERE "
    statement = one_statement(before + text, comments_nest=comments_nest, backslashes=backslashes)
    if len(statement.body) <= len(before):
        raise StatementError("The condition is empty")
    if not statement.only_reads:
        raise StatementError("The condition is more than a condition; a query has a place of its own")
    return statement.body[len(before) :]


def _follows_a_value(sql: str, begin: int) -> bool:
    """Whether the colon belongs to a slice, a struct or an alias: a parameter cannot follow a value directly."""
    before = sql[begin - 1] if begin else " "
    return before.isalnum() or before in "_$:)]}'\"`"


def _end_of_comment(sql: str, begin: int, nests: bool) -> int:
    if not nests:
        return _end_of(sql, "*/", begin + 2, begin)
    depth = 0
    for mark in re.compile(r"/\*|\*/").finditer(sql, begin):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    raise _open(sql, begin)


def _end_of(sql: str, mark: str, start: int, begin: int) -> int:
    found = sql.find(mark, start)
    if found < 0:
        raise _open(sql, begin)
    return found + len(mark)


def _open(sql: str, begin: int) -> StatementError:
    line = sql.count("\n", 0, begin) + 1
    return StatementError(f"The quote or comment that begins in line {line} of the query has no end; close it")
