"""The fake engine: what `tests/contract` cannot see through HTTP, because the test moves the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nomaflow.engine.model import Actor
from nomaflow.engine.query import Cursor, LogQuery, Reset, RunQuery
from nomaflow.errors import JobBusyError, NotFoundError, RunFinishedError
from nomaflow.wire import Event, Launch, RunState, StepState
from tests.fakes.engine import FakeEngine
from tests.fakes.scripts import fail, hang, ok

if TYPE_CHECKING:
    from pathlib import Path

    from nomaflow.api.port import Engine

ANA = Actor("ana", "web")

TWO_STEPS = """\
description = "Two steps"
[retry]
attempts = 2
[[steps]]
name = "first"
type = "python"
callable = "steps:first"
[[steps]]
name = "second"
type = "python"
callable = "steps:second"
"""


@pytest.fixture
def fake(tmp_path: Path) -> FakeEngine:
    """An engine with one job of two steps."""
    return FakeEngine(tmp_path, {"two": TWO_STEPS})


async def launched(fake: FakeEngine) -> str:
    """The id of a new run of the job."""
    run, _ = await fake.launch("two", Launch(), ANA, None)
    return run.id


async def events_of(fake: FakeEngine, after: Cursor) -> list[Event | Reset]:
    """All events after a cursor; the fake is stopped."""
    fake.stop()
    return [event async for event in fake.follow_events(after)]


def test_it_answers_the_engine_s_protocol(fake: FakeEngine) -> None:
    """Whatever is given an engine can be given the fake."""
    engine: Engine = fake
    assert engine.not_ready() == []


async def test_a_run_moves_one_change_at_a_time(fake: FakeEngine) -> None:
    """The start, a step's end with the next one's start, and the end are one `advance` each."""
    run_id = await launched(fake)
    seen = []
    while not (run := await fake.run(run_id)).state.is_terminal:
        seen.append((run.state, [step.state for step in run.steps]))
        await fake.advance(run_id)
    assert seen == [
        (RunState.QUEUED, [StepState.PENDING, StepState.PENDING]),
        (RunState.RUNNING, [StepState.RUNNING, StepState.PENDING]),
        (RunState.RUNNING, [StepState.SUCCEEDED, StepState.RUNNING]),
    ]
    assert run.state is RunState.SUCCEEDED
    assert run.step_summary == "2 / 2 ✓"


async def test_a_script_says_what_a_step_leaves(fake: FakeEngine) -> None:
    """Lines, rows and output are the script's."""
    fake.scripts["two"] = {"first": ok("▶ first", rows=3, output={"answer": 42})}
    run = await fake.finish(await launched(fake))
    page = await fake.log(run.id, LogQuery(step="first"))
    assert [line.text for line in page.lines if line.stream == "log"] == ["▶ first"]
    assert (run.rows_affected, run.steps[0].output) == (3, {"answer": 42})


async def test_a_failed_step_is_tried_as_often_as_the_job_says(fake: FakeEngine) -> None:
    """Between the tries the step stays RUNNING with `retry_at`; a try has its own script."""
    fake.scripts["two"] = {"first": (fail("not yet"), ok())}
    run_id = await launched(fake)
    await fake.advance(run_id)
    waiting = await fake.advance(run_id)
    assert waiting.steps[0].state is StepState.RUNNING
    assert waiting.steps[0].attempts[0].retry_at is not None
    run = await fake.finish(run_id)
    assert run.state is RunState.SUCCEEDED
    assert run.steps[0].attempt == 2


async def test_a_failed_step_ends_the_run(fake: FakeEngine) -> None:
    """After the last try the run is FAILED, and what comes later is CANCELED."""
    fake.scripts["two"] = {"first": fail("no such table", error="OperationalError")}
    run = await fake.finish(await launched(fake))
    assert run.state is RunState.FAILED
    assert run.steps[0].error is not None
    assert (run.steps[0].error.type, run.steps[0].error.message) == ("OperationalError", "no such table")
    assert run.steps[1].state is StepState.CANCELED
    assert run.step_summary == "0 / 2 — failed at first"


async def test_a_hanging_step_waits_for_its_release(fake: FakeEngine) -> None:
    """`finish` stops at a step that hangs; the job is busy meanwhile."""
    fake.scripts["two"] = {"first": hang("working")}
    run_id = await launched(fake)
    assert (await fake.finish(run_id)).state is RunState.RUNNING
    with pytest.raises(JobBusyError) as raised:
        await launched(fake)
    assert raised.value.run_id == run_id
    await fake.release(run_id, "first")
    assert (await fake.finish(run_id)).state is RunState.SUCCEEDED


async def test_a_cancel_ends_with_a_receipt(fake: FakeEngine) -> None:
    """CANCELING until the run is moved on, then CANCELED with who asked and how it is known that all is gone."""
    fake.scripts["two"] = {"first": hang()}
    run_id = await launched(fake)
    await fake.finish(run_id)
    asked = await fake.cancel(run_id, ANA, force=False, reason="wrong day")
    assert asked.state is RunState.CANCELING
    run = await fake.advance(run_id)
    assert run.state is RunState.CANCELED
    assert run.receipt is not None
    assert (run.receipt.requested_by, run.receipt.reason) == ("user:ana", "wrong day")
    assert run.receipt.proof
    with pytest.raises(RunFinishedError):
        await fake.cancel(run_id, ANA, force=False, reason=None)


async def test_a_stubborn_step_gives_way_to_force(fake: FakeEngine) -> None:
    """A soft cancel leaves it running; a second cancel with force ends it."""
    fake.scripts["two"] = {"first": hang(stubborn=True)}
    run_id = await launched(fake)
    await fake.finish(run_id)
    await fake.cancel(run_id, ANA, force=False, reason=None)
    assert (await fake.finish(run_id)).state is RunState.CANCELING
    await fake.cancel(run_id, ANA, force=True, reason=None)
    run = await fake.finish(run_id)
    assert run.state is RunState.CANCELED
    assert run.receipt is not None
    assert run.receipt.force


async def test_a_queued_run_is_canceled_at_once(fake: FakeEngine) -> None:
    """Nothing has begun, so nothing has to be stopped."""
    run = await fake.cancel(await launched(fake), ANA, force=False, reason=None)
    assert run.state is RunState.CANCELED


async def test_events_are_in_order_and_whole(fake: FakeEngine) -> None:
    """Each change is one event, numbered without a gap."""
    begin = fake.cursor
    run = await fake.finish(await launched(fake))
    events = [event for event in await events_of(fake, begin) if isinstance(event, Event)]
    assert [event.seq for event in events] == list(range(begin.seq + 1, begin.seq + 1 + len(events)))
    assert [(event.kind, event.record["state"]) for event in events] == [
        ("run", "QUEUED"),
        ("run", "RUNNING"),
        ("step", "RUNNING"),
        ("step", "SUCCEEDED"),
        ("step", "RUNNING"),
        ("step", "SUCCEEDED"),
        ("run", "SUCCEEDED"),
    ]
    assert {event.run_id for event in events} == {run.id}


async def test_a_cursor_of_another_life_is_reset(fake: FakeEngine) -> None:
    """Who cannot be given all that he missed is told so."""
    await launched(fake)
    [event] = await events_of(fake, Cursor(epoch=0, seq=1))
    assert isinstance(event, Reset)
    assert event.cursor == fake.cursor


async def test_an_automatic_run_goes_as_far_as_it_can(tmp_path: Path) -> None:
    """With `auto` nobody has to move it on; a hanging step still waits."""
    fake = FakeEngine(tmp_path, {"two": TWO_STEPS}, scripts={"two": {"second": hang()}}, auto=True)
    run_id = await launched(fake)
    assert [step.state for step in (await fake.run(run_id)).steps] == [StepState.SUCCEEDED, StepState.RUNNING]
    await fake.release(run_id, "second")
    assert (await fake.run(run_id)).state is RunState.SUCCEEDED


async def test_runs_are_listed_newest_first_by_page(fake: FakeEngine) -> None:
    """A page's cursor leads on to older runs, and the last page has none."""
    ids = [(await fake.finish(await launched(fake))).id for _ in range(3)]
    first = await fake.runs(RunQuery(limit=2))
    rest = await fake.runs(RunQuery(limit=2, cursor=first.next_cursor))
    assert [run.id for run in [*first.items, *rest.items]] == ids[::-1]
    assert rest.next_cursor is None


async def test_an_unknown_run_is_not_found(fake: FakeEngine) -> None:
    """Every verb about a run says so."""
    with pytest.raises(NotFoundError):
        await fake.run("run_0000000000000")
