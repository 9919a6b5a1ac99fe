"""The terms of a search as conditions on rows of `run`; every text and number of them is bound, never pasted.

`nomaflow.history.search_facts` says the same of runs in memory, and a test holds the two together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nomaflow.engine.rows import naive
from nomaflow.history.params import SEPARATOR
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
from nomaflow.history.search_values import RUN_DIGITS, run_digits
from nomaflow.seams import run_number

_MAX = 2**63 - 1

_ERROR = "lower(json_extract_string(error, '$.type') || ': ' || json_extract_string(error, '$.message'))"
_PARAMS = "lower(params)"


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
    return any(isinstance(term, Text) and not term.is_word for term in search.terms)


def is_deep(term: Term) -> bool:
    """Whether it looks into steps or logs."""
    return isinstance(term, Text) or (isinstance(term, Names) and term.key in ("step", "failed", "skipped"))


def condition(term: Term, around: Around, span: Span) -> Condition:
    """The term; of steps and lines it reads those of runs in the span."""
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
            return _names(term, around, span)
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
            return _any_of(_says(value, span, is_word=term.is_word) for value in term.values)
        case Flag():
            return _NEVER


def _names(term: Names, around: Around, span: Span) -> Condition:
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
        case "step":
            which = "started_at IS NOT NULL"
        case "failed":
            which = "state = 'FAILED'"
        case "skipped":
            which = "state = 'CANCELED' AND starts_with(reason, 'skipped')"
    name = _is_any_of("lower(name)", term.values)
    return _among("step_run", all_of([Condition(which), name]), span)


def _by(value: Value) -> Condition:
    who, user = f"via || ':' || {_ACCOUNT}", f"'user:' || {_ACCOUNT}"
    if ":" in value.text:
        return _any_of([_is_all_of(who, value), all_of([Condition(f"via = '{WEB}'"), _is_all_of(user, value)])])
    account = all_of([Condition(f"via <> '{CRON}'"), _is_all_of(_ACCOUNT, value)])
    return _any_of([Condition("via = ?", (value.text.lower(),)), account])


_ACCOUNT = "lower(account)"


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
    prefix = f"{SEPARATOR}{term.name.lower()}="
    fits = _any_of(_has_item(prefix, value) for value in term.values)
    if not term.is_other:
        return fits
    return all_of([Condition(f"contains({_PARAMS}, ?)", (prefix,)), fits.is_not()])


def _has_item(prefix: str, value: Value) -> Condition:
    first, *more = value.pieces
    if not more:
        return Condition(f"contains({_PARAMS}, ?)", (prefix + first + SEPARATOR,))
    pattern = f"[^{SEPARATOR}]*".join(re.escape(piece) for piece in value.pieces)
    return all_of(
        [
            Condition(f"contains({_PARAMS}, ?)", (prefix + first,)),
            Condition(f"regexp_matches({_PARAMS}, ?)", (re.escape(prefix) + pattern + SEPARATOR,)),
        ]
    )


def _says(value: Value, span: Span, *, is_word: bool) -> Condition:
    said = [_is_in("lower(reason)", value), _among("step_run", _raised(value), span)]
    if not is_word:
        said.append(_among("log_line", _is_in("lower(text)", value), span))
    else:
        said.append(_is_in("job_id", value))
        if digits := run_digits(value.text):
            said.append(_ends("id", digits))
    return _any_of(said)


def _raised(value: Value) -> Condition:
    """The error of a step is the value, or has it in it. Most are ruled out by what their JSON must hold."""
    parts = [Condition("error IS NOT NULL")]
    # Neither the type nor the message has the colon between them.
    longest = max((part for piece in value.pieces for part in re.split("[: ]+", piece)), key=len)
    if longest:
        parts.append(Condition("contains(lower(error), ?)", (json.dumps(longest, ensure_ascii=False)[1:-1],)))
    return all_of([*parts, _is_in(_ERROR, value)])


def _among(table: str, fits: Condition, span: Span) -> Condition:
    # Inside a function it stays a question that each run is asked; as a join, DuckDB might go through all runs for it.
    where = all_of([*span.holds("run_id"), fits])
    return Condition(f"coalesce(id IN (SELECT run_id FROM {table} WHERE {where.sql}), false)", where.values)


def _is_any_of(column: str, values: tuple[Value, ...]) -> Condition:
    whole = [value.pieces[0] for value in values if len(value.pieces) == 1]
    patterns = [_is_all_of(column, value) for value in values if len(value.pieces) > 1]
    return _any_of([*([one_of(column, whole)] if whole else []), *patterns])


def _is_all_of(column: str, value: Value) -> Condition:
    """The whole of a column in small letters is the value."""
    first, *more = value.pieces
    if not more:
        return Condition(f"{column} = ?", (first,))
    *middle, last = more
    if not any(value.pieces):
        return Condition(f"{column} IS NOT NULL")
    if any(middle):
        return Condition(f"regexp_full_match({column}, ?, 's')", (_pattern(value),))
    parts = [Condition(f"length({column}) >= ?", (len(first) + len(last),))]
    if first:
        parts.append(Condition(f"starts_with({column}, ?)", (first,)))
    if last:
        parts.append(Condition(f"suffix({column}, ?)", (last,)))
    return all_of(parts)


def _is_in(column: str, value: Value) -> Condition:
    """Some part of a column in small letters is the value."""
    pieces = [piece for piece in value.pieces if piece]
    if len(pieces) == 1:
        return Condition(f"contains({column}, ?)", (pieces[0],))
    if not pieces:
        return Condition(f"{column} IS NOT NULL")
    return all_of(
        [
            Condition(f"contains({column}, ?)", (pieces[0],)),
            Condition(f"regexp_matches({column}, ?, 's')", (_pattern(value),)),
        ]
    )


def _pattern(value: Value) -> str:
    return ".*".join(re.escape(piece) for piece in value.pieces)
