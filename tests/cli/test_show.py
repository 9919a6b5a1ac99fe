"""How times and text look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nomaflow.cli.show import Listing, count, duration, relative, shown

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s ago"),
        (-59, "59 s ago"),
        (840, "in 14 m"),
        (-50_400, "14 h ago"),
        (-47 * 3600, "47 h ago"),
        (3e5, "in 3 d"),
    ],
)
def test_a_time_is_said_as_one_says_it(seconds: float, text: str) -> None:
    """From now, in the largest unit that tells something; hours up to two days."""
    assert relative(NOW + timedelta(seconds=seconds), NOW) == text
    assert relative(None, NOW) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.012, "12 ms"),
        (1.25, "1.2 s"),
        (42, "42 s"),
        (60, "1 m"),
        (754, "12 m 34 s"),
        (3720, "1 h 2 m"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_length_of_time_has_two_units_at_most(seconds: float, text: str) -> None:
    """Nobody needs the seconds of a day."""
    assert duration(seconds) == text


def test_control_characters_are_shown_and_not_sent() -> None:
    """No text of a step clears the screen, forges a line or turns the writing around."""
    assert shown("a\x1b[2J\n\u202eb\tü") == "a\\x1b[2J\\x0a\\u202eb\tü"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (80, ["ID    NAME                BY", "id-1  a name of 18 chars  ana"]),
        (24, ["ID    NAME           BY", "id-1  a name of 18…  ana"]),
        (18, ["ID    NAME", "id-1  a name of 1…"]),
        (4, ["ID    NAME", "id-1  a name …"]),
    ],
)
def test_a_row_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, expected: list[str]
) -> None:
    """Long cells are cut, then columns left out; an id is whole even where it runs over the edge."""
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = Listing("ID", "NAME", "BY", whole=["ID", "BY"], optional=["BY"])
    rows.add("id-1", "a name of 18 chars", "ana")
    rows.print()
    assert capsys.readouterr().out.splitlines() == expected


def test_one_row_is_no_rows() -> None:
    """Large numbers have separators."""
    assert [count(number, "rows") for number in (0, 1, 1200)] == ["0 rows", "1 row", "1,200 rows"]
