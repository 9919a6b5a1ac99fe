"""The one door to a run: cron, web, Slack, CLI, API and replay all pass it.

Its answer is always a sentence too, and that sentence is what every surface shows for "why does it not run?".
"""

from __future__ import annotations

from collections.abc import Sequence

from nomaflow.errors import InvalidError, JobBusyError, NomaflowError, NotReadyError


def refusal(
    job_id: str, *, active_run_id: str | None, problems: Sequence[str], not_ready: Sequence[str]
) -> NomaflowError | None:
    """Why a run may not be started now; None when it may.

    Args:
        job_id: the job.
        active_run_id: its run in flight, if there is one. Seed: "one run at a time per job".
        problems: what is wrong with its file.
        not_ready: why the engine takes no runs.
    """
    if not_ready:
        return NotReadyError(f"no run can start: {'; '.join(not_ready)}")
    if problems:
        return InvalidError(
            f"{job_id} cannot run, since its file has problems: {problems[0]}",
            details=[{"message": problem} for problem in problems],
        )
    if active_run_id is not None:
        return JobBusyError(
            f"{job_id} is busy: {active_run_id} is in flight; wait for its end or cancel it",
            details=[{"message": "the run in flight", "run_id": active_run_id}],
        )
    return None


def waits_for_worker(limit: int) -> str:
    """Why a run is QUEUED while all workers are taken."""
    return f"waits for a free worker: all {limit} of max_parallel_runs are busy"
