"""Runs: the list, one run whole, its cancel and its replay."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Body, Query, Response

from nomaflow.api.gate import Call, CallIn, api_router, named_run, refusals
from nomaflow.api.idempotency import IdempotencyKey, accepted, idempotency
from nomaflow.api.policy import V1
from nomaflow.api.port import RunQuery
from nomaflow.api.strict_json import StrictRequest
from nomaflow.definitions.record import JOB_ID_PATTERN
from nomaflow.errors import InvalidError
from nomaflow.wire import Cancel, Page, Plan, Replay, Run, RunState, RunSummary, SentInstant

router = api_router("runs")

When = Annotated[SentInstant | None, Query()]


@router.get(f"{V1}/runs")
async def list_runs(
    call: CallIn,
    q: Annotated[str | None, Query(max_length=500)] = None,
    job: Annotated[str | None, Query(max_length=64)] = None,
    state: RunState | None = None,
    since: When = None,
    until: When = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Page[RunSummary]:
    """Runs of the jobs that the person may view, newest first; `q` is a search, as in `state:failed since:7d`.

    A search in logs reads a part of them for each page: there may be more while `next_cursor` says so, even behind an
    empty page.
    """
    if since and until and until < since:
        message = "until lies before since"
        raise InvalidError(message, details=[{"path": "until", "message": message}])
    jobs = visible_jobs(call, job)
    if jobs is not None and not jobs:
        return Page[RunSummary](items=[])
    query = RunQuery(q=q, job=job, jobs=jobs, state=state, since=since, until=until, limit=limit, cursor=cursor)
    return await call.engine.runs(query)


@router.get(f"{V1}/runs/{{run_id}}")
async def read_run(call: CallIn, run_id: str) -> Run:
    """A run whole: plan, steps, receipt."""
    return named_run(call, run_id)


@router.post(f"{V1}/runs/{{run_id}}/cancel", status_code=202, responses=refusals(409))
async def cancel_run(call: CallIn, run_id: str, cancel: Cancel) -> Run:
    """Ask a run to stop; twice is the same as once."""
    return await call.engine.cancel(run_id, call.actor, force=cancel.force, reason=cancel.reason)


@router.post(f"{V1}/runs/{{run_id}}/replay", status_code=202, responses=refusals(409))
async def replay_run(
    call: CallIn,
    run_id: str,
    replay: Annotated[Replay, Body()],
    request: StrictRequest,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Run:
    """Run an ended run again with its values; what is named in the body is changed. Keys are as for a launch."""
    known_by = idempotency(call, f"POST /runs/{run_id}/replay", idempotency_key, request)
    run, is_known = await call.engine.replay(run_id, replay, call.actor, known_by)
    return accepted(run, is_known, response)


@router.post(f"{V1}/runs/{{run_id}}/replay/plan", responses=refusals(409))
async def plan_replay(call: CallIn, run_id: str, replay: Replay) -> Plan:
    """A dry replay: what would run, what is kept, and where each value comes from."""
    return await call.engine.replay_plan(run_id, replay)


def visible_jobs(call: Call, job: str | None) -> frozenset[str] | None:
    """Of which jobs the person may list runs and fires; None for all. Who may not know of one lists nothing of it."""
    if call.may("viewer"):
        return None
    if job is not None:
        known = re.fullmatch(JOB_ID_PATTERN, job) is not None
        return frozenset([job]) if known and call.sees_job(job) else frozenset()
    return frozenset(job_id for job_id in call.engine.known_job_ids() if call.sees_job(job_id))
