"""What a person sees of a rule before saving it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nomaflow.schedule.cron import EITHER_DAY, preview

NOW = datetime(2026, 5, 17, 11, 20, tzinfo=UTC)


def test_the_next_fires_are_shown() -> None:
    """So many fires as asked for, in UTC, with the rule in words."""
    seen = preview("30 2 * * *", "Asia/Kolkata", 2, NOW)
    assert seen.fires == (datetime(2026, 5, 17, 21, tzinfo=UTC), datetime(2026, 5, 18, 21, tzinfo=UTC))
    assert seen.words == "At 02:30"
    assert seen.notes == ()


def test_a_time_of_day_tells_of_the_changes_of_a_year() -> None:
    """A time that a change of the clocks moves or repeats is told long before it comes."""
    assert preview("30 2 * * *", "Europe/Paris", 1, NOW).notes == (
        "On 25 Oct 2026 02:30 comes twice: it fires the first time only (CEST).",
        "On 28 Mar 2027 02:30 does not exist: it fires at 03:00.",
    )


def test_a_spacing_tells_of_the_changes_among_the_fires_shown() -> None:
    """A rule that fires all the time tells of a change only where it is seen among the fires."""
    assert preview("*/15 * * * *", "Europe/Paris", 5, NOW).notes == ()
    seen = preview("*/15 * * * *", "Europe/Paris", 5, datetime(2026, 10, 25, 0, 40, tzinfo=UTC))
    assert seen.notes == ("On 25 Oct 2026 the time from 02:00 to 03:00 comes twice: it fires both times.",)


def test_very_many_changes_are_not_listed() -> None:
    """A rule that fires once a year spans many changes; the first few are told."""
    notes = preview("0 2 * * 0", "Europe/Paris", 300, NOW).notes
    assert len(notes) == 7
    assert notes[-1] == "Later changes of the clocks are not listed."


NOTES = {
    "0 0 1 * 1": [EITHER_DAY],
    "0 0 */2 * 1": [EITHER_DAY],
    "0 0 1 * *": [],
    "0 0 29 2 *": ["It fires less often than once a year: on 29 Feb 2028, then on 29 Feb 2032."],
    "0 0 * 2 1#5": ["It fires less often than once a year: on 29 Feb 2044, then on 29 Feb 2072."],
    "0 0 1 1 *": [],
    "0 0 31 * *": ["Months without a day 31 are passed over."],
    "0 0 29,30 * *": ["Months without a day 29 are passed over."],
    "0 0 31 1,3 *": [],
    "0 0 31,L * *": [],
    "0 0 28-31 * *": [],
    "0 0 31 * 1": [EITHER_DAY],
}


@pytest.mark.parametrize(("cron", "notes"), NOTES.items())
def test_what_surprises_is_noted(cron: str, notes: list[str]) -> None:
    """Two day fields are either, some months are too short, some rules fire in years: each has a sentence."""
    assert list(preview(cron, "UTC", 3, NOW).notes) == notes


def test_where_the_fires_end_there_are_fewer() -> None:
    """Fires that are further off than 50 years are not shown, and where there are none the note says so."""
    assert len(preview("0 0 * 2 1#5", "UTC", 10, NOW).fires) == 2
    seen = preview("0 0 29 2 *", "UTC", 3, datetime(9899, 3, 1, tzinfo=UTC))
    assert seen.fires == ()
    assert seen.notes == ("It does not fire within 50 years.",)


def test_a_refused_rule_has_no_preview() -> None:
    """Expression and zone are refused with the sentences of a job's file."""
    with pytest.raises(ValueError, match="must have five fields"):
        preview("* *", "UTC", 3, NOW)
    with pytest.raises(ValueError, match="unknown time zone"):
        preview("* * * * *", "Mars/Base", 3, NOW)
