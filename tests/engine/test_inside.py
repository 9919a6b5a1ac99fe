"""Steps that the engine runs itself: how they end, and what its housekeeping does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import trio
import trio.testing

from nomaflow.engine.cancel import Stop
from nomaflow.engine.inside import Done, OwnStep
from nomaflow.engine.ports import ResolvedConnector
from nomaflow.errors import NoRetry, RetryAfter
from nomaflow.wire import Run, RunState, StepState
from tests.engine.clockwork import Clockwork, WallClock, clockwork, job

Clock = trio.testing.MockClock

OWN = '{more}\n[[steps]]\nname = "old"\ntype = "retention"\n'


def own(more: str = "") -> str:
    return OWN.format(more=more)


async def sleeps(own: OwnStep) -> Done:
    """A work that takes a day."""
    own.say("at work")
    await trio.sleep(86_400)
    return Done({})


async def breaks(own: OwnStep) -> Done:
    """A work that fails."""
    raise OSError(28, "No space left on device")


async def deaf(own: OwnStep) -> Done:
    """A work that comes to its end although it is asked to stop."""
    with trio.CancelScope(shield=True):
        await trio.sleep(60)
    return Done({}, rows_affected=3)


async def unravels(own: OwnStep) -> Done:
    """A work that raises where it is asked to stop, beside a task that is only canceled."""

    async def raises() -> None:
        try:
            await trio.sleep(86_400)
        finally:
            raise OSError(5, "it fell apart")

    own.rolled_back, own.on_stop, own.survivors = True, "taken back", ["the other side"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raises)
        nursery.start_soon(trio.sleep, 86_400)
    return Done({})


class Home:
    """A home with a variable, a named secret and a connector."""

    def connector(self, name: str) -> ResolvedConnector:
        if name != "api":
            raise LookupError(f"there is no connector {name!r}")
        return ResolvedConnector({"name": name, "secret": "token-of-api"}, ("token-of-api",))

    def secret(self, name: str) -> str:
        return f"value-of-{name}"

    def environment(self, name: str) -> str | None:
        return {"VARIABLE": "value-of-variable"}.get(name)


async def test_old_runs_go(autojump_clock: Clock, tmp_path: Path) -> None:
    """With what is theirs; failed ones stay longer, and the newest of each job for ever."""
    settings = "[retention]\ndays = 10\nfailed_days = 100\n"
    jobs = {"a": job("ok"), "bad": job("fail"), "keep": own()}
    async with clockwork(tmp_path, jobs, settings=settings) as here:
        old = [(await here.ended((await here.launch(job_id)).id)).id for job_id in ("a", "bad", "a", "bad")]
    async with clockwork(tmp_path, clock=WallClock(timedelta(days=50)), settings=settings) as here:
        run = await here.ended((await here.launch("keep")).id)
        assert (run.state, run.steps[0].output, run.rows_affected) == (RunState.SUCCEEDED, {"runs": 1}, 1)
        assert [bool(here.store.run(run_id)) for run_id in old] == [False, True, True, True]
        assert here.log_of(old[0]) == []
        assert "deleted so far: 1" in here.log_of(run.id)


async def test_a_cancel_ends_it_where_it_waits(autojump_clock: Clock, tmp_path: Path) -> None:
    """CANCELED, with a receipt like every other step's."""
    async with clockwork(tmp_path, {"keep": own()}, works={"retention": sleeps}) as here:
        run = await canceled(here)
    assert (run.state, run.steps[0].state) == (RunState.CANCELED, StepState.CANCELED)
    assert run.receipt is not None
    assert run.receipt.proof == "the step ran in the engine, which has left it"


async def test_its_time_is_limited(autojump_clock: Clock, tmp_path: Path) -> None:
    """As that of every other step, and it is tried again where the job says so."""
    text = own("[retry]\nattempts = 2\nbase_seconds = 5") + "timeout_seconds = 60\n"
    async with clockwork(tmp_path, {"keep": text}, works={"retention": sleeps}) as here:
        run = await here.ended((await here.launch("keep")).id)
    assert (run.state, run.steps[0].reason, run.steps[0].attempt) == (RunState.FAILED, "timed out after 60 s", 2)


async def test_what_it_raises_is_the_steps_error(autojump_clock: Clock, tmp_path: Path) -> None:
    """A full disk is the run's failure, and no other's."""
    async with clockwork(tmp_path, {"keep": own()}, works={"retention": breaks}) as here:
        run = await here.ended((await here.launch("keep")).id)
    assert run.state is RunState.FAILED
    assert run.steps[0].error is not None
    assert run.steps[0].error.message == "[Errno 28] No space left on device"


async def test_it_may_end_well_all_the_same(autojump_clock: Clock, tmp_path: Path) -> None:
    """A step that comes to its end while it is asked to stop keeps that end; its run is CANCELED."""
    async with clockwork(tmp_path, {"keep": own()}, works={"retention": deaf}) as here:
        run = await canceled(here)
    assert (run.state, run.steps[0].state, run.rows_affected) == (RunState.CANCELED, StepState.SUCCEEDED, 3)
    assert run.receipt is not None
    assert run.receipt.rolled_back is False
    (rung,) = run.receipt.rungs
    assert rung.ended_at is not None
    assert (rung.ended_at - rung.started_at).total_seconds() == 55


async def test_what_it_raises_when_it_is_stopped_is_no_failure(autojump_clock: Clock, tmp_path: Path) -> None:
    """Its run is CANCELED, and the receipt has what the step said of itself."""
    async with clockwork(tmp_path, {"keep": own()}, works={"retention": unravels}) as here:
        run = await canceled(here)
    assert (run.state, run.steps[0].state) == (RunState.CANCELED, StepState.CANCELED)
    assert run.receipt is not None
    assert (run.receipt.rolled_back, run.receipt.survivors) == (True, ["the other side"])
    assert [rung.result for rung in run.receipt.rungs] == ["taken back"]


async def test_a_stopping_engine_ends_it(autojump_clock: Clock, tmp_path: Path) -> None:
    """After the drain, as every other step; nobody knows how far it came, so it is not tried again."""
    text = own("[retry]\nattempts = 3\nbase_seconds = 5")
    async with clockwork(tmp_path, {"keep": text}, works={"retention": sleeps}) as here:
        run_id = (await here.launch("keep")).id
        await trio.sleep(5)
        hurry = trio.Event()
        hurry.set()
        await here.runner.drain(1, hurry)
        run = here.stored(run_id)
    assert (run.state, run.reason) == (RunState.FAILED, "interrupted: engine stopped")
    assert (run.steps[0].state, run.steps[0].attempt) == (StepState.FAILED, 1)


async def test_it_is_given_what_a_workers_step_is_given(autojump_clock: Clock, tmp_path: Path) -> None:
    """Kwargs with secrets in the place of their names, connectors with theirs; and none of that is shown."""
    text = """
    [params]
    plain = 1
    variable = "${env:VARIABLE}"
    named = { type = "secret", default = "pin" }
    empty = { type = "text", nullable = false }
    """
    given: dict[str, object] = {}

    async def looks(it: OwnStep) -> Done:
        """A work that gives away all that it knows."""
        given.update(it.kwargs)
        given["api"] = it.connector("api")["secret"]
        all_of_it = " ".join(map(str, given.values()))
        it.say(f"{all_of_it} in the log")
        it.say("too much", "DEBUG")
        it.progress(1, 2, text=all_of_it)
        assert (it.attempt, it.active.run.job_id, it.step.type) == (1, "keep", "retention")
        return Done({"all": [all_of_it]}, rows_affected=-1)

    async with clockwork(tmp_path, {"keep": own(text)}, works={"retention": looks}, secrets=Home()) as here:
        run = await here.ended((await here.launch("keep")).id)
        assert given == {
            "plain": 1,
            "variable": "value-of-variable",
            "named": "value-of-pin",
            "api": "token-of-api",
        }
        assert (run.steps[0].output, run.rows_affected) == ({"all": ["1 •••• •••• ••••"]}, None)
        log = here.log_of(run.id)
        assert "1 •••• •••• •••• in the log" in log
        assert "too much" not in log


@pytest.mark.parametrize(
    ("error", "tries", "seconds"),
    [
        (lambda: OSError("once more: token-of-api"), 3, 10),
        (lambda: RetryAfter(100, "later: token-of-api"), 3, 200),
        (lambda: NoRetry("never: token-of-api"), 1, 0),
    ],
)
async def test_what_it_raises_says_whether_it_is_tried_again(
    autojump_clock: Clock, tmp_path: Path, error: Callable[[], Exception], tries: int, seconds: int
) -> None:
    """By the rules for what a worker's step raises; the secrets in it are masked."""

    async def raises(it: OwnStep) -> Done:
        """A work that fails."""
        it.connector("api")
        raise error()

    text = own("[retry]\nattempts = 3\nbase_seconds = 5")
    async with clockwork(tmp_path, {"keep": text}, works={"retention": raises}, secrets=Home()) as here:
        run = await here.ended((await here.launch("keep")).id)
    (one,) = run.steps
    assert (one.state, one.attempt) == (StepState.FAILED, tries)
    assert one.error is not None
    assert one.error.message.endswith(": ••••")
    assert run.finished_at is not None
    assert run.started_at is not None
    assert (run.finished_at - run.started_at).total_seconds() == pytest.approx(seconds, rel=0.25)


async def test_a_connector_that_it_may_not_have_fails_it(autojump_clock: Clock, tmp_path: Path) -> None:
    """With the sentence that a worker's step is given."""

    async def opens(it: OwnStep) -> Done:
        """A work that asks for a connector that is not there."""
        it.connector("nowhere")
        return Done({})

    async with clockwork(tmp_path, {"keep": own()}, works={"retention": opens}, secrets=Home()) as here:
        run = await here.ended((await here.launch("keep")).id)
    assert run.steps[0].error is not None
    assert run.steps[0].error.model_dump(exclude={"traceback"}) == {
        "type": "ConnectorError",
        "message": "there is no connector 'nowhere'",
    }


async def canceled(here: Clockwork) -> Run:
    """The run of `keep`, canceled after five seconds."""
    run_id = (await here.launch("keep")).id
    await trio.sleep(5)
    active = here.runner.active(run_id)
    assert active is not None
    await here.runner.stop(active, Stop("cancel", "user:ana", here.clock()))
    return await here.ended(run_id)
