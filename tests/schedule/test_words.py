"""A rule in words says when it fires."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.definitions.cron import normalise
from nomaflow.schedule.words import words
from tests.schedule.rules import rule

WORDS = {
    "30 2 * * *": "At 02:30",
    "@daily": "At 00:00",
    "@hourly": "Every hour",
    "@yearly": "At 00:00, on day 1 of the month, only in January",
    "* * * * *": "Every minute",
    "*/5 * * * *": "Every 5 minutes",
    "0 */2 * * *": "Every 2 hours",
    "30 */2 * * *": "At 30 minutes past the hour, every 2 hours",
    "*/15 9-17 * * mon-fri": "Every 15 minutes, between 09:00 and 17:59, Monday through Friday",
    "30 2,14 * * *": "At 02:30 and 14:30",
    "0,30 2 * * *": "At 02:00 and 02:30",
    "15 2 * * 7": "At 02:15, only on Sunday",
    "0 0 * * 5-7": "At 00:00, Friday through Sunday",
    "0 0 * jan-mar *": "At 00:00, January through March",
    "0 2 1-7 * *": "At 02:00, between day 1 and 7 of the month",
    "0 0 L * *": "At 00:00, on the last day of the month",
    "0 0 1,L * *": "At 00:00, on day 1 and the last day of the month",
    "0 0 25-L * *": "At 00:00, between day 25 and 31 of the month",
    "0 0 * * 1#2": "At 00:00, on the second Monday of the month",
    "0 0 * * L5": "At 00:00, on the last Friday of the month",
    "0 6 * 1 1#2,1#4,L7": "At 06:00, on the last Sunday, the second Monday, and the fourth Monday of the month, "
    "only in January",
    # both day fields: either
    "0 0 1 * 1": "At 00:00, on day 1 of the month, or on Monday",
    "0 0 L * fri": "At 00:00, on the last day of the month, or on Friday",
    "0 0 */2 * 1": "At 00:00, every 2 days, between day 1 and 31 of the month, or on Monday",
    "0 0 13 * tue-thu": "At 00:00, on day 13 of the month, or on Tuesday, Wednesday, and Thursday",
    "0 0 */1 * 1": "At 00:00, between day 1 and 31 of the month, or on Monday",
    # seconds stand last
    "* * * * * *": "Every second",
    "30 * * * * *": "Every second, at 30 minutes past the hour",
    "* * * * * 30": "At 30 seconds past the minute",
    "* * * * * */10": "Every 10 seconds",
    "30 2 * * * 15": "At 02:30:15",
    "30 2 * * * 0,30": "At 02:30:00 and 02:30:30",
    # a step that does not go round evenly is no "every"
    "*/25 * * * *": "At 0, 25, and 50 minutes past the hour",
    "50/20 * * * *": "At 50 minutes past the hour",
    "5/20 * * * *": "Every 20 minutes, starting at 5 minutes past the hour",
    "*/60 * * * *": "Every hour",
    "5/1 * * * *": "Minutes 5 through 59 past the hour",
    "0 */5 * * *": "At 00:00, 05:00, 10:00, 15:00 and 20:00",
    "0 0 1 */5 *": "At 00:00, on day 1 of the month, only in January, June, and November",
    "0 0 1 4/3 *": "At 00:00, on day 1 of the month, only in April, July, and October",
    "0 0 * * */2": "At 00:00, only on Sunday, Tuesday, Thursday, and Saturday",
    # hours in a list are hours, not spans of time
    "0 9-12,14-17 * * *": "At 09:00, 10:00, 11:00, 12:00, 14:00, 15:00, 16:00 and 17:00",
    # a range of one value is that value
    "0-0 * * * *": "Every hour",
}


@pytest.mark.parametrize(("cron", "said"), WORDS.items())
def test_a_rule_in_words(cron: str, said: str) -> None:
    """The words name the times, days and months at which the rule fires, on a clock of 24 hours."""
    assert words(cron) == said


@given(rule(with_seconds=None) | st.text("0123456789*/-,#L ", max_size=30))
def test_whatever_may_be_written_has_words(cron: str) -> None:
    """Every rule that is accepted has words, and "or" stands in them where both day fields are given."""
    try:
        fields = normalise(cron).split(" ")
    except ValueError:
        return
    said = words(cron)
    assert said
    assert (", or on " in said) == (fields[2] != "*" and fields[4] != "*"), said


def test_what_is_refused_has_none() -> None:
    """A refused expression raises the gate's own sentence."""
    with pytest.raises(ValueError, match="must have five fields"):
        words("* *")
