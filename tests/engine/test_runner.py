"""The runner on a virtual clock: every way that a run can end."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path

import pytest
import trio
import trio.testing

from nomaflow.definitions.settings import EngineSettings, Settings
from nomaflow.errors import NotReadyError
from nomaflow.wire import RunState, StepState
from tests.engine.world import job, world

Clock = trio.testing.MockClock


async def test_steps_run_in_order_and_the_run_succeeds(autojump_clock: Clock, tmp_path: Path) -> None:
    """Every step that returns is SUCCEEDED, and so is the run; its rows are the sum of the steps'."""
    async with world(tmp_path) as here:
        run = await here.ended(await here.launch(job("slow5", "ok")))
    assert (run.state, run.reason, run.rows_affected, run.step_summary) == (RunState.SUCCEEDED, None, 10, "2 / 2 ✓")
    first, second = run.steps
    assert first.finished_at is not None
    assert second.started_at is not None
    assert first.finished_at <= second.started_at
    assert run.finished_at == run.queued_at + timedelta(seconds=5)


async def test_every_transition_is_one_event_in_order(autojump_clock: Clock, tmp_path: Path) -> None:
    """QUEUED, RUNNING, the steps' transitions, the end: each once, numbered without a gap, as in the store."""
    async with world(tmp_path) as here:
        await here.ended(await here.launch(job("ok", "ok")))
        events = []
        here.feed.close()
        async for event in here.feed.follow(0):
            assert event is not None
            events.append((event.seq, event.kind, event.record.get("state")))
    states = ["QUEUED", "RUNNING", "RUNNING", "SUCCEEDED", "RUNNING", "SUCCEEDED", "SUCCEEDED"]
    kinds = ["run", "run", "step", "step", "step", "step", "run"]
    assert events == [(n, kind, state) for n, (kind, state) in enumerate(zip(kinds, states, strict=True), 1)]


async def test_an_unticked_step_is_canceled_and_the_rest_runs(autojump_clock: Clock, tmp_path: Path) -> None:
    """A step that is switched off for this run is CANCELED `skipped: disabled`. Seed: "Per-step enable toggle"."""
    async with world(tmp_path) as here:
        run = await here.ended(await here.launch(job("ok", "ok", "ok"), steps={"s1": {"enabled": False}}))
    assert [step.state for step in run.steps] == [StepState.SUCCEEDED, StepState.CANCELED, StepState.SUCCEEDED]
    assert run.steps[1].reason == "skipped: disabled"
    assert run.state is RunState.SUCCEEDED


async def test_a_failed_step_ends_the_run(autojump_clock: Clock, tmp_path: Path) -> None:
    """What a step raises is data of its row; the steps after it are CANCELED and never begin."""
    async with world(tmp_path) as here:
        run = await here.ended(await here.launch(job("ok", "fail", "ok")))
        assert len(here.workers.all[0].specs) == 2
    assert (run.state, run.reason) == (RunState.FAILED, "step s1 failed")
    assert run.steps[1].error is not None
    assert (run.steps[1].error.type, run.steps[1].error.message) == ("ValueError", "no luck")
    assert (run.steps[2].state, run.steps[2].reason) == (StepState.CANCELED, "an earlier step failed")


async def test_a_step_is_tried_again_after_its_wait(autojump_clock: Clock, tmp_path: Path) -> None:
    """`attempts` counts all tries; the wait is within a quarter of the formula, and every try is kept."""
    retry = {"attempts": 3, "backoff": "exponential", "base_seconds": 60}
    async with world(tmp_path) as here:
        run = await here.ended(await here.launch(job("fail2", retry=retry)))
    step = run.steps[0]
    assert (run.state, step.attempt) == (RunState.SUCCEEDED, 3)
    assert [attempt.error is not None for attempt in step.attempts] == [True, True, False]
    waits = [
        (attempt.retry_at - attempt.finished_at).total_seconds()
        for attempt in step.attempts
        if attempt.retry_at and attempt.finished_at
    ]
    assert 45 <= waits[0] <= 75
    assert 90 <= waits[1] <= 150


@pytest.mark.parametrize(("name", "tries"), [("ok", 1), ("fail1", 2)])
async def test_a_step_begins_and_ends_with_its_tries(
    autojump_clock: Clock, tmp_path: Path, name: str, tries: int
) -> None:
    """To the same instants, so that the one try of a step need not be stored beside it."""
    async with world(tmp_path) as here:
        run = await here.ended(await here.launch(job(name, retry={"attempts": 2})))
    step = run.steps[0]
    assert len(step.attempts) == tries
    assert (step.started_at, step.finished_at) == (step.attempts[0].started_at, step.attempts[-1].finished_at)


async def test_a_worker_that_dies_fails_its_step_and_no_other_run(autojump_clock: Clock, tmp_path: Path) -> None:
    """A crash of the process is an outcome of the step, with how it ended; other runs go on."""
    async with world(tmp_path) as here:
        crashed = await here.launch(job("die"))
        other = await here.launch(job("slow5", job_id="other"))
        run = await here.ended(crashed)
        assert (await here.ended(other)).state is RunState.SUCCEEDED
    assert run.steps[0].error is not None
    assert run.steps[0].error.message == "the worker process was ended by SIGSEGV"
    assert run.state is RunState.FAILED


async def test_a_step_past_its_timeout_fails(autojump_clock: Clock, tmp_path: Path) -> None:
    """A step is stopped after `timeout_seconds` and FAILED `timed out after N s`."""
    async with world(tmp_path) as here:
        run = await here.ended(await here.launch(job("slow", step_fields={"timeout_seconds": 30})))
    assert (run.state, run.steps[0].state, run.steps[0].reason) == (
        RunState.FAILED,
        StepState.FAILED,
        "timed out after 30 s",
    )
    assert run.finished_at == run.queued_at + timedelta(seconds=30)
    assert run.receipt is None


async def test_cancel_is_soft_first_and_leaves_a_receipt(autojump_clock: Clock, tmp_path: Path) -> None:
    """A step that honours the request ends at once; the group is killed all the same, and the receipt says so."""
    async with world(tmp_path) as here:
        active = await here.launch(job("slow", "ok"))
        await trio.sleep(3)
        await here.runner.stop(active, here.stop(reason="wrong tenant"))
        run = await here.ended(active)
        assert here.workers.all[0].killed
        assert here.workers.all[0].signals == []
    assert (run.state, run.reason) == (RunState.CANCELED, "wrong tenant")
    assert [step.state for step in run.steps] == [StepState.CANCELED, StepState.CANCELED]
    assert run.finished_at == run.queued_at + timedelta(seconds=3)
    assert run.receipt is not None
    assert [rung.rung for rung in run.receipt.rungs] == ["soft cancel"]
    assert run.receipt.requested_by == "user:ana"
    assert run.receipt.proof == "process 1000 is reaped and its group is empty"


async def test_a_stubborn_step_climbs_the_ladder(autojump_clock: Clock, tmp_path: Path) -> None:
    """Soft, SIGTERM after the grace of 10 s, SIGKILL 5 s later; CANCELED when that has worked."""
    async with world(tmp_path) as here:
        active = await here.launch(job("stone"))
        await trio.sleep(1)
        await here.runner.stop(active, here.stop())
        run = await here.ended(active)
        assert here.workers.all[0].signals == [signal.SIGTERM, signal.SIGKILL]
    assert run.state is RunState.CANCELED
    assert run.receipt is not None
    assert [rung.rung for rung in run.receipt.rungs] == ["soft cancel", "SIGTERM", "SIGKILL"]
    assert run.finished_at == run.queued_at + timedelta(seconds=16)


async def test_force_skips_the_grace_also_later(autojump_clock: Clock, tmp_path: Path) -> None:
    """A second request with force hurries the first one."""
    async with world(tmp_path) as here:
        active = await here.launch(job("stone"))
        await trio.sleep(1)
        await here.runner.stop(active, here.stop())
        await trio.sleep(2)
        await here.runner.stop(active, here.stop(force=True))
        run = await here.ended(active)
    assert run.finished_at == run.queued_at + timedelta(seconds=4)
    assert run.receipt is not None
    assert run.receipt.force


async def test_canceled_only_when_the_group_is_gone(autojump_clock: Clock, tmp_path: Path) -> None:
    """While a process of the group lives, the run stays CANCELING and says that it is stuck."""
    async with world(tmp_path) as here:
        here.workers.survivors = [[77], [77], [77]]
        active = await here.launch(job("slow"))
        await trio.sleep(1)
        await here.runner.stop(active, here.stop())
        await trio.sleep(1.5)
        assert active.run.state is RunState.CANCELING
        assert active.run.wait_reason == "stuck: process 77 of the step cannot be killed"
        assert here.stored(active).state is RunState.CANCELING
        run = await here.ended(active)
    assert run.state is RunState.CANCELED
    assert run.receipt is not None
    assert run.receipt.survivors == []


async def test_a_step_that_ends_well_while_canceling_keeps_its_end(autojump_clock: Clock, tmp_path: Path) -> None:
    """The step is SUCCEEDED and the run CANCELED all the same."""
    async with world(tmp_path) as here:
        active = await here.launch(job("deaf3", "ok"))
        await trio.sleep(1)
        await here.runner.stop(active, here.stop())
        run = await here.ended(active)
    assert (run.state, run.steps[0].state, run.steps[1].state) == (
        RunState.CANCELED,
        StepState.SUCCEEDED,
        StepState.CANCELED,
    )


async def test_a_canceled_run_is_never_tried_again(autojump_clock: Clock, tmp_path: Path) -> None:
    """Neither a cancel in a step nor one in the wait between two tries is followed by another try."""
    retry = {"attempts": 5, "base_seconds": 60}
    async with world(tmp_path) as here:
        in_step = await here.launch(job("slow", retry=retry))
        in_wait = await here.launch(job("fail", retry=retry, job_id="other"))
        await trio.sleep(5)
        for active in (in_step, in_wait):
            await here.runner.stop(active, here.stop())
        runs = [await here.ended(active) for active in (in_step, in_wait)]
    assert [run.state for run in runs] == [RunState.CANCELED, RunState.CANCELED]
    assert [run.steps[0].attempt for run in runs] == [1, 1]


async def test_a_run_over_the_limit_waits_and_says_why(autojump_clock: Clock, tmp_path: Path) -> None:
    """At most `max_parallel_runs` run; the next one is QUEUED with a reason and starts when one ends."""
    async with world(tmp_path, max_parallel_runs=1) as here:
        first = await here.launch(job("slow10"))
        second = await here.launch(job("ok", job_id="second"))
        await trio.sleep(5)
        assert second.run.state is RunState.QUEUED
        assert second.wait_reason == "waits for a free worker: all 1 of max_parallel_runs are busy"
        runs = [await here.ended(active) for active in (first, second)]
    assert runs[1].started_at == runs[0].finished_at


async def test_a_queued_run_can_be_canceled(autojump_clock: Clock, tmp_path: Path) -> None:
    """It never begins, and takes no worker."""
    async with world(tmp_path, max_parallel_runs=1) as here:
        first = await here.launch(job("slow10"))
        second = await here.launch(job("ok", job_id="second"))
        await trio.sleep(1)
        await here.runner.stop(second, here.stop())
        run = await here.ended(second)
        await here.ended(first)
        assert len(here.workers.all) == 1
    assert (run.state, run.started_at, run.steps[0].state) == (RunState.CANCELED, None, StepState.CANCELED)


async def test_a_drain_lets_runs_end_and_stops_the_rest(autojump_clock: Clock, tmp_path: Path) -> None:
    """A run that ends within the drain is SUCCEEDED; the others are FAILED `interrupted: engine stopped`."""
    async with world(tmp_path) as here:
        quick = await here.launch(job("slow5"))
        long = await here.launch(job("slow", job_id="long"))
        await trio.sleep(1)
        await here.runner.drain(30, trio.Event())
        runs = [await here.ended(active) for active in (quick, long)]
    assert [(run.state, run.reason) for run in runs] == [
        (RunState.SUCCEEDED, None),
        (RunState.FAILED, "interrupted: engine stopped"),
    ]
    assert runs[1].finished_at == runs[1].queued_at + timedelta(seconds=31)


async def test_a_drain_waits_until_every_run_has_ended(autojump_clock: Clock, tmp_path: Path) -> None:
    """When `drain` returns, no run is in flight, the stubborn ones too."""
    async with world(tmp_path) as here:
        active = await here.launch(job("stone"))
        await trio.sleep(1)
        await here.runner.drain(0, trio.Event())
        assert active.ended.is_set()
        assert here.runner.all_active() == []


async def test_an_ended_step_has_its_whole_log(autojump_clock: Clock, tmp_path: Path) -> None:
    """The lines of a step are stored no later than its end."""
    async with world(tmp_path) as here:
        active = await here.launch(job("lines", "slow5"))
        await trio.sleep(1)
        texts = here.log_of(active)
        assert [text for text in texts if text.startswith("line")] == ["line 0", "line 1", "line 2"]
        await here.ended(active)


async def test_an_unknown_reference_fails_the_step_with_a_sentence(autojump_clock: Clock, tmp_path: Path) -> None:
    """What an option refers to and is not there ends the step, before a worker sees it."""
    steps = [{"name": "s0", "type": "shell", "argv": ["echo", "${env:NOT_SET}"]}]
    async with world(tmp_path) as here:
        run = await here.ended(await here.launch(job("ok").model_validate({"id": "job", "steps": steps})))
    assert run.steps[0].error is not None
    assert run.steps[0].error.message == "${env:NOT_SET}: the environment of the engine has no variable 'NOT_SET'"


async def test_a_fault_of_the_engine_ends_one_run_only(autojump_clock: Clock, tmp_path: Path) -> None:
    """An exception that the runner does not know fails its run with a sentence, and the engine goes on."""
    async with world(tmp_path) as here:
        run = await here.ended(await here.launch(job("bug", "ok")))
        assert here.workers.all[0].killed
        assert (await here.ended(await here.launch(job("ok", job_id="other")))).state is RunState.SUCCEEDED
    assert run.state is RunState.FAILED
    assert run.reason is not None
    assert run.reason == "a fault of the engine: ZeroDivisionError: division by zero"
    assert [step.state for step in run.steps] == [StepState.FAILED, StepState.CANCELED]


async def test_a_cancel_that_comes_too_late_changes_nothing(autojump_clock: Clock, tmp_path: Path) -> None:
    """Once a run's end is being written, terminal is final: the request waits for the end and leaves it as it is."""
    async with world(tmp_path) as here:
        active = await here.launch(job("slow5"))
        await trio.sleep(1)
        here.commit_seconds = 2
        await trio.sleep(5)
        assert active.is_ending
        assert not active.ended.is_set()
        await here.runner.stop(active, here.stop())
        assert active.ended.is_set()
        run = here.stored(active)
    assert (run.state, run.receipt) == (RunState.SUCCEEDED, None)


async def test_a_queued_run_goes_straight_to_canceled(autojump_clock: Clock, tmp_path: Path) -> None:
    """QUEUED → CANCELED: it is never CANCELING, and the receipt says that it never began."""
    async with world(tmp_path, max_parallel_runs=1) as here:
        first = await here.launch(job("slow10"))
        second = await here.launch(job("ok", job_id="second"))
        await trio.sleep(1)
        await here.runner.stop(second, here.stop())
        run = await here.ended(second)
        await here.ended(first)
        here.feed.close()
        states = [event.record["state"] async for event in here.feed.follow(0) if event and event.run_id == run.id]
    assert states == ["QUEUED", "CANCELED", "CANCELED"]
    assert run.receipt is not None
    assert run.receipt.proof == "the run never began"


async def test_a_saved_variable_is_put_in_and_masked(autojump_clock: Clock, tmp_path: Path) -> None:
    """`${env:X}` in a saved value is resolved at the step's start and hidden; in an override it stays as it is."""
    params = {"saved": "at ${env:WHERE}", "changed": "x", "unset": {"type": "text"}}
    async with world(tmp_path) as here:
        here.secrets.variables["WHERE"] = "s3cret-place"
        active = await here.launch(job("lines", params=params), params={"changed": "${env:WHERE}"})
        run = await here.ended(active)
        kwargs = here.workers.all[0].specs[0]["kwargs"]
        assert active.log.masked("it is s3cret-place") == "it is ••••"
    assert kwargs == {"saved": "at s3cret-place", "changed": "${env:WHERE}"}
    assert run.plan.steps[0].values()["saved"] == "at ${env:WHERE}"


async def test_a_stop_that_cannot_be_recorded_is_made_all_the_same(autojump_clock: Clock, tmp_path: Path) -> None:
    """The asker is told that the store fails; the step is stopped, and a later request is not lost."""
    async with world(tmp_path) as here:
        active = await here.launch(job("slow"))
        await trio.sleep(1)
        here.disk_is_full = True
        with pytest.raises(NotReadyError, match="No space left"):
            await here.runner.stop(active, here.stop())
        await trio.sleep(5)
        assert here.workers.all[0].killed
        assert not active.ended.is_set()
        here.disk_is_full = False
        run = await here.ended(active)
        assert here.recorder.failed is None
    assert run.state is RunState.CANCELED


async def test_a_failing_store_is_looked_at_again(autojump_clock: Clock, tmp_path: Path) -> None:
    """Nothing is launched meanwhile, so the recorder itself finds out that it is well again."""
    async with world(tmp_path) as here:
        here.disk_is_full = True
        with pytest.raises(NotReadyError):
            await here.launch(job("ok"))
        assert here.recorder.failed is not None
        await trio.sleep(5)
        assert here.recorder.failed is not None
        here.disk_is_full = False
        await trio.sleep(2)
        assert here.recorder.failed is None
        assert (await here.ended(await here.launch(job("ok")))).state is RunState.SUCCEEDED


async def test_a_launch_that_was_not_recorded_was_no_run(autojump_clock: Clock, tmp_path: Path) -> None:
    """No card shows it, no step of it ran, and its job is free."""
    async with world(tmp_path) as here:
        here.disk_is_full = True
        with pytest.raises(NotReadyError):
            await here.launch(job("ok"))
        await trio.sleep(1)
        assert here.runner.all_active() == []
        assert here.board.last("job") is None
        assert all(worker.specs == [] for worker in here.workers.all)
        here.disk_is_full = False


async def test_a_cancel_takes_over_a_timeout_that_is_under_way(autojump_clock: Clock, tmp_path: Path) -> None:
    """One ladder for one step: the cancel hurries it, and the receipt holds its rungs."""
    async with world(tmp_path) as here:
        active = await here.launch(job("stone", step_fields={"timeout_seconds": 30}))
        await trio.sleep(32)
        await here.runner.stop(active, here.stop(force=True))
        run = await here.ended(active)
    assert (run.state, run.steps[0].state) == (RunState.CANCELED, StepState.CANCELED)
    assert run.finished_at == run.queued_at + timedelta(seconds=33)
    assert run.receipt is not None
    assert [rung.rung for rung in run.receipt.rungs] == ["soft cancel", "SIGTERM", "SIGKILL"]
    assert run.receipt.proof is not None


@pytest.mark.parametrize(("mode", "rows"), [("many18", 10**18), ("many30", None)])
async def test_a_count_that_no_store_holds_is_none(
    autojump_clock: Clock, tmp_path: Path, mode: str, rows: int | None
) -> None:
    """What a step returns cannot break the store."""
    async with world(tmp_path) as here:
        run = await here.ended(await here.launch(job(mode)))
    assert (run.state, run.rows_affected) == (RunState.SUCCEEDED, rows)


async def test_a_sum_of_counts_stays_within_the_store(autojump_clock: Clock, tmp_path: Path) -> None:
    """Ten steps of 10^18 rows are more than a run can count."""
    async with world(tmp_path) as here:
        run = await here.ended(await here.launch(job(*["many18"] * 10)))
    assert (run.state, run.rows_affected) == (RunState.SUCCEEDED, 2**63 - 1)


async def test_a_worker_that_does_not_read_is_stopped_too(autojump_clock: Clock, tmp_path: Path) -> None:
    """Sending the step counts into its timeout, and nothing is asked of a worker that has half of it."""
    async with world(tmp_path) as here:
        run = await here.ended(await here.launch(job("mute", step_fields={"timeout_seconds": 30})))
        assert here.workers.all[0].signals == [signal.SIGTERM]
    assert run.steps[0].reason == "timed out after 30 s"
    assert run.finished_at == run.queued_at + timedelta(seconds=30)


async def test_a_second_signal_hurries_what_is_being_stopped(autojump_clock: Clock, tmp_path: Path) -> None:
    """Also after the drain: whoever presses Ctrl-C again does not wait for the grace."""
    hurry = trio.Event()
    async with world(tmp_path) as here:
        active = await here.launch(job("stone"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.runner.drain, 30, hurry)
            await trio.sleep(32)
            hurry.set()
        run = await here.ended(active)
    assert run.finished_at == run.queued_at + timedelta(seconds=33)


async def test_more_room_starts_what_waits(autojump_clock: Clock, tmp_path: Path) -> None:
    """A reload that raises `max_parallel_runs` does not wait for the next launch."""
    async with world(tmp_path, max_parallel_runs=1) as here:
        first = await here.launch(job("slow60"))
        second = await here.launch(job("ok", job_id="second"))
        await trio.sleep(1)
        here.in_force.settings = Settings(engine=EngineSettings(max_parallel_runs=2))
        run = await here.ended(second)
        await here.ended(first)
    assert run.finished_at == run.queued_at + timedelta(seconds=1)
