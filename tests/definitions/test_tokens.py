"""The fixed words of `${…}`."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.definitions.tokens import DATES, check, is_date, resolve_dates

YEAR_END, LEAP_DAY, MONDAY = date(2027, 12, 31), date(2028, 2, 29), date(2026, 3, 2)


@pytest.mark.parametrize(
    ("token", "today", "expected"),
    [
        ("today", YEAR_END, "2027-12-31"),
        ("yesterday", date(2028, 1, 1), "2027-12-31"),
        ("yesterday", date(2028, 3, 1), "2028-02-29"),
        ("yesterday", date(2027, 3, 1), "2027-02-28"),
        ("tomorrow", YEAR_END, "2028-01-01"),
        ("tomorrow", date(2028, 2, 28), "2028-02-29"),
        ("week.monday", MONDAY, "2026-03-02"),
        ("week.monday", date(2028, 1, 1), "2027-12-27"),
        ("week.sunday", MONDAY, "2026-03-08"),
        ("week.sunday", date(2026, 3, 8), "2026-03-08"),
        ("week.sunday", YEAR_END, "2028-01-02"),
        ("month.first", LEAP_DAY, "2028-02-01"),
        ("month.last", LEAP_DAY, "2028-02-29"),
        ("month.last", date(2027, 2, 1), "2027-02-28"),
        ("month.last", YEAR_END, "2027-12-31"),
        ("month.previous", date(2028, 1, 31), "2027-12-01"),
        ("month.previous", date(2028, 3, 31), "2028-02-01"),
    ],
)
def test_each_date_token_names_its_day(token: str, today: date, expected: str) -> None:
    """Over the ends of months and years, and in leap years."""
    assert resolve_dates(f"${{{token}}}", today) == expected


@given(st.dates(date(1971, 1, 1), date(2999, 1, 1)))
def test_the_days_lie_as_their_names_say(today: date) -> None:
    """On any day, weeks run from Monday to Sunday and months from their first day to their last."""
    day = {name: rule(today) for name, rule in DATES.items()}
    assert day["yesterday"] + timedelta(days=1) == day["today"] == day["tomorrow"] - timedelta(days=1)
    assert (day["week.monday"].isoweekday(), day["week.sunday"] - day["week.monday"]) == (1, timedelta(days=6))
    assert day["week.monday"] <= today <= day["week.sunday"]
    assert day["month.first"].day == (day["month.last"] + timedelta(days=1)).day == 1
    assert day["month.first"] <= today <= day["month.last"]
    assert day["month.previous"] < day["month.first"] <= day["month.previous"] + timedelta(days=31)


def test_dates_are_put_in_and_the_rest_stays() -> None:
    """One pass: what is looked up later, and what is no token, is left alone."""
    text = "${today}/${env:X}/${kw:today}/$today/${ today}/${${today}}"
    assert resolve_dates(text, MONDAY) == "2026-03-02/${env:X}/${kw:today}/$today/${ today}/${2026-03-02}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("${today}", True), (" ${today}", False), ("${today}${today}", False), ("${env:today}", False), ("", False)],
)
def test_a_date_token_is_one_whole_token(text: str, expected: bool) -> None:
    """Text around it makes it text."""
    assert is_date(text) is expected


@pytest.mark.parametrize("text", ["", "$x", "${env:X}", "${kw:x} ${out:a.b} ${ctx:run_id} ${month.last}", "${", "{}"])
def test_known_tokens_are_taken(text: str) -> None:
    """And text without any."""
    check(text)


@pytest.mark.parametrize("word", ["", "toady", "env", "env:", "secret:x", "ENV:X", "today ", "next.month"])
def test_an_unknown_token_is_refused(word: str) -> None:
    """With the token, and all that may stand there."""
    with pytest.raises(ValueError, match=r"has an unknown token \$\{.*known are \$\{env:X\}.*month\.previous"):
        check(f"a ${{{word}}} b")
