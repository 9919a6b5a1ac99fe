"""The one door to a run: cron, web, Slack, CLI, API and replay all pass it.

Its answer is always a sentence too, and that sentence is what every surface shows for "why does it not run?". What a
run that was let in waits for is `capacity`'s to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nomaflow.definitions.job import Overlap
from nomaflow.errors import InvalidError, JobBusyError, NomaflowError, NotReadyError
from nomaflow.wire import RunState

MAX_IN_FLIGHT = 100
"""Runs of one job at once, those that wait too: a job that is slower than its schedule must not fill the engine."""


@dataclass(frozen=True)
class InFlight:
    """A run of the job that is not over. `waits_for_turn` is one that begins when the run before it has ended."""

    run_id: str
    state: RunState
    waits_for_turn: bool = False
    is_fire: bool = False


@dataclass(frozen=True)
class Verdict:
    """What is to be done with a request.

    refuse: `error` says why to a person, `why` to a slot. start and queue: let it in; a queued one waits for the end of
    the run before it. `replaces` are waiting runs that it takes the place of, `cancels` those in flight that it ends.
    """

    answer: Literal["start", "queue", "refuse"]
    error: NomaflowError | None = None
    why: str = ""
    replaces: tuple[str, ...] = ()
    cancels: tuple[str, ...] = ()


def admit(
    job_id: str,
    *,
    overlap: Overlap,
    in_flight: Sequence[InFlight],
    problems: Sequence[str] = (),
    not_ready: Sequence[str] = (),
    is_fire: bool = False,
    is_catch_up: bool = False,
) -> Verdict:
    """Whether a run may begin now, must wait for its turn, or is refused.

    Args:
        job_id: the job.
        overlap: what it says about a run while another one goes. Seed: "one run at a time per job".
        in_flight: its runs that are not over, oldest first.
        problems: what is wrong with its file.
        not_ready: why the engine takes no runs.
        is_fire: a schedule asks, not a person.
        is_catch_up: a late fire of a schedule that makes up for all that it missed: they run one after another.
    """
    if not_ready:
        why = f"no run can start: {'; '.join(not_ready)}"
        return Verdict("refuse", NotReadyError(why), why)
    if problems:
        message = f"{job_id} cannot run, since its file has problems: {problems[0]}"
        error = InvalidError(message, details=[{"message": problem} for problem in problems])
        return Verdict("refuse", error, f"its file has a problem: {problems[0]}")
    if len(in_flight) >= MAX_IN_FLIGHT:
        return _busy(job_id, in_flight[0].run_id, f"{len(in_flight)} of its runs are in flight, the most there may be")
    if overlap == "allow" and not is_catch_up:
        return Verdict("start")
    if not in_flight:
        return Verdict("start")
    if is_catch_up:
        return Verdict("queue")
    waiting = tuple(run for run in in_flight if run.waits_for_turn)
    if overlap == "cancel_running":
        ending = {run.run_id for run in in_flight if run.state is RunState.CANCELING or run.waits_for_turn}
        running = tuple(run.run_id for run in in_flight if run.run_id not in ending)
        return Verdict("queue", replaces=tuple(run.run_id for run in waiting), cancels=running)
    if overlap == "skip":
        return _busy(job_id, in_flight[0].run_id, f"{in_flight[0].run_id} is in flight")
    # queue_one: the newest fire waits. What a person asked for is never replaced.
    if is_fire and all(run.is_fire for run in waiting):
        return Verdict("queue", replaces=tuple(run.run_id for run in waiting))
    if waiting:
        return _busy(job_id, waiting[0].run_id, f"{waiting[0].run_id} waits already for the end of the run before it")
    return Verdict("queue")


def _busy(job_id: str, run_id: str, why: str) -> Verdict:
    error = JobBusyError(
        f"{job_id} is busy: {why}; wait for its end or cancel it",
        details=[{"message": "the run in flight", "run_id": run_id}],
    )
    return Verdict("refuse", error, why)
