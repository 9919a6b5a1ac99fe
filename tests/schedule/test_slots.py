"""What becomes of slots that have come due: a table of cases, and what holds in all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.definitions.job import Misfire
from nomaflow.schedule.cron import compiled
from nomaflow.schedule.slots import GRACE, MAX_CATCH_UP, MAX_ROWS, Decided, decide, said, window
from tests.schedule.rules import CHANGES, rule

NOON = datetime(2026, 5, 17, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def clock(text: str) -> datetime:
    """A time of 17 May 2026 UTC."""
    return datetime.fromisoformat(f"2026-05-17T{text}Z")


def told(decided: list[Decided]) -> list[str]:
    """Each decision in short: `10:00 coalesced 12:00`, `11:00 fire late`."""
    return [
        " ".join(
            [f"{slot.scheduled_at:%H:%M}", slot.verdict]
            + ([f"{slot.into:%H:%M}"] if slot.into else [])
            + (["late"] if slot.is_catch_up else [])
        )
        for slot in decided
    ]


HOURLY = "0 * * * *"

CASES = {
    "nothing is due": (HOURLY, "11:00", "11:59:59", "latest", "1h", []),
    "the cursor is now": (HOURLY, "12:00", "12:00", "latest", "1h", []),
    "the clock went back": (HOURLY, "12:00", "09:00", "latest", "1h", []),
    "in time": (HOURLY, "11:00", "12:00", "latest", "1h", ["12:00 fire"]),
    "in time up to the grace": (HOURLY, "11:00", "12:01", "skip", "0", ["12:00 fire"]),
    "a second later it is late": (HOURLY, "11:00", "12:01:01", "skip", "0", ["12:00 missed"]),
    "several are in time": ("* * * * *", "11:58", "12:00", "skip", "0", ["11:59 fire", "12:00 fire"]),
    "latest: a late one fires": (HOURLY, "11:30", "12:30", "latest", "1h", ["12:00 fire late"]),
    "latest: as late as its window": (HOURLY, "11:30", "12:30", "latest", "30m", ["12:00 fire late"]),
    "latest: later than its window": (HOURLY, "11:30", "12:30:01", "latest", "30m", ["12:00 missed"]),
    "latest: no window": (HOURLY, "11:30", "12:30", "latest", "0", ["12:00 missed"]),
    "latest: the newest stands for the older": (
        HOURLY,
        "09:00",
        "12:30",
        "latest",
        "1h",
        ["10:00 coalesced 12:00", "11:00 coalesced 12:00", "12:00 fire late"],
    ),
    "latest: one in time stands for the late": (
        HOURLY,
        "09:30",
        "12:00",
        "latest",
        "2d",
        ["10:00 coalesced 12:00", "11:00 coalesced 12:00", "12:00 fire"],
    ),
    "latest: the first in time stands for the late": (
        "0,1 * * * *",
        "10:30",
        "12:01",
        "latest",
        "0",
        ["11:00 coalesced 12:00", "11:01 coalesced 12:00", "12:00 fire", "12:01 fire"],
    ),
    "latest: none fires where all are too old": (
        HOURLY,
        "09:30",
        "12:30",
        "latest",
        "20m",
        ["10:00 missed", "11:00 missed", "12:00 missed"],
    ),
    "all: those within the window fire in order": (
        HOURLY,
        "08:30",
        "12:30",
        "all",
        "2h",
        ["09:00 missed", "10:00 missed", "11:00 fire late", "12:00 fire late"],
    ),
    "all: and the one in time after them": (
        HOURLY,
        "09:30",
        "12:00",
        "all",
        "1h",
        ["10:00 missed", "11:00 fire late", "12:00 fire"],
    ),
    "skip: late ones are missed": (
        HOURLY,
        "09:30",
        "12:00",
        "skip",
        "2d",
        ["10:00 missed", "11:00 missed", "12:00 fire"],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_case(case: tuple[str, str, str, Misfire, str, list[str]]) -> None:
    """Each slot is fired, missed or joined to another as lateness, misfire and catchup_window say."""
    cron, after, now, misfire, catchup_window, expected = case
    decided = decide(
        compiled(cron, "UTC"),
        after=clock(after),
        now=clock(now),
        misfire=misfire,
        catchup_window=window(catchup_window),
        skips={},
    )
    assert told(decided) == expected


SKIPPED = "skipped by ana: maintenance"

SKIP_CASES = {
    "in time": ("11:30", "12:00", "latest", ["12:00"], ["12:00 skipped"]),
    "late": ("11:30", "12:30", "all", ["12:00"], ["12:00 skipped"]),
    "the late one before it fires": ("10:30", "12:00", "latest", ["12:00"], ["11:00 fire late", "12:00 skipped"]),
    "the newest late one that is wanted fires": (
        "09:30",
        "12:30",
        "latest",
        ["12:00"],
        ["10:00 coalesced 11:00", "11:00 fire late", "12:00 skipped"],
    ),
    "it is joined to none": (
        "09:30",
        "12:00",
        "latest",
        ["11:00"],
        ["10:00 coalesced 12:00", "11:00 skipped", "12:00 fire"],
    ),
    "it takes no place among those caught up": (
        "10:30",
        "12:30",
        "all",
        ["11:00"],
        ["11:00 skipped", "12:00 fire late"],
    ),
    "what is no slot is nothing": ("11:30", "12:00", "latest", ["11:59", "13:00"], ["12:00 fire"]),
}


@pytest.mark.parametrize("case", SKIP_CASES.values(), ids=SKIP_CASES)
def test_a_skip(case: tuple[str, str, Misfire, list[str], list[str]]) -> None:
    """A slot that somebody wants left out is skipped with that sentence in any case."""
    after, now, misfire, skips, expected = case
    decided = decide(
        compiled(HOURLY, "UTC"),
        after=clock(after),
        now=clock(now),
        misfire=misfire,
        catchup_window=window("2h"),
        skips={clock(skip): SKIPPED for skip in skips},
    )
    assert told(decided) == expected
    assert {slot.reason for slot in decided if slot.verdict == "skipped"} <= {SKIPPED}


@pytest.mark.parametrize(
    ("misfire", "catchup_window", "reason"),
    [
        ("latest", "1h", "the engine did not look for 3 h 20 min; older than its catchup_window of 1h"),
        ("latest", "0", "the engine did not look for 3 h 20 min; older than its catchup_window of 0"),
        ("all", "90m", "the engine did not look for 3 h 20 min; older than its catchup_window of 90m"),
        ("skip", "1d", 'the engine did not look for 3 h 20 min; with misfire = "skip" what is late does not fire'),
    ],
)
def test_a_missed_slot_says_how_late_it_is_and_why(misfire: Misfire, catchup_window: str, reason: str) -> None:
    """The reason names how long nothing looked, and the setting that let the slot go."""
    (slot,) = decide(
        compiled("0 9 * * *", "UTC"),
        after=clock("00:00"),
        now=clock("12:20"),
        misfire=misfire,
        catchup_window=window(catchup_window),
        skips={},
    )
    assert (slot.verdict, slot.reason, slot.late, slot.is_catch_up) == ("missed", reason, True, False)


def test_a_coalesced_slot_says_what_fires_in_its_place() -> None:
    """The reason says how late it is; `into` is the slot that fires."""
    slot, fired = decide(
        compiled("0 9,12 * * *", "UTC"),
        after=clock("00:00"),
        now=clock("12:20"),
        misfire="latest",
        catchup_window=window("1h"),
        skips={},
    )
    assert slot.reason == "the engine did not look for 3 h 20 min; a later one fires in its place"
    assert slot.into == fired.scheduled_at == clock("12:00")
    assert fired == Decided(clock("12:00"), "fire", late=True)


def test_at_most_a_hundred_are_caught_up() -> None:
    """With misfire = "all" the newest hundred late slots fire, and those before them are missed and say so."""
    decided = decide(
        compiled("* * * * *", "UTC"),
        after=NOON - timedelta(hours=5),
        now=NOON + timedelta(seconds=30),
        misfire="all",
        catchup_window=window("1d"),
        skips={},
    )
    verdicts = [slot.verdict for slot in decided]
    assert verdicts == ["missed"] * 199 + ["fire"] * (MAX_CATCH_UP + 1)
    assert decided[198].reason == "the engine did not look for 1 h 41 min; at most the newest 100 are caught up"
    assert [slot.is_catch_up for slot in decided[199:]] == [True] * MAX_CATCH_UP + [False]


def test_the_oldest_of_very_many_share_a_row() -> None:
    """The newest thousand have rows; those before them are one row that counts them, but for skipped ones."""
    skips = {NOON - timedelta(days=days): SKIPPED for days in (30, 20, 10)}
    first, *rest = decide(
        compiled("* * * * *", "UTC"),
        after=NOON - timedelta(days=30, minutes=1),
        now=NOON + timedelta(seconds=30),
        misfire="latest",
        catchup_window=window("1h"),
        skips=skips,
    )
    # The very first is skipped, so that the row begins with the second.
    assert (first.scheduled_at, first.verdict, first.reason) == (NOON - timedelta(days=30), "skipped", SKIPPED)
    shared, *rest = rest
    assert shared.verdict == "missed"
    assert shared.scheduled_at == NOON - timedelta(days=30) + timedelta(minutes=1)
    assert shared.last_at == NOON - timedelta(minutes=1000)
    assert shared.count == 30 * 1440 + 1 - 1000 - 3
    assert shared.reason == (
        "the engine did not look for 29 d 23 h; of so many slots only the newest 1000 are told one by one"
    )
    assert [slot.verdict for slot in rest[:2]] == ["skipped", "skipped"]
    assert len(rest[2:]) == MAX_ROWS
    assert {slot.verdict for slot in rest[2:-1]} == {"coalesced"}
    assert rest[-1] == Decided(NOON, "fire")


def test_a_thousand_slots_have_a_row_each() -> None:
    """One more than a thousand makes a shared row of one."""
    for extra, rows in ((0, 1000), (1, 1001)):
        decided = decide(
            compiled("* * * * *", "UTC"),
            after=NOON - timedelta(minutes=1000 + extra),
            now=NOON,
            misfire="skip",
            catchup_window=window("0"),
            skips={},
        )
        assert len(decided) == rows
        assert all(slot.count == 1 for slot in decided)


def test_where_all_the_older_are_skipped_no_row_is_shared() -> None:
    """A shared row never counts none."""
    decided = decide(
        compiled("* * * * *", "UTC"),
        after=NOON - timedelta(minutes=1001),
        now=NOON,
        misfire="skip",
        catchup_window=window("0"),
        skips={NOON - timedelta(minutes=1000): SKIPPED},
    )
    assert decided[0].verdict == "skipped"
    assert len(decided) == 1001


@pytest.mark.limit(5)
def test_ten_years_of_seconds_are_decided_at_once() -> None:
    """What fires each second, looked at ten years late, costs no more than its rows."""
    now = NOON + timedelta(days=3652)
    decided = decide(
        compiled("* * * * * *", "Europe/Paris"),
        after=NOON,
        now=now,
        misfire="all",
        catchup_window=window("999999d"),
        skips={NOON + timedelta(days=day): SKIPPED for day in range(1, 100)},
    )
    assert len(decided) == 1 + 99 + MAX_ROWS
    assert sum(slot.count for slot in decided) == 3652 * 86_400


@st.composite
def situations(draw: st.DrawFn) -> dict[str, object]:
    """A rule, its cursor and the time, around a change of the clocks, and some slots to leave out."""
    zone, change = draw(st.sampled_from(CHANGES))
    cron = compiled(draw(rule(with_seconds=None)), zone)
    after = change + draw(st.integers(-100_000, 100_000)) * SECOND
    now = after + draw(st.integers(-100, 600) | st.integers(0, 40_000) | st.integers(0, 3_000_000)) * SECOND
    ends = [*cron.newest(30, after, now), *(fire for fire, _ in zip(cron.fires(after, now), range(3), strict=False))]
    skips = draw(st.lists(st.sampled_from(ends), max_size=5)) if ends else []
    return {
        "cron": cron,
        "after": after,
        "now": now,
        "misfire": draw(st.sampled_from(["latest", "all", "skip"])),
        "catchup_window": draw(st.sampled_from(["0", "30m", "1h", "10h", "60d"]).map(window)),
        "skips": dict.fromkeys([*skips, after, now + SECOND], SKIPPED),
    }


@given(situations())
def test_every_slot_is_decided_once(situation: dict[str, object]) -> None:
    """The decisions hold each slot after the cursor and up to now, once, in order, and no other."""
    cron, after, now = situation["cron"], situation["after"], situation["now"]
    decided = decide(**situation)
    newest = [slot for slot in decided if slot.count == 1]
    shared = [slot for slot in decided if slot.count > 1]
    assert [slot.scheduled_at for slot in decided] == sorted({slot.scheduled_at for slot in decided})
    assert sum(slot.count for slot in decided) == cron.count(after, now)
    assert len(shared) <= 1
    assert len(decided) <= MAX_ROWS + 1 + len(situation["skips"])
    fires = set(cron.newest(MAX_ROWS, after, now))
    assert fires <= {slot.scheduled_at for slot in newest}
    assert all(slot.scheduled_at in cron and after < slot.scheduled_at <= now for slot in decided)
    for slot in shared:
        inside = cron.count(slot.scheduled_at - SECOND, slot.last_at)
        beside = [row for row in newest if slot.scheduled_at < row.scheduled_at < slot.last_at]
        assert slot.count == inside - len(beside)
        assert {row.verdict for row in beside} <= {"skipped"}
        assert slot.last_at in cron
        assert slot.last_at < min(fires)


@given(situations())
def test_each_decision_follows_the_rules(situation: dict[str, object]) -> None:
    """Lateness, window and skips decide; a coalesced slot is joined to a later one that fires."""
    now, misfire, skips = situation["now"], situation["misfire"], situation["skips"]
    decided = decide(**situation)
    fired = {slot.scheduled_at: slot for slot in decided if slot.verdict == "fire"}
    for slot in decided:
        lateness = now - slot.scheduled_at
        assert (slot.verdict == "skipped") == (slot.scheduled_at in skips)
        assert slot.late == (lateness > GRACE)
        assert (slot.reason is None) == (slot.verdict == "fire")
        assert (slot.into is not None) == (slot.verdict == "coalesced")
        if not slot.late:
            assert slot.verdict in ("fire", "skipped")
        if slot.is_catch_up:
            assert lateness <= situation["catchup_window"]
            assert misfire != "skip"
        if slot.into:
            assert misfire == "latest"
            assert slot.into == min(fired)
            assert slot.scheduled_at < slot.into
    caught_up = [slot for slot in decided if slot.is_catch_up]
    assert len(caught_up) <= {"latest": 1, "all": MAX_CATCH_UP, "skip": 0}[misfire]
    if misfire == "latest" and fired:
        assert not [
            slot for slot in decided if slot.verdict == "missed" and slot.count == 1 and slot.scheduled_at > now
        ]
        assert not (caught_up and len(fired) > 1)


@given(situations(), st.integers(0, 3_000_000))
def test_a_decision_in_time_does_not_depend_on_the_cursor(situation: dict[str, object], seconds: int) -> None:
    """What is in time fires, however long ago the last look was."""
    now = situation["now"]
    earlier = {**situation, "after": situation["after"] - seconds * SECOND}
    in_time = [
        {(slot.scheduled_at, slot.verdict) for slot in decide(**given_) if not slot.late}
        for given_ in (situation, earlier)
    ]
    assert {slot for slot in in_time[1] if slot[0] > situation["after"]} == in_time[0]
    assert all(slot[0] <= now for slot in in_time[1])


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0", timedelta()),
        ("45s", timedelta(seconds=45)),
        ("30m", timedelta(minutes=30)),
        ("1h", timedelta(hours=1)),
        ("2d", timedelta(days=2)),
        ("999999d", timedelta(days=999_999)),
    ],
)
def test_a_window_is_a_length(text: str, length: timedelta) -> None:
    """Seconds, minutes, hours, days, or none."""
    assert window(text) == length


@pytest.mark.parametrize("text", ["", "1", "h", "1.5h", "-1h", "1 h", "1h30m", "1w", "1h\n", "٣h", "1000000s"])
def test_what_is_no_length_is_refused(text: str) -> None:
    """The error shows how a length is written."""
    with pytest.raises(ValueError, match='must be a duration like "30m"'):
        window(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (61, "1 min 1 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (3659, "1 h"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
        (2_591_999, "29 d 23 h"),
    ],
)
def test_a_length_is_said_in_its_two_greatest_units(seconds: int, text: str) -> None:
    """What is smaller is left out."""
    assert said(timedelta(seconds=seconds)) == text
