"""Steps that run other jobs: what goes down to the run that is called, and what comes back from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
import trio.testing

from nomaflow.engine.active import ActiveRun
from nomaflow.engine.cancel import Stop
from nomaflow.engine.model import Actor
from nomaflow.engine.rights import Rights
from nomaflow.errors import InvalidError, NotAllowedError
from nomaflow.launch.overrides import Launch
from nomaflow.wire import Run, RunState, StepState
from tests.engine.clockwork import Clockwork, clockwork, step
from tests.engine.world import Anybody

Clock = trio.testing.MockClock

ONE_PLACE = "[engine]\ntimezone = 'UTC'\nmax_parallel_runs = 1\n"


def call(job_id: str, name: str = "call", **more: str | int) -> str:
    """A step that calls the job, as TOML."""
    options = "".join(f"{key} = {value}\n" for key, value in more.items())
    return f'[[steps]]\nname = "{name}"\ntype = "call_job"\njob = "{job_id}"\n{options}'


def family(child: str, more: str = "", **options: str | int) -> dict[str, str]:
    """A job `parent` that calls the job `child`."""
    return {"parent": f"{more}\n{call('child', **options)}", "child": child}


async def child_of(here: Clockwork, run: Run, *, after: float = 1) -> ActiveRun:
    """The run that it has called, a moment later."""
    await trio.sleep(after)
    active = here.runner.active(run.id)
    assert active is not None
    assert active.child is not None
    return active.child


async def cancel(here: Clockwork, run_id: str, *, force: bool = False) -> None:
    """As the person Ana asks for it."""
    active = here.runner.active(run_id)
    assert active is not None
    await here.runner.stop(active, Stop("cancel", "user:ana", here.clock(), "enough", force))


def children(here: Clockwork) -> list[Run]:
    """The stored runs of the job `child`, oldest first."""
    return [here.stored(run.id) for run in here.all_runs() if run.job_id == "child"]


async def test_a_call_gives_what_the_last_step_gave(autojump_clock: Clock, tmp_path: Path) -> None:
    """With the run's id and its end; the run says who called it, and for whom."""
    async with clockwork(tmp_path, family(step("ok", "a") + step("many2", "b") + step("ok", "c"))) as here:
        run = await here.ended((await here.launch("parent")).id)
        child = children(here)[0]
        assert f"called by the step call of {run.id} (parent)" in here.log_of(child.id)
        assert f"started {child.id} of child" in here.log_of(run.id)
    assert (run.state, run.rows_affected) == (RunState.SUCCEEDED, 110)
    assert run.steps[0].output == {"run_id": child.id, "job_id": "child", "state": "SUCCEEDED", "n": 1}
    assert (child.parent_run, child.triggered_by) == (run.id, run.triggered_by)


async def test_a_call_gives_values_of_its_own(autojump_clock: Clock, tmp_path: Path) -> None:
    """For all steps or one, put in where they are `${…}`, with their types; and a log level."""
    child = "[params]\napps_id = 1\nday = '2026-01-01'\n" + step("ok", "a") + step("ok", "b")
    more = {
        "log_level": '"DEBUG"',
        "params": '{ apps_id = "${kw:id}", day = "${today}" }',
        "steps": "{ a = { enabled = false }, b = { op_kwargs = { apps_id = 9 } } }",
    }
    async with clockwork(tmp_path, family(child, "[params]\nid = 7\n", **more)) as here:
        run = await here.ended((await here.launch("parent")).id)
        plan = children(here)[0].plan
    assert run.state is RunState.SUCCEEDED
    assert plan.log_level == "DEBUG"
    assert [step.runs for step in plan.steps] == [False, True]
    assert plan.steps[0].values() == {"apps_id": 7, "day": "2026-03-01"}
    assert plan.steps[1].values() == {"apps_id": 9, "day": "2026-03-01"}


async def test_a_call_takes_values_from_earlier_steps_and_gives_some_to_later_ones(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """`${out:step.field}` leads in and out."""
    note = '{ note = "${out:call.run_id} was ${out:call.state}" }'
    text = (
        step("ok", "first") + call("child", params='{ apps_id = "${out:first.n}" }') + call("other", "b", params=note)
    )
    other = '[params]\nnote = ""\n' + step("ok")
    jobs = {"parent": text, "child": "[params]\napps_id = 0\n" + step("ok"), "other": other}
    async with clockwork(tmp_path, jobs) as here:
        run = await here.ended((await here.launch("parent")).id)
        child = children(here)[0]
        told = next(here.stored(run.id) for run in here.all_runs() if run.job_id == "other")
    assert run.state is RunState.SUCCEEDED
    assert child.plan.steps[0].values() == {"apps_id": 1}
    assert told.plan.steps[0].values() == {"note": f"{child.id} was SUCCEEDED"}


async def test_a_run_that_fails_fails_its_caller(autojump_clock: Clock, tmp_path: Path) -> None:
    """With its reason, and a try of the caller's step is a run of its own."""
    retry = "[retry]\nattempts = 2\nbase_seconds = 60\n"
    async with clockwork(tmp_path, family(step("fail"), retry)) as here:
        run = await here.ended((await here.launch("parent")).id)
        first, second = children(here)
    assert (run.state, run.steps[0].attempt) == (RunState.FAILED, 2)
    assert run.steps[0].error is not None
    assert run.steps[0].error.message == f"{second.id} of child is FAILED: step s failed (ValueError: no luck)"
    assert first.state is RunState.FAILED


async def test_a_cancel_goes_down(autojump_clock: Clock, tmp_path: Path) -> None:
    """The run that was called ends first; the caller's receipt has what was done to it."""
    async with clockwork(tmp_path, family(step("deaf600"))) as here:
        run = await here.launch("parent")
        child = await child_of(here, run)
        await cancel(here, run.id)
        ended, below = await here.ended(run.id), here.stored(child.run.id)
    assert (ended.state, ended.steps[0].state) == (RunState.CANCELED, StepState.CANCELED)
    assert (below.state, below.reason) == (RunState.CANCELED, f"{run.id}, which called it, was canceled: enough")
    assert ended.receipt is not None
    assert below.receipt is not None
    assert (below.receipt.requested_by, below.receipt.requested_at) == ("user:ana", ended.receipt.requested_at)
    name = f"{child.run.id} of child"
    assert [(rung.rung, rung.result) for rung in ended.receipt.rungs] == [
        ("soft cancel", f"{name}: the step went on"),
        ("SIGTERM", f"{name}: the process group ended"),
        ("soft cancel", f"{name} is CANCELED"),
    ]
    assert ended.receipt.proof == (
        f"the step ran in the engine, which has left it; {name}: process 1000 is reaped and its group is empty"
    )
    assert below.finished_at is not None
    assert ended.finished_at is not None
    assert below.finished_at <= ended.finished_at


async def test_force_goes_down_too(autojump_clock: Clock, tmp_path: Path) -> None:
    """Also when it comes after the cancel."""
    async with clockwork(tmp_path, family(step("stone"))) as here:
        run = await here.launch("parent")
        await child_of(here, run)
        await cancel(here, run.id)
        await trio.sleep(1)
        await cancel(here, run.id, force=True)
        began = trio.current_time()
        assert (await here.ended(run.id)).state is RunState.CANCELED
        assert trio.current_time() - began < 2


async def test_a_whole_chain_is_brought_down(autojump_clock: Clock, tmp_path: Path) -> None:
    """From the top to the bottom, with one receipt that has it all."""
    jobs = {"parent": call("middle"), "middle": call("child"), "child": step("slow600")}
    async with clockwork(tmp_path, jobs, settings=ONE_PLACE) as here:
        run = await here.launch("parent")
        await trio.sleep(1)
        await cancel(here, run.id)
        ended = await here.ended(run.id)
        assert {each.state for each in here.all_runs()} == {RunState.CANCELED}
        middle = here.stored(next(each.id for each in here.all_runs() if each.job_id == "middle"))
        child = children(here)[0]
    assert middle.reason == f"{run.id}, which called it, was canceled: enough"
    assert child.reason == f"{middle.id}, which called it, was canceled: {middle.reason}"
    assert ended.receipt is not None
    assert [rung.result for rung in ended.receipt.rungs] == [
        f"{middle.id} of middle: {child.id} of child: the step ended",
        f"{middle.id} of middle: {child.id} of child is CANCELED",
        f"{middle.id} of middle is CANCELED",
    ]


async def test_a_run_that_ends_well_all_the_same_is_a_step_that_did(autojump_clock: Clock, tmp_path: Path) -> None:
    """What came to its end while it was asked to stop keeps that end, below and above."""
    async with clockwork(tmp_path, family(step("ok", "a") + step("slow3", "b"))) as here:
        run = await here.launch("parent")
        child = await child_of(here, run)
        child.is_ending = True  # its end is on its way to the disk
        here.nursery.start_soon(cancel, here, run.id)
        await trio.sleep(1)
        child.is_ending = False
        ended = await here.ended(run.id)
    assert (ended.state, ended.steps[0].state) == (RunState.CANCELED, StepState.SUCCEEDED)


async def test_who_cancels_what_was_called_wants_no_other_try(autojump_clock: Clock, tmp_path: Path) -> None:
    """The caller has failed, and says who canceled what."""
    async with clockwork(tmp_path, family(step("slow600"), "[retry]\nattempts = 3\n")) as here:
        run = await here.launch("parent")
        child = await child_of(here, run)
        await cancel(here, child.run.id)
        ended = await here.ended(run.id)
    assert (ended.state, ended.steps[0].attempt) == (RunState.FAILED, 1)
    assert ended.steps[0].error is not None
    assert ended.steps[0].error.message == f"{child.run.id} of child is CANCELED by user:ana: enough"


async def test_the_time_of_a_call_is_limited(autojump_clock: Clock, tmp_path: Path) -> None:
    """When it is over, the run that was called ends first."""
    async with clockwork(tmp_path, family(step("slow600"), timeout_seconds=60)) as here:
        run = await here.ended((await here.launch("parent")).id)
        child = children(here)[0]
    assert (run.state, run.steps[0].reason) == (RunState.FAILED, "timed out after 60 s")
    assert (child.state, child.reason) == (RunState.CANCELED, f"the step call of {run.id} timed out")


async def test_a_run_that_waits_holds_no_place(autojump_clock: Clock, tmp_path: Path) -> None:
    """One place is enough for a chain; the caller has it again before its next step."""
    text = step("ok", "a") + call("child") + step("ok", "b")
    async with clockwork(tmp_path, {"parent": text, "child": step("slow60")}, settings=ONE_PLACE) as here:
        run = await here.launch("parent")
        child = await child_of(here, run)
        active = here.runner.active(run.id)
        assert active is not None
        assert active.wait_reason == f"waits for {child.run.id} of child"
        assert [worker.pid for worker in here.workers.all] == [1000, 1001]
        assert here.workers.released == [(1000, True)]
        ended = await here.ended(run.id)
    assert ended.state is RunState.SUCCEEDED
    assert [each.state for each in ended.steps] == [StepState.SUCCEEDED] * 3


async def test_the_place_is_taken_in_turn(autojump_clock: Clock, tmp_path: Path) -> None:
    """Another run may have it meanwhile, and is not put aside for the caller."""
    text = call("child") + step("ok", "b")
    jobs = {"parent": text, "child": step("slow60"), "other": step("slow100")}
    async with clockwork(tmp_path, jobs, settings=ONE_PLACE) as here:
        run = await here.launch("parent")
        await trio.sleep(1)
        other = await here.launch("other")
        await trio.sleep(70)
        active = here.runner.active(run.id)
        assert active is not None
        assert active.wait_reason == "waits for a free worker: all 1 of max_parallel_runs are busy"
        ended, before = await here.ended(run.id), here.stored(other.id)
    assert ended.state is RunState.SUCCEEDED
    assert ended.finished_at is not None
    assert before.finished_at is not None
    assert ended.finished_at >= before.finished_at


async def test_locks_are_lent(autojump_clock: Clock, tmp_path: Path) -> None:
    """What the caller has is not waited for; and it has what is needed below from its beginning on."""
    locks = 'locks = ["jde"]\n'
    jobs = {
        "parent": locks + step("slow10", "a") + call("child"),
        "child": 'locks = ["jde", "sx"]\n' + step("slow60"),
        "other": 'locks = ["sx"]\n' + step("ok"),
    }
    async with clockwork(tmp_path, jobs) as here:
        run = await here.launch("parent")
        await trio.sleep(5)
        other = await here.launch("other")
        waiting = here.runner.active(other.id)
        assert waiting is not None
        assert waiting.wait_reason == f"waits for the lock sx, which {run.id} of parent has"
        child = await child_of(here, run, after=10)
        assert child.run.state is RunState.RUNNING
        ended, last = await here.ended(run.id), await here.ended(other.id)
    assert (ended.state, last.state) == (RunState.SUCCEEDED, RunState.SUCCEEDED)
    assert last.started_at is not None
    assert ended.finished_at is not None
    assert last.started_at >= ended.finished_at


async def test_callers_do_not_wait_for_each_other(autojump_clock: Clock, tmp_path: Path) -> None:
    """Two that need what the other has go one after the other, since each takes all at its beginning."""
    jobs = {
        "parent": 'locks = ["x"]\n' + step("slow5", "a") + call("child"),
        "child": 'locks = ["y"]\n' + step("ok"),
        "mother": 'locks = ["y"]\n' + step("slow5", "a") + call("daughter"),
        "daughter": 'locks = ["x"]\n' + step("ok"),
    }
    async with clockwork(tmp_path, jobs) as here:
        runs = [await here.launch(job_id) for job_id in ("parent", "mother")]
        ended = [await here.ended(run.id) for run in runs]
    assert [run.state for run in ended] == [RunState.SUCCEEDED] * 2
    assert ended[1].started_at is not None
    assert ended[0].finished_at is not None
    assert ended[1].started_at >= ended[0].finished_at


async def test_a_circle_of_calls_is_refused(autojump_clock: Clock, tmp_path: Path) -> None:
    """Before the first run of it begins, since it would never end."""
    jobs = {"parent": call("child"), "child": step("ok") + call("third"), "third": call("parent", wait="false")}
    async with clockwork(tmp_path, jobs) as here:
        run = await here.ended((await here.launch("parent")).id)
        assert [each.job_id for each in here.all_runs()] == ["parent"]
    assert run.steps[0].error is not None
    assert run.steps[0].error.message == (
        "child cannot be called here: parent → child → third → parent would be a circle of calls"
    )
    assert run.steps[0].attempt == 1


async def test_a_job_that_calls_itself_is_no_job(autojump_clock: Clock, tmp_path: Path) -> None:
    """Its file says where."""
    async with clockwork(tmp_path, {"parent": call("parent")}) as here:
        with pytest.raises(InvalidError, match="calls the job that it is a step of, which would never end"):
            await here.launch("parent")


async def test_a_call_need_not_wait(autojump_clock: Clock, tmp_path: Path) -> None:
    """The run is on record when the step ends, and lives its own life."""
    async with clockwork(tmp_path, family(step("slow60"), wait="false")) as here:
        run = await here.ended((await here.launch("parent")).id)
        child = children(here)[0]
        assert run.state is RunState.SUCCEEDED
        assert run.steps[0].output == {"run_id": child.id, "job_id": "child", "state": "RUNNING"}
        assert (await here.ended(child.id)).state is RunState.SUCCEEDED
        assert here.stored(child.id).parent_run == run.id


@pytest.mark.parametrize(
    ("child", "options", "message", "tries"),
    [
        ("", {}, "child cannot run, since its file has problems", 1),
        (step("ok"), {"params": "{ gone = 1 }"}, "unknown parameter 'gone'", 1),
        (step("ok"), {"params": '{ gone = "${out:nothing.x}" }'}, "no earlier step is named 'nothing'", 0),
        (step("slow600"), {}, "child is busy", 2),
    ],
)
async def test_what_is_not_let_in_fails_the_step(
    autojump_clock: Clock, tmp_path: Path, child: str, options: Mapping[str, str], message: str, tries: int
) -> None:
    """With the sentence that a person would be told; only one that may be over soon is tried again."""
    retry = "[retry]\nattempts = 2\nbase_seconds = 5\n"
    async with clockwork(tmp_path, family(child, retry, **options)) as here:
        if tries == 2:
            await here.launch("child")
        if tries == 0:
            with pytest.raises(InvalidError, match=message):
                await here.launch("parent")
            return
        run = await here.ended((await here.launch("parent")).id)
    assert (run.state, run.steps[0].attempt) == (RunState.FAILED, tries)
    assert run.steps[0].error is not None
    assert message in run.steps[0].error.message


async def test_a_job_that_is_not_there_fails_the_step(autojump_clock: Clock, tmp_path: Path) -> None:
    """By its name."""
    async with clockwork(tmp_path, {"parent": call("gone")}) as here:
        run = await here.ended((await here.launch("parent")).id)
    assert run.steps[0].error is not None
    assert "'gone'" in run.steps[0].error.message


async def test_a_fire_calls_for_its_schedule(autojump_clock: Clock, tmp_path: Path) -> None:
    """The run that is called is started by the schedule, too, and counts its dates from the same day."""
    schedule = '[[schedules]]\ncron = "30 2 * * *"\n'
    child = "[params]\nday = { type = 'date', default = '${yesterday}' }\n" + step("ok")
    async with clockwork(tmp_path, family(child, schedule)) as here:
        await here.until(here.at("02:31"))
        run = children(here)[0]
    assert run.triggered_by.startswith("cron")
    assert (run.scheduled_at, run.plan.steps[0].values()) == (None, {"day": "2026-02-28"})


async def test_an_engine_that_dies_ends_the_caller_and_what_it_called(autojump_clock: Clock, tmp_path: Path) -> None:
    """Nobody knows how far a step came; a run that had not begun is CANCELED, since nobody waits for it any more."""
    locks = 'locks = ["one"]\n'
    jobs = family(locks + step("slow600")) | {"other": locks + step("slow600")}
    async with clockwork(tmp_path, jobs) as here:
        running = await here.launch("parent")
        child = (await child_of(here, running)).run.id
        here.kill()
    async with clockwork(tmp_path) as here:
        assert {here.stored(one).reason for one in (running.id, child)} == {"interrupted: engine restarted"}
        assert {here.stored(one).state for one in (running.id, child)} == {RunState.FAILED}
        active = here.runner.active((await here.launch("child")).id)
        waiting = await here.launch("parent", reason="in the way of itself")
        assert active is not None
        await trio.sleep(1)
        assert here.stored(waiting.id).state is RunState.QUEUED
        here.kill()
    async with clockwork(tmp_path) as here:
        # The caller had not begun, so nothing of it is lost.
        assert here.runner.active(waiting.id) is not None


async def test_a_called_run_that_had_not_begun_ends_with_its_caller(autojump_clock: Clock, tmp_path: Path) -> None:
    """The next engine does not go on with what nobody waits for."""
    child = 'overlap = "queue_one"\n' + step("slow600")
    async with clockwork(tmp_path, family(child)) as here:
        await here.launch("child")
        await trio.sleep(1)
        caller = await here.launch("parent")
        queued = await child_of(here, caller)
        assert queued.run.state is RunState.QUEUED
        here.kill()
    async with clockwork(tmp_path) as here:
        assert here.stored(caller.id).state is RunState.FAILED
        left = here.stored(queued.run.id)
        assert (left.state, left.reason) == (RunState.CANCELED, f"{caller.id}, which called it, was interrupted")


async def test_a_started_run_that_nobody_waits_for_outlives_its_starter(autojump_clock: Clock, tmp_path: Path) -> None:
    """As any other run that was QUEUED when the engine died."""
    child = 'overlap = "queue_one"\n' + step("slow60")
    jobs = {"parent": call("child", wait="false") + step("slow600"), "child": child}
    async with clockwork(tmp_path, jobs) as here:
        await here.launch("child")
        await trio.sleep(1)
        caller = await here.launch("parent")
        await trio.sleep(1)
        here.kill()
    async with clockwork(tmp_path) as here:
        assert here.stored(caller.id).state is RunState.FAILED
        started = children(here)[-1]
        assert (await here.ended(started.id)).state is RunState.SUCCEEDED


@pytest.mark.parametrize(("mode", "state"), [("slow5", RunState.SUCCEEDED), ("slow600", RunState.FAILED)])
async def test_an_engine_that_stops_gives_both_their_time(
    autojump_clock: Clock, tmp_path: Path, mode: str, state: RunState
) -> None:
    """Then both are stopped; a caller with steps that cannot begin any more is stopped, too."""
    jobs = family(step(mode))
    jobs["further"] = call("child2") + step("ok", "b")
    jobs["child2"] = step(mode)
    async with clockwork(tmp_path, jobs) as here:
        runs = [await here.launch(job_id) for job_id in ("parent", "further")]
        await trio.sleep(1)
        await here.runner.drain(30, trio.Event())
        ended = [here.stored(run.id) for run in runs]
        below = [here.stored(run.id) for run in here.all_runs() if run.job_id.startswith("child")]
    assert [run.state for run in below] == [state] * 2
    assert [run.state for run in ended] == [state, RunState.FAILED]
    assert {run.reason for run in [*ended, *below] if run.state is RunState.FAILED} == {"interrupted: engine stopped"}


async def test_a_called_run_in_the_queue_ends_with_the_engine(autojump_clock: Clock, tmp_path: Path) -> None:
    """It is not left to an engine in which nobody would wait for it."""
    child = 'overlap = "queue_one"\n' + step("slow600")
    async with clockwork(tmp_path, family(child)) as here:
        await here.launch("child")
        await trio.sleep(1)
        caller = await here.launch("parent")
        queued = await child_of(here, caller)
        await here.runner.drain(30, trio.Event())
        left = here.stored(queued.run.id)
        assert (left.state, left.reason) == (RunState.CANCELED, "interrupted: engine stopped")
        assert here.stored(caller.id).state is RunState.FAILED


async def test_a_replay_calls_anew(autojump_clock: Clock, tmp_path: Path) -> None:
    """What failed is run again; a call that succeeded keeps the run that it gave."""
    jobs = {"parent": call("child") + step("fail", "b"), "child": step("ok")}
    async with clockwork(tmp_path, jobs) as here:
        run = await here.ended((await here.launch("parent")).id)
        assert run.steps[0].output is not None
        assert run.steps[0].output["run_id"] == children(here)[0].id
        again = await here.replay(run.id, only="failed")
        ended = await here.ended(again.id)
        assert len(children(here)) == 1
    assert ended.steps[0].output == run.steps[0].output


class Narrow(Anybody):
    """Ana may run jobs of the tag `open`."""

    def may_run_job(self, actor: Actor, job_id: str, tags: list[str]) -> bool:
        return actor.surface == "cron" or "open" in tags


async def test_who_may_not_run_a_job_may_not_have_it_called(autojump_clock: Clock, tmp_path: Path) -> None:
    """Neither save such a step nor start one; a fire may do what was saved."""
    jobs = {
        "closed": step("ok"),
        "open": 'tags = ["open"]\n' + step("ok"),
        "parent": call("open") + call("closed", "b"),
    }
    async with clockwork(tmp_path, jobs) as here:
        entries = here.jobs.catalogue.entries
        rights = Rights(Narrow(), here.jobs.tags)
        parent = entries["parent"].job
        assert parent is not None
        ana, plan = Actor("ana", "web"), here.jobs.resolve(entries["parent"], Launch())
        for check in (
            lambda: rights.check_launch(parent, plan, ana),
            lambda: rights.check_save(parent, ana, []),
        ):
            with pytest.raises(NotAllowedError, match="ana may not run closed, which the step b calls"):
                check()
        rights.check_launch(parent, plan, Actor("nightly", "cron"))
        narrowed = here.jobs.resolve(entries["parent"], Launch.model_validate({"steps": {"b": {"enabled": False}}}))
        rights.check_launch(parent, narrowed, ana)
