"""Which schedules are watched, up to where, and what of that is recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from nomaflow.definitions.job import Job
from nomaflow.engine.change import ScheduleRow, SkipRow
from nomaflow.engine.timetable import Timetable

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
STEP = {"name": "s", "type": "python", "callable": "a:b"}


def job(*schedules: dict[str, Any], enabled: bool = True, job_id: str = "a") -> Job:
    return Job.model_validate({"id": job_id, "enabled": enabled, "schedules": list(schedules), "steps": [STEP]})


def hourly(name: str = "default", **more: Any) -> dict[str, Any]:
    return {"name": name, "cron": "0 * * * *", **more}


def stored(number: int, rule: str, cursor: datetime, name: str = "default", job_id: str = "a") -> ScheduleRow:
    return ScheduleRow(number, job_id, name, rule, cursor)


def test_a_new_schedule_counts_from_now() -> None:
    """It gets a number that none had before, and a row."""
    timetable = Timetable([], 7, [])
    change = timetable.sync(job(hourly()), "UTC", NOW)
    assert change.schedules == [stored(8, "0 * * * * UTC on", NOW)]
    assert timetable.next_at() == NOW + HOUR


def test_a_schedule_goes_on_where_an_earlier_engine_was() -> None:
    """The same rule keeps its cursor, so what is behind it is due; nothing needs to be recorded."""
    timetable = Timetable([stored(3, "0 * * * * UTC on", NOW - 3 * HOUR)], 3, [])
    assert timetable.sync(job(hourly()), "UTC", NOW).is_empty()
    (due,) = timetable.due(NOW)
    assert due.next_at == NOW - 2 * HOUR


def test_another_rule_zone_or_switch_counts_from_now() -> None:
    """Whatever of them is changed; the number stays."""
    before = stored(3, "0 * * * * UTC on", NOW - 3 * HOUR)
    for changed, zone, rule in (
        (job(hourly() | {"cron": "5 * * * *"}), "UTC", "5 * * * * UTC on"),
        (job(hourly()), "Europe/Paris", "0 * * * * Europe/Paris on"),
        (job(hourly(), enabled=False), "UTC", "0 * * * * UTC off"),
        (job(hourly(enabled=False)), "UTC", "0 * * * * UTC off"),
    ):
        change = Timetable([before], 3, []).sync(changed, zone, NOW)
        assert change.cursors == [stored(3, rule, NOW)]


def test_a_clock_that_was_set_back_takes_no_cursor_with_it() -> None:
    """What has its slot by another rule gets no second one when the clock passes it once more."""
    timetable = Timetable([stored(3, "0 * * * * UTC on", NOW + 3 * HOUR)], 3, [])
    timetable.sync(job(hourly(), enabled=False), "UTC", NOW)
    change = timetable.sync(job(hourly()), "UTC", NOW)
    assert change.cursors == [stored(3, "0 * * * * UTC on", NOW + 3 * HOUR)]
    assert timetable.next_at() == NOW + 4 * HOUR


def test_a_job_or_schedule_that_is_off_is_not_due() -> None:
    """It is watched all the same, and has no next fire."""
    timetable = Timetable([], 0, [])
    timetable.sync(job(hourly("x", enabled=False), hourly("y")), "UTC", NOW)
    timetable.sync(job(hourly(), enabled=False, job_id="b"), "UTC", NOW)
    assert timetable.next_fires("a") == {"x": None, "y": NOW + HOUR}
    assert timetable.next_fires("b") == {"default": None}
    assert [each.place for each in timetable.due(NOW + 5 * HOUR)] == [("a", "y")]


def test_a_schedule_that_is_gone_is_forgotten_with_its_skips() -> None:
    """The others of the job stay; with the job all of them go."""
    skip = SkipRow("a", "x", NOW + HOUR, "user:ana", NOW)
    timetable = Timetable([], 0, [skip])
    timetable.sync(job(hourly("x"), hourly("y")), "UTC", NOW)
    change = timetable.sync(job(hourly("y")), "UTC", NOW)
    assert (change.gone_schedules, change.used_skips) == ([1], [skip])
    assert timetable.forget("a").gone_schedules == [2]
    assert timetable.job_ids() == set()


def test_what_was_not_recorded_is_taken_back() -> None:
    """The slots are due again, unless the schedule has been changed meanwhile."""
    timetable = Timetable([], 0, [])
    timetable.sync(job(hourly()), "UTC", NOW)
    later = NOW + 2 * HOUR
    (due,) = timetable.due(later)
    timetable.advance(due, later)
    assert timetable.due(later) == []
    timetable.go_back(due, later)
    assert timetable.due(later) == [due]
    timetable.advance(due, later)
    timetable.sync(job(hourly() | {"cron": "30 * * * *"}), "UTC", later)
    timetable.go_back(due, later)
    assert timetable.due(later) == []


def test_a_fire_to_be_left_out_is_not_the_next_one() -> None:
    """The next fire is the first one that is to happen."""
    timetable = Timetable([], 0, [SkipRow("a", "default", NOW + HOUR, "user:ana", NOW)])
    timetable.sync(job(hourly()), "UTC", NOW)
    assert timetable.next_fires("a") == {"default": NOW + 2 * HOUR}
    assert timetable.unskip(("a", "default"), [NOW + HOUR, NOW + 2 * HOUR]) != []
    assert timetable.next_fires("a") == {"default": NOW + HOUR}


def test_how_many_fires_are_coming() -> None:
    """Each schedule with a next fire in that time counts once."""
    timetable = Timetable([], 0, [])
    for job_id in "abc":
        timetable.sync(job(hourly(), job_id=job_id), "UTC", NOW)
    timetable.sync(job({"cron": "30 * * * *"}, job_id="d"), "UTC", NOW)
    assert timetable.due_soon(NOW, NOW + timedelta(minutes=30)) == ["d"]
    assert sorted(timetable.due_soon(NOW, NOW + HOUR)) == ["a", "b", "c", "d"]
