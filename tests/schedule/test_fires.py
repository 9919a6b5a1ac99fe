"""When a rule fires: by first principles, the same asked in any way, and bounded."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.schedule.cron import Cron, compiled
from tests.schedule.rules import CHANGES, by_first_principles, is_star, rule

NOW = datetime(2026, 5, 17, 11, 23, 45, tzinfo=UTC)
SECOND = timedelta(seconds=1)

changes = st.sampled_from(CHANGES)


@st.composite
def windows(draw: st.DrawFn, hours: int) -> tuple[str, datetime, datetime]:
    """A zone and a time that lies around a change of its clocks, to the second."""
    zone, change = draw(changes)
    ends = [change + draw(st.integers(-hours * 3600, hours * 3600)) * SECOND for _ in range(2)]
    return zone, min(ends), max(ends)


@given(rule(), changes)
def test_it_fires_as_the_fields_say(text: str, changed: tuple[str, datetime]) -> None:
    """Around a change of the clocks a rule fires when its fields, read minute by minute, say so."""
    zone, change = changed
    change -= timedelta(seconds=change.second)
    after, until = change - timedelta(hours=27), change + timedelta(hours=27)
    assert list(compiled(text, zone).fires(after, until)) == by_first_principles(text, zone, after, until)


@given(rule(with_seconds=True), changes)
def test_seconds_are_those_of_the_minutes_that_fire(text: str, changed: tuple[str, datetime]) -> None:
    """A rule with seconds fires at these seconds of each minute at which the rule without them fires."""
    zone, change = changed
    if change.second:
        return  # there a minute of the wall is none of UTC
    *fields, _ = text.split(" ")
    after, until = change - timedelta(hours=3), change + timedelta(hours=3)
    minutes = compiled(" ".join(fields), zone).fires(after - timedelta(minutes=1), until)
    seconds = compiled(text, zone).wall.seconds
    expected = [minute + second * SECOND for minute in minutes for second in seconds]
    assert list(compiled(text, zone).fires(after, until)) == [fire for fire in expected if after < fire <= until]


@given(rule(with_seconds=None), windows(hours=6) | windows(hours=60), st.data())
def test_all_ways_to_ask_agree(text: str, window: tuple[str, datetime, datetime], data: st.DataObject) -> None:
    """Fires only rise; a restart from any of them, count, next, newest and `in` tell of the same ones."""
    zone, after, until = window
    cron = compiled(text, zone)
    fires = list(islice(cron.fires(after, until), 3000))
    if len(fires) == 3000:
        until = fires[-1]
    assert all(earlier < later for earlier, later in pairwise([after, *fires]))
    assert not fires or fires[-1] <= until
    assert cron.count(after, until) == len(fires)
    assert cron.newest(len(fires) + 5, after, until) == fires
    tail = data.draw(st.integers(0, len(fires)))
    assert cron.newest(tail, after, until) == fires[len(fires) - tail :]
    start = data.draw(st.sampled_from([after, *fires]))
    assert list(cron.fires(start, until)) == [fire for fire in fires if fire > start]
    following = cron.next(start)
    assert following is not None
    assert following == next((fire for fire in fires if fire > start), following)
    assert following in cron
    moment = data.draw(st.sampled_from([after, until, *fires]))
    assert (moment in cron) == (moment in fires or (moment == after and cron.count(after - SECOND, after) == 1))


@given(rule(with_seconds=None), changes)
def test_the_year_is_the_sum_of_its_parts(text: str, changed: tuple[str, datetime]) -> None:
    """Counted over a year or month by month: the same."""
    zone, change = changed
    cron = compiled(text, zone)
    ends = [change + timedelta(days=days) for days in range(-180, 181, 30)]
    assert cron.count(ends[0], ends[-1]) == sum(cron.count(*part) for part in pairwise(ends))


@given(rule(with_seconds=None), windows(hours=48))
def test_a_day_has_no_more_fires_than_it_says(text: str, window: tuple[str, datetime, datetime]) -> None:
    """No day of the zone has more than `most_per_day`, and a day without a change no more than `per_day`."""
    zone, _, instant = window
    cron = compiled(text, zone)
    day = (instant.astimezone(cron.zone.info).date() - date(1970, 1, 1)).days
    begins, ends = cron.zone.day_begins(day), cron.zone.day_begins(day + 1)
    count = cron.count(*(datetime.fromtimestamp(end - 1, UTC) for end in (begins, ends)))
    assert count <= cron.most_per_day
    if not cron.zone.changes(begins, ends):
        assert count in (0, cron.per_day)


NEXT = {
    ("*/15 * * * *", "Europe/Paris"): "2026-05-17T11:30:00Z",
    ("30 2 * * *", "Europe/Paris"): "2026-05-18T00:30:00Z",
    ("* * * * * *", "Europe/Paris"): "2026-05-17T11:23:46Z",
    ("@yearly", "UTC"): "2027-01-01T00:00:00Z",
    ("0 0 29 2 *", "UTC"): "2028-02-29T00:00:00Z",
    ("0 0 * * MON#2", "UTC"): "2026-06-08T00:00:00Z",
    ("0 0 * * mon#1,L5", "UTC"): "2026-05-29T00:00:00Z",
    ("0 0 * * L7", "UTC"): "2026-05-31T00:00:00Z",
    ("0 0 * * sun-sat#1", "UTC"): "2026-06-01T00:00:00Z",
    ("0 0 * 2 1#5", "UTC"): "2044-02-29T00:00:00Z",
    ("0 0 L 2 *", "UTC"): "2027-02-28T00:00:00Z",
    ("0 0 1,L * *", "UTC"): "2026-05-31T00:00:00Z",
    ("0 0 13 * fri", "UTC"): "2026-05-22T00:00:00Z",
    ("0 0 1 * *", "Asia/Kolkata"): "2026-05-31T18:30:00Z",
    ("0 0 1 1 *", "Pacific/Kiritimati"): "2026-12-31T10:00:00Z",
}


@pytest.mark.parametrize(("rule_", "fire"), NEXT.items())
def test_the_next_fire(rule_: tuple[str, str], fire: str) -> None:
    """The next fire after 17 May 2026, 11:23:45 UTC, be it in a second or in 18 years."""
    assert compiled(*rule_).next(NOW) == datetime.fromisoformat(fire)


def test_nothing_within_fifty_years_is_nothing() -> None:
    """Where the calendar ends no fire comes."""
    cron = compiled("0 0 29 2 *", "UTC")
    assert cron.next(datetime(9899, 3, 1, tzinfo=UTC)) is None
    assert cron.next(datetime(9999, 12, 31, tzinfo=UTC)) is None
    assert list(cron.fires(datetime(1, 1, 1, tzinfo=UTC), datetime(1904, 3, 1, tzinfo=UTC))) == [
        datetime(1904, 2, 29, tzinfo=UTC)
    ]


def test_parts_of_a_second_do_not_count() -> None:
    """A fire comes at a whole second: after a part of one it is the next, and it is reached by the second itself."""
    cron = compiled("* * * * * *", "UTC")
    half = timedelta(microseconds=500_000)
    assert cron.next(NOW + half) == NOW + SECOND
    assert list(cron.fires(NOW - half, NOW + half)) == [NOW]
    assert NOW in cron
    assert NOW + half not in cron


def test_an_instant_counts_in_any_zone() -> None:
    """An aware instant of any zone asks the same question, and the answer is in UTC."""
    cron = compiled("30 2 * * *", "Europe/Paris")
    fire = cron.next(NOW.astimezone(cron.zone.info))
    assert fire == cron.next(NOW)
    assert fire is not None
    assert fire.tzinfo is UTC


def test_a_rule_is_compiled_once() -> None:
    """The same text and zone give the same object, so that hundreds of schedules cost little."""
    assert compiled("30 2 * * *", "Europe/Paris") is compiled("30 2 * * *", "Europe/Paris")
    assert compiled("30 2 * * *", "Europe/Paris").zone is compiled("31 2 * * *", "Europe/Paris").zone


@pytest.mark.parametrize(
    ("text", "zone", "message"),
    [
        ("0 0 31 2 *", "UTC", "never fires"),
        ("R R * * *", "UTC", "draws no lots"),
        ("0 0 * * *", "Mars/Base", "unknown time zone"),
        ("0 0 * * *", "../../etc/passwd", "unknown time zone"),
    ],
)
def test_what_is_refused_says_why(text: str, zone: str, message: str) -> None:
    """An expression or zone that a job may not have is refused here with the same sentence."""
    with pytest.raises(ValueError, match=message):
        compiled(text, zone)


EACH_SECOND = compiled("* * * * * *", "Europe/Paris")
CENTURY = NOW + timedelta(days=36_525)


@pytest.mark.limit(5)
def test_a_century_of_seconds_is_counted_without_a_walk() -> None:
    """What fires three milliards of times is counted, and its newest fires are found, in no time."""
    assert EACH_SECOND.count(NOW, CENTURY) == 36_525 * 86_400
    assert EACH_SECOND.newest(2, NOW, CENTURY) == [CENTURY - SECOND, CENTURY]
    assert EACH_SECOND.next(CENTURY) == CENTURY + SECOND


@pytest.mark.limit(5)
def test_fires_are_worked_out_when_they_are_asked_for() -> None:
    """The first fires of a century cost what they cost."""
    assert list(islice(EACH_SECOND.fires(NOW, CENTURY), 3)) == [NOW + n * SECOND for n in (1, 2, 3)]


@pytest.mark.limit(5)
@pytest.mark.parametrize("text", ["0 0 29 2 *", "0 0 * 2 1#5", "59 23 31 12 * 59", "0 0 1 1 1-5/4"])
def test_rare_fires_are_found_by_months(text: str) -> None:
    """The fires of a century of a rule that fires once in years are found without a walk through its days."""
    cron = Cron(text, "Europe/Paris")
    fires = list(cron.fires(NOW, CENTURY))
    assert len(fires) == cron.count(NOW, CENTURY)
    assert cron.newest(2, NOW, CENTURY) == fires[-2:]


def test_stars_are_seen_where_a_field_begins() -> None:
    """`*` and `*/n` are a spacing, whatever follows; all the values one by one are times of day."""
    for text in ("* 2 * * *", "*/5 2 * * *", "0 */2 * * *", "*/5,7 2 * * *"):
        assert compiled(text, "UTC").wall.is_star
        assert is_star(text)
    for text in ("0-59 2 * * *", "7,*/5 2 * * *", "0 0-23 * * *", "0 2 * * * *", "0 2 */2 * *"):
        assert not compiled(text, "UTC").wall.is_star
