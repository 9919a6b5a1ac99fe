"""The terms of a search as conditions on rows of `run`; every text and number of them is bound, never pasted.

`nomaflow.history.search_facts` says the same of runs in memory, and a test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeIs

from nomaflow.engine.rows import naive
from nomaflow.history.search_facts import CRON, WEB
from nomaflow.history.search_terms import (
    Bound,
    Flag,
    Measure,
    Names,
    Param,
    Runs,
    Search,
    States,
    Term,
    Text,
    Value,
)
from nomaflow.history.search_texts import BEGAN, FAILED, SEPARATOR, SKIPPED
from nomaflow.history.search_values import RUN_DIGITS, run_digits
from nomaflow.seams import run_number

_MAX = 2**63 - 1

_ACCOUNT = "lower(account)"
_OUTCOMES = {"step": BEGAN, "failed": FAILED, "skipped": SKIPPED}
_WILD = re.compile("[%_]")


@dataclass(frozen=True)
class Condition:
    """A piece of SQL, and the values of its question marks in order."""

    sql: str
    values: tuple[Any, ...] = ()

    def is_not(self) -> Condition:
        """True where this one is not, unknown included."""
        return Condition(f"NOT coalesce({self.sql}, false)", self.values)


_NEVER = Condition("false")


@dataclass(frozen=True)
class Span:
    """Runs of these numbers, the last one excluded."""

    first: int = 0
    end: int = _MAX

    def newest(self, width: int) -> Span:
        """Its upper end."""
        return Span(max(0, self.end - width), self.end)

    def holds(self, column: str) -> list[Condition]:
        """A number lies in it."""
        bounds = [Condition(f"{column} < ?", (self.end,))] if self.end < _MAX else []
        return [*bounds, Condition(f"{column} >= ?", (self.first,))] if self.first > 0 else bounds


@dataclass(frozen=True)
class Around:
    """What terms mean beside what they say: `now` for runs that go on, and the tags of each job."""

    now: datetime
    tags: Mapping[str, Sequence[str]]


def reads_lines(search: Search) -> bool:
    """Whether it looks into logs."""
    return any(map(is_of_lines, search.terms))


def is_of_lines(term: Term) -> TypeIs[Text]:
    """Whether it looks into logs."""
    return isinstance(term, Text) and not term.is_word


def condition(term: Term, around: Around, span: Span) -> Condition:
    """The term; of log lines it reads those of runs in the span."""
    found = _condition(term, around, span)
    return found.is_not() if term.is_negated else found


def all_of(conditions: Iterable[Condition]) -> Condition:
    """Joined by AND."""
    return _joined(" AND ", conditions, Condition("true"))


def one_of(column: str, values: Iterable[str]) -> Condition:
    """A text of a list. A longer IN or list_contains becomes a join, which reads the whole table for a page of it."""
    known = sorted(values)
    if len(known) < 2:
        return Condition(f"{column} = ?", (known[0],)) if known else _NEVER
    return Condition(f"list_position(?::VARCHAR[], {column}) > 0", (known,))


def _any_of(conditions: Iterable[Condition]) -> Condition:
    return _joined(" OR ", conditions, _NEVER)


def _joined(by: str, conditions: Iterable[Condition], empty: Condition) -> Condition:
    parts = list(conditions)
    if len(parts) < 2:
        return parts[0] if parts else empty
    return Condition(
        f"({by.join(part.sql for part in parts)})", tuple(value for part in parts for value in part.values)
    )


def _condition(term: Term, around: Around, span: Span) -> Condition:
    match term:
        case Names():
            return _names(term, around)
        case Runs():
            column = {"run": "id", "replay": "replay_of", "parent": "parent_run"}[term.key]
            return _any_of(_ends(column, digits) for digits in term.digits)
        case States():
            return one_of("state", term.states)
        case Bound():
            return Condition(f"queued_at {'>=' if term.key == 'since' else '<'} ?", (naive(term.instant),))
        case Measure():
            return _measure(term, around)
        case Param():
            return _param(term)
        case Text():
            return _text(term, span)
        case Flag():
            return _NEVER


def _names(term: Names, around: Around) -> Condition:
    match term.key:
        case "job":
            return _is_any_of("job_id", term.values)
        case "tag":
            fits = [
                job_id
                for job_id, tags in around.tags.items()
                if any(value.is_all_of(tag) for value in term.values for tag in tags)
            ]
            return one_of("job_id", fits)
        case "schedule":
            return _is_any_of("lower(schedule)", term.values)
        case "by":
            return _any_of(map(_by, term.values))
        case "step" | "failed" | "skipped":
            end = f"={_OUTCOMES[term.key]}{SEPARATOR}"
            return _any_of(_has_item("step_ends", SEPARATOR, value, end) for value in term.values)


def _by(value: Value) -> Condition:
    """`slack:ana` are the two together, a plain name is either of them."""
    surface, colon, account = value.text.lower().partition(":")
    if not colon:
        person = all_of([Condition(f"via <> '{CRON}'"), _is_all_of(_ACCOUNT, value)])
        return _any_of([Condition("via = ?", (surface,)), person])
    if value.is_quoted or "*" not in surface:
        via = Condition("via = ?", (WEB if surface == "user" else surface,))
        return all_of([via, _is_all_of(_ACCOUNT, Value(account, value.is_quoted))])
    user = all_of([Condition(f"via = '{WEB}'"), _is_all_of(f"'user:' || {_ACCOUNT}", value)])
    either = _any_of([_is_all_of(f"via || ':' || {_ACCOUNT}", value), user])
    # To join the two takes the most time, and whose account ends otherwise is ruled out before.
    return all_of([_like(_ACCOUNT, ["", *account.rpartition(":")[2].split("*")]), either])


def _ends(column: str, digits: str) -> Condition:
    """A run number whose base 32 form ends so; without digits any."""
    if not digits:
        return Condition(f"{column} IS NOT NULL")
    try:
        number = run_number("run_" + digits.rjust(RUN_DIGITS, "0"))
    except ValueError:  # larger than any
        return _NEVER
    if len(digits) == RUN_DIGITS:
        return Condition(f"{column} = ?", (number,))
    return Condition(f"{column} % ? = ?", (32 ** len(digits), number))


def _measure(term: Measure, around: Around) -> Condition:
    if term.key == "rows":
        return Condition(f"rows_affected {term.order} ?", (term.amount,))
    microseconds = min(round(term.amount * 1_000_000), _MAX)
    if term.key == "late":
        return Condition(f"epoch_us(started_at) - epoch_us(scheduled_at) {term.order} ?", (microseconds,))
    length = "epoch_us(coalesce(finished_at, ?::TIMESTAMP)) - epoch_us(started_at)"
    return Condition(f"{length} {term.order} ?", (naive(around.now), microseconds))


def _param(term: Param) -> Condition:
    begin = f"{SEPARATOR}{term.name.lower()}="
    fits = _any_of(_has_item("params", begin, value, SEPARATOR) for value in term.values)
    if not term.is_other:
        return fits
    return all_of([Condition("contains(params, ?)", (begin,)), fits.is_not()])


def _text(term: Text, span: Span) -> Condition:
    said = [found for value in term.values for found in _says(value, is_word=term.is_word)]
    if not term.is_word:
        lines = all_of([*span.holds("run_id"), _any_of(_is_in("lower(text)", value) for value in term.values)])
        # Inside a function it stays a question that each run is asked; as a join, DuckDB might go through all runs.
        is_one = f"coalesce(id IN (SELECT run_id FROM log_line WHERE {lines.sql}), false)"
        said.append(Condition(is_one, lines.values))
    return _any_of(said)


def _says(value: Value, *, is_word: bool) -> Iterator[Condition]:
    yield _is_in("lower(reason)", value)
    yield _is_in("problem", value, is_of_items=True)
    if is_word:
        yield _is_in("job_id", value)
        if digits := run_digits(value.text):
            yield _ends("id", digits)


def _is_any_of(column: str, values: tuple[Value, ...]) -> Condition:
    whole = [value.pieces[0] for value in values if len(value.pieces) == 1]
    patterns = [_is_all_of(column, value) for value in values if len(value.pieces) > 1]
    return _any_of([*([one_of(column, whole)] if whole else []), *patterns])


def _is_all_of(column: str, value: Value) -> Condition:
    """The whole of a column in small letters is the value."""
    if len(value.pieces) == 1:
        return Condition(f"{column} = ?", value.pieces)
    if not any(value.pieces):
        return Condition(f"{column} IS NOT NULL")
    return _like(column, value.pieces)


def _is_in(column: str, value: Value, *, is_of_items: bool = False) -> Condition:
    """Some part of a column in small letters is the value; of one of items, some part of an item."""
    pieces = [piece for piece in value.pieces if piece]
    if len(pieces) == 1:
        return Condition(f"contains({column}, ?)", (pieces[0],))
    if not pieces:
        return Condition(f"{column} IS NOT NULL")
    return _in_order(column, pieces) if is_of_items else _like(column, ["", *pieces, ""])


def _has_item(column: str, begin: str, value: Value, end: str) -> Condition:
    """Some item of a column of items is the value between two other texts, of which the second ends the item."""
    first, *more = value.pieces
    if not more:
        return Condition(f"contains({column}, ?)", (begin + first + end,))
    if more == [""] and end == SEPARATOR:
        return Condition(f"contains({column}, ?)", (begin + first,))
    *middle, last = more
    return _in_order(column, [begin + first, *middle, last + end])


def _in_order(column: str, pieces: list[str]) -> Condition:
    """The pieces stand in one item of a column of items, one after the other."""
    # An expression takes ten times as long, so it is left with those that have the pieces at all.
    pattern = f"[^{SEPARATOR}]*".join(map(re.escape, pieces))
    return all_of([_like(column, ["", *pieces, ""]), Condition(f"regexp_matches({column}, ?)", (pattern,))])


def _like(column: str, pieces: Sequence[str]) -> Condition:
    """The pieces make up a column, with any text between them."""
    if any(map(_WILD.search, pieces)):
        escaped = [re.sub(r"[%_\\]", r"\\\g<0>", piece) for piece in pieces]
        return Condition(f"{column} LIKE ? ESCAPE '\\'", ("%".join(escaped),))
    return Condition(f"{column} LIKE ?", ("%".join(pieces),))
