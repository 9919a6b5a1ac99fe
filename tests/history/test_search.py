"""How a search is read, and what is said of one that can't be."""

from __future__ import annotations

import string
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.errors import InvalidError
from nomaflow.history.search import Search, parse, parse_jobs
from nomaflow.history.search_terms import Bound, Flag, Measure, Names, Param, Runs, States, Text, Value

# In Paris it is noon, in summer time until the 25th of October 2026.
NOW = datetime(2026, 11, 24, 11, tzinfo=UTC)


def search(text: str, timezone: str = "Europe/Paris") -> Search:
    return parse(text, now=NOW, timezone=timezone)


def one(text: str) -> object:
    [term] = search(text).terms
    return term


def v(*texts: str) -> tuple[Value, ...]:
    return tuple(Value(text) for text in texts)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("job:jde-*,hr", Names("job", v("jde-*", "hr"))),
        ('step:"F 4"', Names("step", (Value("F 4", is_quoted=True),))),
        ("-tag:etl", Names("tag", v("etl"), is_negated=True)),
        ("BY:slack:ana", Names("by", v("slack:ana"))),
        ("state:Failed,CANCELED", States(v("Failed", "CANCELED"), frozenset({"FAILED", "CANCELED"}))),
        ("state:active", States(v("active"), frozenset({"QUEUED", "RUNNING", "CANCELING"}))),
        ("run:4xq2", Runs("run", v("4xq2"), ("4XQ2",))),
        ("replay:run_01K2J3N4P5Q6R", Runs("replay", v("run_01K2J3N4P5Q6R"), ("01K2J3N4P5Q6R",))),
        ("parent:*", Runs("parent", v("*"), ("",))),
        ("dur>5m", Measure("dur", ">", Value("5m"), 300)),
        ("dur >= 1h30m", Measure("dur", ">=", Value("1h30m"), 5400)),
        ("late<500ms", Measure("late", "<", Value("500ms"), 0.5)),
        ("rows<=1000", Measure("rows", "<=", Value("1000"), 1000)),
        ("apps_id=10,20", Param("apps_id", v("10", "20"))),
        ('name="two words"', Param("name", (Value("two words", is_quoted=True),))),
        ('name=""', Param("name", (Value("", is_quoted=True),))),
        ("offset=-5", Param("offset", v("-5"))),
        ("filter=a=b", Param("filter", v("a=b"))),
        ("apps_id!=10", Param("apps_id", v("10"), is_other=True)),
        ("-apps_id=10", Param("apps_id", v("10"), is_negated=True)),
        ("param.job=5", Param("job", v("5"), is_marked=True)),
        ("text:ORA-00942", Text(v("ORA-00942"))),
        ('text:"a \\"b\\" \\\\"', Text((Value('a "b" \\', is_quoted=True),))),
        ("nomasx1,jde", Text(v("nomasx1", "jde"), is_word=True)),
        ("“no space”", Text((Value("no space", is_quoted=True),), is_word=True)),
        ("12:30", Text(v("12:30"), is_word=True)),
    ],
)
def test_a_term_is_read(text: str, term: object) -> None:
    """Keys, operators, comma, minus and quotes mean what the table in the module's docstring says."""
    assert one(text) == term


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("since:7d", "2026-11-17T11:00:00"),
        ("until:1d12h", "2026-11-22T23:00:00"),
        ("since:today", "2026-11-23T23:00:00"),
        ("until:today", "2026-11-24T23:00:00"),
        ("since:Yesterday", "2026-11-22T23:00:00"),
        ("until:yesterday", "2026-11-23T23:00:00"),
        ("since:2026-11-01", "2026-10-31T23:00:00"),
        ("until:2026-11-01", "2026-11-01T23:00:00"),
        ("since:2026-10-25", "2026-10-24T22:00:00"),
        ("until:2026-10-25", "2026-10-25T23:00:00"),
        ("since:2026-12", "2026-11-30T23:00:00"),
        ("until:2026-12", "2026-12-31T23:00:00"),
        ("since:2026-11-01T10:00", "2026-11-01T09:00:00"),
        ("until:2026-11-01T10:00", "2026-11-01T09:00:00"),
        ("since:2026-11-01T10:00Z", "2026-11-01T10:00:00"),
        ("since:2026-11-01T10:00:30-05:00", "2026-11-01T15:00:30"),
    ],
)
def test_a_day_is_the_homes_day(text: str, instant: str) -> None:
    """`since` begins with the day or month in the home's zone, `until` ends with it; instants are themselves."""
    term = one(text)
    assert isinstance(term, Bound)
    assert term.instant == datetime.fromisoformat(instant).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("state:faild", 7, 'unknown state "faild" at character 7; did you mean "failed"?'),
        ("state:failed,ok", 14, 'unknown state "ok" at character 14; did you mean "succeeded"?'),
        ("state:skipped", 7, "skipped:STEP finds the runs that left out this step"),
        ("state:xyz", 7, "the states are "),
        ("a sate:failed", 3, 'unknown key "sate" at character 3; did you mean "state"?'),
        ("user:ana", 1, 'unknown key "user" at character 1; did you mean "by"?'),
        ("apps_id:10", 1, "a parameter is written apps_id=10"),
        ("http://example.org", 1, "text with a colon goes into quotes"),
        ("state=failed", 1, "write state:failed, or param.state=failed for the parameter state"),
        ("state!=failed", 1, "write -state:failed, or param.state!=failed"),
        ("dur=5m", 1, "write dur>5m, or param.dur=5m"),
        ("dur=>5m", 1, "write dur>5m, or param.dur=>5m"),
        ("duration=>1s", 1, 'unknown key "duration" at character 1; did you mean dur>1s?'),
        ("took=<1h", 1, 'unknown key "took" at character 1; did you mean dur<1h?'),
        ("duration>1s", 1, '"duration" can\'t be compared at character 1; did you mean dur>1s?'),
        ("time<=1s", 1, "did you mean dur<=1s?"),
        ("dur:>5m", 1, "dur is compared, at character 1; write dur>5m"),
        ("since>7d", 1, "write since:7d"),
        ("apps_id>5", 1, "dur, late and rows can"),
        ("dur>5", 5, '"5" is no length of time at character 5; write 90s, 5m'),
        ("dur>5m,10m", 8, "dur takes one value"),
        ("rows>many", 6, '"many" is no whole number'),
        ("rows>99999999999999999999", 6, "is no whole number"),
        ("since:soon", 7, '"soon" is no time at character 7; write 7d, 12h'),
        ("since:2026-02-30", 7, "is no time"),
        ("since:999999999w", 7, "is no time"),
        ("until:9999-12-31", 7, "is no time"),
        ("since:0001-01", 7, "is no time"),
        ("run:ab", 5, "at least 4 characters of the end of it"),
        ("run:*", 5, '"*" is no run'),
        ("run:LOUD", 5, '"LOUD" is no run'),
        ('text:""', 6, "there is nothing between the quotes"),
        ("state:", 7, "a value is missing behind state:"),
        ("a state: ", 9, "a value is missing behind state:"),
        ("state:failed,", 14, "a value is missing behind state:failed,"),
        (",a", 1, "there is no value before the comma"),
        ("a,,b", 3, "there is no value before the comma"),
        ('a "b', 3, "a quote is opened and not closed"),
        ("a - b", 3, "there is no term right behind the -"),
        ("--a", 1, "there is no term right behind the -"),
        (":a", 1, "there is no name before the :"),
        ("a <5", 1, '"a" can\'t be compared'),
        ("param.=5", 1, "there is no name behind param."),
        ("a\x00b", 2, "the character U+0000 can't be searched for"),
        ("a\x1fb", 2, "the character U+001F can't be searched for"),
        ("a\ud800", 2, "the character U+D800 can't be searched for"),
        (" ".join("abcdefghijklmnopqrstuvwxyzabcde"), 61, "at most 30 terms"),
    ],
)
def test_an_error_points_at_the_character(text: str, position: int, message: str) -> None:
    """The sentence says what is wrong, where and what to write; the detail has the place as a number from 1."""
    with pytest.raises(InvalidError) as raised:
        search(text)
    assert message in raised.value.message
    assert f"at character {position}" in raised.value.message or f"begins at character {position}" in str(raised.value)
    [detail] = raised.value.details
    assert (detail["path"], detail["position"], detail["message"]) == ("q", position, raised.value.message)


def test_a_search_is_short() -> None:
    """What is longer than 500 characters is not read at all."""
    assert search("a" * 500).terms
    with pytest.raises(InvalidError, match="at most 500 characters, this one has 501"):
        search("a" * 501)


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_nothing_is_everything(text: str) -> None:
    """An empty field finds all."""
    assert search(text) == parse_jobs(text) == Search()


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("sync state:never", [Text(v("sync"), is_word=True), States(v("never"), frozenset({"NEVER"}))]),
        ("enabled:no", [Flag("enabled", Value("no"), is_on=False)]),
        ("-problem:yes", [Flag("problem", Value("yes"), is_on=True, is_negated=True)]),
    ],
)
def test_jobs_have_keys_of_their_own(text: str, terms: list[object]) -> None:
    """The language is the same, the keys are those that a job's card can answer."""
    assert list(parse_jobs(text).terms) == terms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("since:7d", 'unknown key "since" at character 1; the keys are job, tag, state, enabled, problem, text'),
        ("x apps_id=10", "jobs are not searched by apps_id= at character 3"),
        ("state=failed", "; write state:failed"),
        ("enabled:perhaps", 'enabled is yes or no, not "perhaps", at character 9'),
    ],
)
def test_a_job_search_says_what_it_does_not_know(text: str, message: str) -> None:
    """Keys of runs alone are errors there, not words."""
    with pytest.raises(InvalidError) as raised:
        parse_jobs(text)
    assert message in raised.value.message


ALPHABET = st.sampled_from([*string.printable, "“", "é", "İ", "\xa0", "\x1f", "\ud800", "漢"])
WORDS = (
    'job: state: since: dur > >= = != : , - " \\ * param. apps_id failed active 7d 5m 2026-11-01 run: 4XQ2 text: by: '
    "replay: until: rows<10 late"
)
PIECES = st.sampled_from([" ", *WORDS.split()])


@given(st.lists(PIECES | ALPHABET, max_size=60).map("".join))
def test_whatever_is_typed_is_read_or_refused(text: str) -> None:
    """Nothing but an InvalidError comes out, and what is read can be written and read again as the same."""
    for read in (search, parse_jobs):
        try:
            found = read(text)
        except InvalidError as error:
            for detail in error.details:
                assert 1 <= detail.get("position", 1) <= len(text) + 1
        else:
            assert read(str(found)) == found


def test_the_parser_is_loaded_by_the_first_search() -> None:
    """An engine that nobody searches does without it."""
    script = (
        "import sys, nomaflow.history.search as s; assert 'lark' not in sys.modules; s.parse_jobs('a'); import lark"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
