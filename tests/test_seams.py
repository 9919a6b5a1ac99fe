"""Run ids: short, sorted by time, and never the same or smaller again."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.seams import RunIds, Seams, base32, run_id_of, run_number, system_timezone

START = datetime(2026, 3, 1, tzinfo=UTC)


def clock(*instants: datetime) -> Callable[[], datetime]:
    """A clock that shows these, one after the other."""
    shown = iter(instants)
    return lambda: next(shown)


def test_ids_grow_when_the_clock_goes_back() -> None:
    """Each is greater than the one before, also as text."""
    steps = [0, 0, -1, -86_400, 1, -1, 0.001]
    ids = RunIds(clock(*(START + timedelta(seconds=step) for step in steps)), random.Random(1))
    given_ids = [ids() for _ in steps]
    assert given_ids == sorted(set(given_ids))


@given(
    st.lists(st.floats(-1e9, 8e9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)), min_size=2), st.randoms()
)
def test_ids_grow_on_any_clock(instants: list[datetime], draw: random.Random) -> None:
    """Whatever the clock does and the dice give."""
    ids = RunIds(clock(*instants), draw)
    given_ids = [ids() for _ in instants]
    assert given_ids == sorted(set(given_ids))
    assert all(len(run_id) == 17 and run_id.startswith("run_") for run_id in given_ids)


def test_ids_of_one_millisecond_differ() -> None:
    """Two engines at one instant draw different ids."""
    drawn = {RunIds(lambda: START, random.Random(seed))() for seed in range(100)}
    assert len(drawn) == 100


def test_ids_go_on_after_the_newest_known_one() -> None:
    """After a restart with the clock behind, no id is given that sorts before a stored run."""
    newest = RunIds(lambda: START + timedelta(days=1), random.Random(1))()
    ids = RunIds(lambda: START, random.Random(2))
    ids.after(newest)
    ids.after(run_id_of(1))
    assert ids() > newest


@given(st.integers(0, 2**63 - 1))
def test_a_run_id_is_a_number(number: int) -> None:
    """There and back, for every number that a signed 64-bit column holds; the order is the same."""
    run_id = run_id_of(number)
    assert run_number(run_id) == number
    assert (run_id < run_id_of(2**62)) is (number < 2**62)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "run_",
        "0000000000001",
        "run_000000000000",
        "run_00000000000001",
        "run_000000000000I",
        "run_000000000000l",
        "run_00000000000 1",
        "run_000000000000\u0661",
        "run_000000000000\n",
        "RUN_0000000000001",
        "run_run_000000001",
        "run_8000000000000",
        "run_ZZZZZZZZZZZZZ",
        "run_" + "0" * 300,
    ],
)
def test_what_is_no_run_id_is_refused(text: str) -> None:
    """With a short message, however long the text is."""
    with pytest.raises(ValueError, match="is no run id") as caught:
        run_number(text)
    assert len(str(caught.value)) < 80


def test_base32_has_no_digit_that_looks_like_another() -> None:
    """Crockford's digits: without I, L, O and U."""
    assert [base32(number, 2) for number in (0, 31, 32, 1023)] == ["00", "0Z", "10", "ZZ"]
    assert not set("ILOU") & {base32(number, 1) for number in range(32)}


def test_a_test_gives_its_own_clock_and_dice() -> None:
    """What is given is what the ids are made with."""
    one, other = (Seams(now=lambda: START, draw=random.Random(7)) for _ in range(2))
    assert one.run_id() == other.run_id()
    assert Seams().now().tzinfo is UTC


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("Europe/Paris", "Europe/Paris"),
        (":America/Lima", "America/Lima"),
        ("../../etc/passwd", "UTC"),
        ("CET-1", "UTC"),
    ],
)
def test_the_systems_zone_is_one_that_is_known(monkeypatch: pytest.MonkeyPatch, variable: str, name: str) -> None:
    """`TZ` may say anything; what is no name of the IANA database is UTC."""
    monkeypatch.setenv("TZ", variable)
    assert system_timezone() == name
