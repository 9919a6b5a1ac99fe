"""The search language of every surface: `job:nomasx1-* state:failed apps_id=10 since:7d "no space"`.

Terms stand apart by blanks, and all of them must hold. A comma between values means or, a `-` before a term leaves out
what it finds, quotes keep blanks and commas together. Case never matters. Outside quotes `*` stands for any text.

Runs:
    word                      in the job's id, the reason, a step's error; or the run's id, or 4 and more of its end
    text:disk                 in the reason, a step's error, a line of the log (in flight: of its last 2,000)
    job:jde-*  tag:etl        by the job's id; by a tag that it has now
    state:failed              queued running canceling succeeded failed canceled; active, ended
    step:load                 the step began; failed:load: it failed; skipped:load: it was left out
    by:ana                    from any surface; by:slack, by:cron; by:slack:ana, by:cron:nightly
    since:7d  until:yesterday by when it was queued: 12h and 7d ago, today, yesterday, 2026-11, 2026-11-01 (until: with
                              that whole day), 2026-11-01T10:00 in the home's time zone
    dur>5m  late>=30s         how long it took, or has taken so far; how long after its slot it started
    rows<1000                 rows affected
    schedule:nightly          the schedule that fired it; schedule:* any
    run:4XQ2  replay:4XQ2     a run by the end of its id; the replays of one; replay:* any replay
    parent:4XQ2               the runs that a run started; parent:* any run that another one started
    apps_id=10,20             a step ran with the parameter of this value; apps_id!=10: with another one;
                              param.job=5 for a parameter that is called like a key

Jobs:
    word, text:word           in the id, the description, the tags; text: also in what is wrong with its file
    job:jde-*  tag:etl
    state:failed              of its newest run; active, ended, never
    enabled:no  problem:yes

What is not understood is an error that names the character.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from zoneinfo import ZoneInfo

from nomaflow.definitions.problems import near_miss
from nomaflow.history import search_values as values
from nomaflow.history.search_grammar import Written, WrittenTerm, problem, terms
from nomaflow.history.search_terms import (
    Bound,
    BoundKey,
    Flag,
    FlagKey,
    Measure,
    MeasureKey,
    NameKey,
    Names,
    Order,
    Param,
    RunKey,
    Runs,
    Search,
    States,
    Term,
    Text,
    Value,
)

__all__ = ["Search", "parse", "parse_jobs"]

_MARK = "param."

# What people write for it elsewhere.
_OTHER_KEYS = {
    "account": "by",
    "after": "since",
    "before": "until",
    "child_of": "parent",
    "created": "since",
    "date": "since",
    "description": "text",
    "duration": "dur",
    "error": "text",
    "from": "since",
    "id": "run",
    "is": "state",
    "log": "text",
    "name": "job",
    "reason": "text",
    "replay_of": "replay",
    "status": "state",
    "time": "dur",
    "to": "until",
    "took": "dur",
    "triggered_by": "by",
    "user": "by",
    "who": "by",
}
_OTHER_STATES = {
    "aborted": "canceled",
    "done": "succeeded",
    "error": "failed",
    "finished": "ended",
    "killed": "canceled",
    "ok": "succeeded",
    "pending": "queued",
    "waiting": "queued",
}


@dataclass(frozen=True)
class _Clock:
    now: datetime
    timezone: ZoneInfo


def parse(text: str, *, now: datetime, timezone: str) -> Search:
    """A search for runs.

    Args:
        text: as it was typed.
        now: what `7d` and `today` count from.
        timezone: the home's, in which days begin.

    Raises:
        InvalidError: not understood; the message names the character, and the detail has it as `position`.
    """
    clock = _Clock(now, ZoneInfo(timezone))
    return Search(tuple(_run_term(term, clock) for term in terms(text)))


def parse_jobs(text: str) -> Search:
    """A search for jobs.

    Raises:
        InvalidError: not understood; the message names the character, and the detail has it as `position`.
    """
    return Search(tuple(_job_term(term) for term in terms(text)))


def _run_term(term: WrittenTerm, clock: _Clock) -> Term:
    if not term.name:
        return Text(_texts(term), is_word=True, is_negated=term.is_negated)
    key = term.name.lower()
    if term.operator == ":":
        if key in _MEASURES:
            raise problem(f"{key} is compared,", term.position, f"; write {key}>{_shown(term.values[0]).lstrip('<>=')}")
        return _reader(term, _RUN_KEYS)(term, key, clock)
    if term.operator in ("=", "!="):
        return _param(term, key)
    if key not in _MEASURES:
        hint = f"; write {key}:{_shown(term.values[0])}" if key in _RUN_KEYS else "; dur, late and rows can"
        if (meant := _OTHER_KEYS.get(key)) in _MEASURES:
            hint = f"; did you mean {meant}{term.operator}{_shown(term.values[0])}?"
        raise problem(f'"{term.name}" can\'t be compared', term.position, hint)
    return _measure(term, key)


def _job_term(term: WrittenTerm) -> Term:
    if not term.name:
        return Text(_texts(term), is_word=True, is_negated=term.is_negated)
    if term.operator != ":":
        hint = f"; write {term.name.lower()}:{_shown(term.values[0])}" if term.name.lower() in _JOB_KEYS else ""
        raise problem(f"jobs are not searched by {term.name[:80]}{term.operator}", term.position, hint)
    return _reader(term, _JOB_KEYS)(term, term.name.lower())


def _reader[R](term: WrittenTerm, known: Mapping[str, R]) -> R:
    key = term.name.lower()
    if key in known:
        return known[key]
    hint = _suggestion(key, _OTHER_KEYS, known)
    if not hint:
        hint = f"; the keys are {', '.join(known)}; text with a colon goes into quotes"
        if known is _RUN_KEYS:
            hint += f", a parameter is written {term.name.removeprefix(_MARK)}={_shown(term.values[0])}"
    raise problem(f'unknown key "{term.name[:80]}"', term.position, hint)


def _names(term: WrittenTerm, key: str) -> Names:
    return Names(cast("NameKey", key), _texts(term), is_negated=term.is_negated)


def _text(term: WrittenTerm, key: str) -> Text:
    return Text(_texts(term), is_negated=term.is_negated)


def _runs(term: WrittenTerm, key: str) -> Runs:
    digits = [_digits(value, key) for value in term.values]
    return Runs(cast("RunKey", key), tuple(map(_value, term.values)), tuple(digits), is_negated=term.is_negated)


def _digits(value: Written, key: str) -> str:
    if key != "run" and value.text == "*":
        return ""
    digits = values.run_digits(value.text)
    if digits is None:
        hint = f"; a run is named by its id, or by at least {values.FEWEST_DIGITS} characters of the end of it"
        raise problem(f'"{value.text[:80]}" is no run', value.position, hint)
    return digits


def _states(term: WrittenTerm, known: Mapping[str, frozenset[str]]) -> States:
    found: set[str] = set()
    for value in term.values:
        word = value.text.lower()
        if word not in known:
            if word == "skipped":
                hint = "; skipped:STEP finds the runs that left out this step, skipped:* any step"
            else:
                hint = _suggestion(word, _OTHER_STATES, known) or f"; the states are {', '.join(known)}"
            raise problem(f'unknown state "{value.text[:80]}"', value.position, hint)
        found |= known[word]
    return States(tuple(map(_value, term.values)), frozenset(found), is_negated=term.is_negated)


def _run_states(term: WrittenTerm, key: str) -> States:
    return _states(term, values.STATES)


def _job_states(term: WrittenTerm, key: str) -> States:
    return _states(term, values.JOB_STATES)


def _bound(term: WrittenTerm, key: str, clock: _Clock) -> Bound:
    value = _only(term, key)
    span = values.span(value.text, clock.now, clock.timezone)
    if span is None:
        hint = "; write 7d, 12h, today, yesterday, 2026-11, 2026-11-01 or 2026-11-01T10:00"
        raise problem(f'"{value.text[:80]}" is no time', value.position, hint)
    begin, end = span
    instant = begin if key == "since" else end
    return Bound(cast("BoundKey", key), _value(value), instant, is_negated=term.is_negated)


def _measure(term: WrittenTerm, key: str) -> Measure:
    value = _only(term, key)
    amount = values.count(value.text) if key == "rows" else values.seconds(value.text)
    if amount is None:
        what, how = ("whole number", "1000") if key == "rows" else ("length of time", "90s, 5m, 1h30m or 2d")
        raise problem(f'"{value.text[:80]}" is no {what}', value.position, f"; write {how}")
    order = cast("Order", term.operator)
    return Measure(cast("MeasureKey", key), order, _value(value), amount, is_negated=term.is_negated)


def _param(term: WrittenTerm, key: str) -> Param:
    is_marked = key.startswith(_MARK)
    if not is_marked and (key in _RUN_KEYS or key in _MEASURES):
        value = _shown(term.values[0])
        instead = (
            f"{key}>{value.lstrip('<>=')}"
            if key in _MEASURES
            else f"{'-' if term.operator == '!=' else ''}{key}:{value}"
        )
        hint = f"; write {instead}, or {_MARK}{term.name}{term.operator}{value} for the parameter {term.name}"
        raise problem(f"{key}{term.operator} would look for a parameter", term.position, hint)
    meant, first = _OTHER_KEYS.get(key), term.values[0]
    if meant in _MEASURES and not first.is_quoted and first.text.startswith(("<", ">")):
        raise problem(f'unknown key "{term.name[:80]}"', term.position, f"; did you mean {meant}{_shown(first)}?")
    name = term.name[len(_MARK) :] if is_marked else term.name
    if not name:
        raise problem(f"there is no name behind {term.name}", term.position)
    return Param(
        name,
        tuple(map(_value, term.values)),
        is_other=term.operator == "!=",
        is_marked=is_marked,
        is_negated=term.is_negated,
    )


def _flag(term: WrittenTerm, key: str) -> Flag:
    value = _only(term, key)
    known = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
    if value.text.lower() not in known:
        raise problem(f'{key} is yes or no, not "{value.text[:80]}",', value.position)
    return Flag(cast("FlagKey", key), _value(value), known[value.text.lower()], is_negated=term.is_negated)


def _only(term: WrittenTerm, key: str) -> Written:
    if len(term.values) > 1:
        raise problem(f"{key} takes one value; there is another one", term.values[1].position)
    return term.values[0]


def _texts(term: WrittenTerm) -> tuple[Value, ...]:
    for value in term.values:
        if not value.text:
            raise problem("there is nothing between the quotes", value.position)
    return tuple(map(_value, term.values))


def _value(written: Written) -> Value:
    return Value(written.text, written.is_quoted)


def _shown(written: Written) -> str:
    return str(Value(written.text[:80], written.is_quoted))


def _suggestion(word: str, elsewhere: Mapping[str, str], known: Iterable[str]) -> str:
    known = list(known)
    if elsewhere.get(word) in known:
        return f'; did you mean "{elsewhere[word]}"?'
    return near_miss(word[:80], known)


def _without_clock(read: Callable[[WrittenTerm, str], Term]) -> Callable[[WrittenTerm, str, _Clock], Term]:
    return lambda term, key, clock: read(term, key)


_MEASURES = ("dur", "late", "rows")
_RUN_KEYS: dict[str, Callable[[WrittenTerm, str, _Clock], Term]] = {
    "job": _without_clock(_names),
    "state": _without_clock(_run_states),
    "step": _without_clock(_names),
    "failed": _without_clock(_names),
    "skipped": _without_clock(_names),
    "by": _without_clock(_names),
    "since": _bound,
    "until": _bound,
    "text": _without_clock(_text),
    "tag": _without_clock(_names),
    "schedule": _without_clock(_names),
    "run": _without_clock(_runs),
    "replay": _without_clock(_runs),
    "parent": _without_clock(_runs),
}
_JOB_KEYS: dict[str, Callable[[WrittenTerm, str], Term]] = {
    "job": _names,
    "tag": _names,
    "state": _job_states,
    "enabled": _flag,
    "problem": _flag,
    "text": _text,
}
