"""Bugs that the checks must find: each a small change of one function of the engine, for as long as a block lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from unittest import mock

import trio

from nomaflow.engine import admission, recovery, retry, runner, scheduler
from nomaflow.engine.active import ActiveRun
from nomaflow.engine.admission import Verdict
from nomaflow.engine.capacity import Capacity
from nomaflow.engine.door import Door
from nomaflow.engine.feed import Feed
from nomaflow.engine.model import Slot
from nomaflow.engine.pauses import Pauses
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.runner import Runner
from nomaflow.engine.ticket import Ticket
from nomaflow.engine.timetable import Timetable
from nomaflow.wire import RunState, StepState

Planting = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Bug:
    """A bug, and a world that has shown it before."""

    planted: Planting
    shown_by: int


def _instead(owner: Any, name: str, make: Callable[[Any], Any]) -> Planting:
    """Put what `make` gives, when it is given what was there, in the place of a function."""

    @contextmanager
    def planted() -> Iterator[None]:
        with mock.patch.object(owner, name, make(getattr(owner, name))):
            yield

    return planted


def _slot_key_without_number() -> AbstractContextManager[object]:
    key = property(lambda slot: int(slot.scheduled_at.timestamp()))
    return mock.patch.object(Slot, "slot_id", key)


def _capacity_off_by_one() -> AbstractContextManager[object]:
    limit = property(lambda capacity: capacity._in_force.settings.engine.max_parallel_runs + 1)
    return mock.patch.object(Capacity, "_limit", limit)


def _fires_from_now(decide: Any) -> Any:
    def decided(cron: Any, *, after: Any, now: Any, **more: Any) -> Any:
        return decide(cron, after=max(after, now - timedelta(seconds=1)), now=now, **more)

    return decided


def _drops_coalesced(decide: Any) -> Any:
    return lambda cron, **more: [each for each in decide(cron, **more) if each.verdict != "coalesced"]


def _window_is_ignored(decide: Any) -> Any:
    def decided(cron: Any, *, catchup_window: Any, **more: Any) -> Any:
        return decide(cron, catchup_window=timedelta(days=400), **more)

    return decided


def _cursor_is_forgotten(advance: Any) -> Any:
    def advanced(timetable: Any, watched: Any, now: Any) -> Any:
        advance(timetable, watched, now)
        return watched.row

    return advanced


def _edit_resets_nothing(sync: Any) -> Any:
    def synced(timetable: Any, job: Any, timezone: str, now: Any) -> Any:
        cursors = [row.cursor for row in timetable._rows.values() if row.job_id == job.id]
        return sync(timetable, job, timezone, min([now, *cursors]))

    return synced


def _fires_although_off(sync: Any) -> Any:
    return lambda timetable, job, *more: sync(timetable, job.model_copy(update={"enabled": True}), *more)


def _canceling_goes_on(why_over: Any) -> Any:
    def why(run: Any, *more: Any) -> Any:
        return None if run.state is RunState.CANCELING else why_over(run, *more)

    return why


def _late_success(stopped_state: Any) -> Any:
    def state(itself: Any, active: Any) -> Any:
        if all(step.state in (StepState.SUCCEEDED, StepState.CANCELED) for step in active.run.steps):
            return RunState.SUCCEEDED, None
        return stopped_state(itself, active)

    return state


def _canceled_has_failed(stopped_state: Any) -> Any:
    return lambda itself, active: (RunState.FAILED, active.stop.reason)


def _death_is_not_proved(prove: Any) -> Any:
    async def believed(worker: Any, stop: Any, **more: Any) -> None:
        await worker.kill()
        stop.proof = "it was killed"

    return believed


def _wait_is_hurried(resume: Any) -> Any:
    def resumed(door: Any, run: Any, job: Any, *, line: int, goes_on: Any) -> Any:
        soon = replace(goes_on, due_at=door._seams.now()) if goes_on is not None else None
        return resume(door, run, job, line=line, goes_on=soon)

    return resumed


def _queued_twice(resume: Any) -> Any:
    def resumed(door: Any, run: Any, job: Any, **more: Any) -> Any:
        if run.state is RunState.QUEUED:
            resume(door, replace(run, steps=[step.model_copy() for step in run.steps]), job, **more)
        return resume(door, run, job, **more)

    return resumed


def _log_begins_anew(resume: Any) -> Any:
    return lambda door, run, job, *, line, goes_on: resume(door, run, job, line=0, goes_on=goes_on)


def _people_pass(admit: Any) -> Any:
    def admitted(job_id: str, *, is_fire: bool = False, problems: Any = (), not_ready: Any = (), **more: Any) -> Any:
        if is_fire or problems or not_ready:
            return admit(job_id, is_fire=is_fire, problems=problems, not_ready=not_ready, **more)
        return Verdict("start")

    return admitted


def _nothing(original: Any) -> Any:
    return lambda *values, **more: None


def _locks_go_with_the_worker(release: Any) -> Any:
    return lambda capacity, active, *, keeps_locks=False: release(capacity, active, keeps_locks=False)


def _acknowledged_too_soon(wait_durable: Any) -> Any:
    async def waited(ticket: Any) -> None:
        await trio.lowlevel.checkpoint()

    return waited


def _skips_are_forgotten(init: Any) -> Any:
    return lambda timetable, rows, last_number, skips: init(timetable, rows, last_number, [])


def _pauses_are_forgotten(init: Any) -> Any:
    return lambda pauses, rows: init(pauses, [])


def _one_try_more(delay: Any) -> Any:
    def delayed(policy: Any, attempt: int, *more: Any) -> Any:
        return delay(policy.model_copy(update={"attempts": policy.attempts + 1}), attempt, *more)

    return delayed


def _waits_are_longer(delay: Any) -> Any:
    def delayed(*values: Any) -> Any:
        seconds = delay(*values)
        return None if seconds is None else seconds * 1.5

    return delayed


def _events_begin_anew(init: Any) -> Any:
    return lambda feed, epoch, seq: init(feed, epoch, 0)


def _nothing_is_parked() -> AbstractContextManager[object]:
    return mock.patch.object(ActiveRun, "may_be_parked", property(lambda active: False))


async def _lines_are_dropped(recorder: Any, rows: Any, error: Any) -> None:
    """Those that could not be written."""


BUGS: dict[str, Bug] = {
    "the key of a slot has no schedule in it": Bug(_slot_key_without_number, 1),
    "a late look counts from now and not from the cursor": Bug(_instead(scheduler, "decide", _fires_from_now), 2),
    "the cursor is not moved in the transaction of its slots": Bug(
        _instead(Timetable, "advance", _cursor_is_forgotten), 2
    ),
    "an edit or a switch counts from the old cursor": Bug(_instead(Timetable, "sync", _edit_resets_nothing), 5),
    "a job that is off fires": Bug(_instead(Timetable, "sync", _fires_although_off), 1),
    "coalesced slots have no row": Bug(_instead(scheduler, "decide", _drops_coalesced), 2),
    "the catch-up window is ignored": Bug(_instead(scheduler, "decide", _window_is_ignored), 5),
    "slots that were not recorded are not decided again": Bug(_instead(Timetable, "go_back", _nothing), 5),
    "skips are forgotten at a restart": Bug(_instead(Timetable, "__init__", _skips_are_forgotten), 5),
    "pauses are forgotten at a restart": Bug(_instead(Pauses, "__init__", _pauses_are_forgotten), 1),
    "a run that was being canceled goes on after a restart": Bug(
        _instead(recovery, "_why_over", _canceling_goes_on), 5
    ),
    "a late success counts although the run was canceled": Bug(_instead(Runner, "_stopped_state", _late_success), 1),
    "a canceled run has failed": Bug(_instead(Runner, "_stopped_state", _canceled_has_failed), 1),
    "a killed worker is believed to be gone": Bug(_instead(runner, "prove", _death_is_not_proved), 39),
    "a wait is hurried by a restart": Bug(_instead(Door, "resume", _wait_is_hurried), 40),
    "a queued run is resumed twice": Bug(_instead(Door, "resume", _queued_twice), 5),
    "the log of a resumed run begins with line 1": Bug(_instead(Door, "resume", _log_begins_anew), 2),
    "people pass where overlap forbids it": Bug(_instead(admission, "admit", _people_pass), 1),
    "one run too many has a worker": Bug(_capacity_off_by_one, 39),
    "a step that waits gives up its locks": Bug(_instead(Capacity, "release", _locks_go_with_the_worker), 5),
    "changes are acknowledged before they are on disk": Bug(
        _instead(Ticket, "wait_durable", _acknowledged_too_soon), 1
    ),
    "what needs a change is written without it": Bug(_instead(Recorder, "_check_needs", _nothing), 104),
    "lines that could not be written are dropped": Bug(
        lambda: mock.patch.object(Recorder, "_keep_lines", _lines_are_dropped), 40
    ),
    "there is one try more than said": Bug(_instead(retry, "delay_seconds", _one_try_more), 1),
    "waits are half as long again": Bug(_instead(retry, "delay_seconds", _waits_are_longer), 1),
    "a stop ends what waits": Bug(_nothing_is_parked, 5),
    "the numbers of events begin anew": Bug(_instead(Feed, "__init__", _events_begin_anew), 2),
}
