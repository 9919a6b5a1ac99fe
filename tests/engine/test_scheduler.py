"""Schedules on a virtual clock: every nominal fire has one slot, whatever happens."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import trio
import trio.testing

from nomaflow.errors import InvalidError
from nomaflow.wire import RunState, SlotChoice, Toggle
from tests.engine.clockwork import ANA, WallClock, clockwork, job, step

Clock = trio.testing.MockClock


async def test_a_schedule_fires_at_its_times(autojump_clock: Clock, tmp_path: Path) -> None:
    """Each fire is one slot and one run, which says which schedule and which nominal time it is of."""
    async with clockwork(tmp_path, {"a": job("ok", "*/20 * * * *")}) as here:
        await here.until(here.at("3:01"))
        runs = here.all_runs()
        assert here.told() == [(f"{time}:00", "FIRED", None) for time in ("02:20", "02:40", "03:00")]
        assert [slot.run_id for slot in here.slots()] == [run.id for run in runs]
    assert [(run.triggered_by, run.schedule, run.late_seconds) for run in runs] == [("cron", "default", 0.0)] * 3
    assert runs[0].scheduled_at == here.at("2:20")


async def test_two_schedules_of_a_job_at_the_same_time(autojump_clock: Clock, tmp_path: Path) -> None:
    """Both have their slot; one run at a time, so the later one is skipped, and says because of which run."""
    two = '[[schedules]]\nname = "x"\ncron = "0 3 * * *"\n[[schedules]]\nname = "y"\ncron = "0 3 * * *"\n'
    async with clockwork(tmp_path, {"a": two + step("slow5")}) as here:
        await here.until(here.at("3:01"))
        (run,) = here.all_runs()
        assert run.triggered_by == "cron:x"
        assert here.told() == [("03:00:00", "FIRED", None), ("03:00:00", "SKIPPED", f"{run.id} is in flight")]


async def test_a_schedule_brings_its_own_values(autojump_clock: Clock, tmp_path: Path) -> None:
    """Its params, its steps and its log level, over the job's."""
    preset = 'log_level = "DEBUG"\nparams = { n = 2 }\nsteps = { t = { enabled = false } }'
    text = f'[[schedules]]\ncron = "0 3 * * *"\n{preset}\n[params]\nn = 1\n{step("ok")}{step("ok", "t")}'
    async with clockwork(tmp_path, {"a": text}) as here:
        await here.until(here.at("3:01"))
        run = here.stored(here.all_runs()[0].id)
    assert (run.log_level, run.plan.steps[0].kwargs["n"].value, run.plan.steps[0].kwargs["n"].origin) == (
        "DEBUG",
        2,
        "schedule",
    )
    assert [each.state for each in run.steps] == ["SUCCEEDED", "CANCELED"]


async def test_an_engine_that_was_away_catches_up_the_newest(autojump_clock: Clock, tmp_path: Path) -> None:
    """`misfire = latest`: the newest fire within its window, the older ones go into it; each has its row."""
    async with clockwork(tmp_path, {"a": job("ok", "*/20 * * * *")}) as here:
        await here.until(here.at("2:21"))
    async with clockwork(tmp_path, clock=WallClock(timedelta(hours=1))) as here:
        await trio.sleep(1)
        (first, *_, last) = here.slots()
        assert [slot.state for slot in here.slots()] == ["FIRED", "COALESCED", "COALESCED", "FIRED"]
        assert (last.scheduled_at, here.slots()[1].into_at) == (here.at("3:20"), here.at("3:20"))
        assert here.slots()[1].run_id == last.run_id != first.run_id


async def test_what_is_older_than_the_window_is_missed(autojump_clock: Clock, tmp_path: Path) -> None:
    """With a reason, and nothing runs."""
    async with clockwork(tmp_path, {"a": job("ok", "0 3 * * *")}) as here:
        await here.until(here.at("2:10"))
    async with clockwork(tmp_path, clock=WallClock(timedelta(hours=9))) as here:
        await trio.sleep(1)
        ((_, state, reason),) = here.told()
        assert (state, here.all_runs()) == ("MISSED", [])
        assert reason
        assert "catchup_window of 1h" in reason


async def test_all_that_was_missed_runs_in_order(autojump_clock: Clock, tmp_path: Path) -> None:
    """`misfire = all`: one after another, though the job allows one run at a time."""
    text = job("slow300", "*/20 * * * *", schedule='misfire = "all"\ncatchup_window = "2h"')
    async with clockwork(tmp_path, {"a": text}) as here:
        await here.until(here.at("2:01"))
    async with clockwork(tmp_path, clock=WallClock(timedelta(minutes=65))) as here:
        await trio.sleep(1)
        assert [slot.state for slot in here.slots()] == ["FIRED"] * 3
        waiting = here.runner.active_of("a")[1]
        first = here.runner.active_of("a")[0].run.id
        assert waiting.wait_reason == f"waits for the end of {first}, the run of this job before it"
        await here.until(here.at("3:19"))
        runs = here.all_runs()
        assert [run.state for run in runs] == ["RUNNING", "QUEUED", "QUEUED"] or [run.state for run in runs] == [
            "SUCCEEDED",
            "SUCCEEDED",
            "RUNNING",
        ]
        assert [run.scheduled_at for run in runs] == [here.at("2:20"), here.at("2:40"), here.at("3:00")]


async def test_switching_on_never_fires_for_the_past(autojump_clock: Clock, tmp_path: Path) -> None:
    """A job that is off has no slots, and none for that time when it is on again."""
    async with clockwork(tmp_path, {"a": job("ok", "*/10 * * * *")}) as here:
        await here.jobs.set_enabled("a", Toggle(enabled=False), ANA)
        await here.until(here.at("2:35"))
        await here.jobs.set_enabled("a", Toggle(enabled=True), ANA)
        await here.until(here.at("2:41"))
        assert here.told() == [("02:40:00", "FIRED", None)]


async def test_a_job_that_was_switched_on_while_no_engine_ran(autojump_clock: Clock, tmp_path: Path) -> None:
    """It counts from the start of the engine that finds it on."""
    async with clockwork(tmp_path, {"a": job("ok", "*/10 * * * *", more="enabled = false")}) as here:
        await here.until(here.at("2:05"))
    edited = {"a": job("ok", "*/10 * * * *")}
    async with clockwork(tmp_path, edited, clock=WallClock(timedelta(minutes=30))) as here:
        await here.until(here.at("2:41"))
        assert here.told() == [("02:40:00", "FIRED", None)]


async def test_another_rule_counts_from_now(autojump_clock: Clock, tmp_path: Path) -> None:
    """An edit by hand is seen at the latest when the old rule is due: of the two only the new one goes on."""
    async with clockwork(tmp_path, {"a": job("ok", "0 3 * * *")}) as here:
        await here.until(here.at("2:59"))
        here.write("a", job("ok", "30 2,3 * * *"))
        await here.until(here.at("3:31"))
        assert here.told() == [("03:30:00", "FIRED", None)]


async def test_a_pause_ends_by_itself(autojump_clock: Clock, tmp_path: Path) -> None:
    """With `until` the job is on again then, in its file too, and its card says until when it is off."""
    async with clockwork(tmp_path, {"a": job("ok", "*/10 * * * *")}) as here:
        until = here.at("2:25")
        card = await here.jobs.set_enabled("a", Toggle(enabled=False, reason="disk swap", until=until), ANA)
        assert card.pause is not None
        assert (card.pause.until, card.pause.by, card.enabled) == (until, "user:ana", False)
        assert here.jobs.why("a").why == (
            "it is disabled by user:ana until 2026-03-01 02:25 UTC: disk swap; it can still be run by hand"
        )
        await here.until(here.at("2:31"))
        assert here.told() == [("02:30:00", "FIRED", None)]
        assert here.jobs.card("a").enabled
        assert here.store.pauses() == []
    assert "enabled = false" not in (tmp_path / "jobs" / "a.toml").read_text()


async def test_a_pause_that_ended_while_no_engine_ran(autojump_clock: Clock, tmp_path: Path) -> None:
    """It is ended by the next engine, which fires from then on."""
    async with clockwork(tmp_path, {"a": job("ok", "*/10 * * * *")}) as here:
        await here.jobs.set_enabled("a", Toggle(enabled=False, until=here.at("2:25")), ANA)
    async with clockwork(tmp_path, clock=WallClock(timedelta(minutes=45))) as here:
        await here.until(here.at("2:51"))
        assert here.told() == [("02:50:00", "FIRED", None)]


@pytest.mark.parametrize("toggle", [{"enabled": False, "until": "2020-01-01T00:00:00Z"}, {"enabled": True}])
async def test_a_pause_needs_an_end_to_come(toggle: dict[str, object], autojump_clock: Clock, tmp_path: Path) -> None:
    """An end in the past, or of a job that is switched on, is refused."""
    async with clockwork(tmp_path, {"a": job("ok")}) as here:
        toggle = {"until": here.at("5:00"), **toggle}
        with pytest.raises(InvalidError, match=r"^until (lies in the past|belongs to a switch-off)$"):
            await here.jobs.set_enabled("a", Toggle.model_validate(toggle), ANA)


async def test_one_fire_is_left_out(autojump_clock: Clock, tmp_path: Path) -> None:
    """It has its slot, which says who wanted that; the ones after it fire. The choice outlives the engine."""
    async with clockwork(tmp_path, {"a": job("ok", "*/10 * * * *")}) as here:
        choice = SlotChoice(scheduled_at=here.at("2:20"))
        slot = await here.schedules.skip("a", choice, ANA)
        assert (slot.state, slot.reason) == ("DUE", "left out as user:ana asked")
        await here.schedules.skip("a", SlotChoice(scheduled_at=here.at("2:30")), ANA)
        await here.schedules.unskip("a", SlotChoice(scheduled_at=here.at("2:30")), ANA)
        assert here.jobs.card("a").next_fire_at == here.at("2:10")
    async with clockwork(tmp_path) as here:
        await here.until(here.at("2:31"))
        assert here.told() == [
            ("02:10:00", "FIRED", None),
            ("02:20:00", "SKIPPED", "skipped by user:ana"),
            ("02:30:00", "FIRED", None),
        ]
        assert here.store.skips() == []


async def test_only_a_fire_to_come_can_be_left_out(autojump_clock: Clock, tmp_path: Path) -> None:
    """A time at which nothing fires is refused with the next one that does."""
    async with clockwork(tmp_path, {"a": job("ok", "*/10 * * * *")}) as here:
        with pytest.raises(InvalidError, match="no fire to come at 2026-03-01 02:15; the next is 2026-03-01 02:10 UTC"):
            await here.schedules.skip("a", SlotChoice(scheduled_at=here.at("2:15")), ANA)


async def test_a_bad_file_does_not_fire_and_says_so(autojump_clock: Clock, tmp_path: Path) -> None:
    """Its schedule is that of the last good version, and each fire has a slot with the problem."""
    async with clockwork(tmp_path, {"a": job("ok", "*/10 * * * *"), "b": job("ok", "*/10 * * * *")}) as here:
        here.write("a", "steps = 1\n")
        await here.until(here.at("2:11"))
        a, b = here.slots()
        assert (a.state, b.state) == ("SKIPPED", "FIRED")
        assert a.reason
        assert a.reason.startswith("its file has a problem: jobs/a.toml")


async def test_a_deleted_job_fires_no_more(autojump_clock: Clock, tmp_path: Path) -> None:
    """Also when somebody took the file away by hand."""
    async with clockwork(tmp_path, {"a": job("ok", "*/10 * * * *")}) as here:
        await here.until(here.at("2:11"))
        (tmp_path / "jobs" / "a.toml").unlink()
        await here.until(here.at("3:00"))
        assert len(here.slots()) == 1
        assert here.store.schedules() == []


async def test_a_store_that_takes_nothing_holds_the_fires(autojump_clock: Clock, tmp_path: Path) -> None:
    """Nothing runs that cannot be recorded; the slots are decided when it is well again, as late as they are then."""
    async with clockwork(tmp_path, {"a": job("ok", "*/10 * * * *")}) as here:
        await here.until(here.at("2:09"))
        here.commit_fails = True
        await here.until(here.at("2:10:30"))
        assert here.workers.all == []
        here.commit_fails = False
        await here.until(here.at("2:11"))
        assert here.told() == [("02:10:00", "FIRED", None)]
        assert len(here.all_runs()) == 1


async def test_a_clock_that_goes_back_fires_nothing_twice(autojump_clock: Clock, tmp_path: Path) -> None:
    """The cursor stays, and the next fire is the first one behind it."""
    async with clockwork(tmp_path, {"a": job("ok", "*/10 * * * *")}) as here:
        await here.until(here.at("2:31"))
        here.clock.ahead -= timedelta(minutes=25)
        await here.until(here.at("2:41"))
        assert [time for time, _, _ in here.told()] == ["02:10:00", "02:20:00", "02:30:00", "02:40:00"]


async def test_a_clock_far_behind_holds_everything(autojump_clock: Clock, tmp_path: Path) -> None:
    """More than a day before what is on record it is taken for broken, and the job says so."""
    async with clockwork(tmp_path, {"a": job("ok", "*/10 * * * *")}) as here:
        await here.until(here.at("2:11"))
    async with clockwork(tmp_path, clock=WallClock(timedelta(days=-30))) as here:
        await trio.sleep(3600)
        assert len(here.slots()) == 1
        assert "set the clock right" in here.jobs.why("a").why
        here.clock.ahead = timedelta(minutes=-60)
        await here.until(here.at("2:31"))
        assert [time for time, _, _ in here.told()] == ["02:10:00", "02:20:00", "02:30:00"]


async def test_a_clock_that_jumps_ahead_is_as_an_engine_that_was_away(autojump_clock: Clock, tmp_path: Path) -> None:
    """Every fire that was jumped over has its slot."""
    async with clockwork(tmp_path, {"a": job("ok", "0 * * * *")}) as here:
        await here.until(here.at("2:30"))
        here.clock.ahead += timedelta(hours=5)
        await trio.sleep(60)
        assert [state for _, state, _ in here.told()] == ["COALESCED", "COALESCED", "COALESCED", "COALESCED", "FIRED"]


async def test_cancel_running_makes_room(autojump_clock: Clock, tmp_path: Path) -> None:
    """The run in flight is canceled by the fire, which begins when that one is proved gone."""
    async with clockwork(tmp_path, {"a": job("slow3000", "*/30 * * * *", more='overlap = "cancel_running"')}) as here:
        await here.until(here.at("3:01"))
        first, second = here.all_runs()
        assert (first.state, first.reason) == (RunState.CANCELED, f"canceled to make room for {second.id}")
        assert first.finished_at is not None
        assert second.started_at is not None
        assert first.finished_at <= second.started_at


async def test_queue_one_keeps_the_newest_fire(autojump_clock: Clock, tmp_path: Path) -> None:
    """While a run goes, one fire waits; a newer one takes its place, and both slots say what became of them."""
    async with clockwork(tmp_path, {"a": job("slow3000", "*/20 * * * *", more='overlap = "queue_one"')}) as here:
        await here.until(here.at("3:01"))
        going, replaced, waiting = here.all_runs()
        assert (going.state, replaced.state, waiting.state) == ("RUNNING", "CANCELED", "QUEUED")
        assert replaced.reason == f"replaced by {waiting.id}"
        assert [state for _, state, _ in here.told()] == ["FIRED", "FIRED", "FIRED"]


async def test_a_pause_that_cannot_end_yet_ends_later(autojump_clock: Clock, tmp_path: Path) -> None:
    """While the job's file has a problem it cannot be switched on; when that is mended, it is, and never forgotten."""
    text = job("ok", "*/10 * * * *")
    async with clockwork(tmp_path, {"a": text}) as here:
        await here.jobs.set_enabled("a", Toggle(enabled=False, until=here.at("2:05")), ANA)
        off = (tmp_path / "jobs" / "a.toml").read_text()
        here.write("a", off + "broken = \n")
        await here.until(here.at("2:21"))
        assert here.slots() == []
        here.write("a", off)
        await here.until(here.at("2:31"))
        assert [time for time, _, _ in here.told()] == ["02:30:00"]
        assert here.store.pauses() == []
