"""When jobs fire: the calendar, a rule's preview and its what-if, and fires that are left out."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from fastapi import Query

from nomaflow.api.gate import Call, CallIn, api_router, no_such_job, refusals
from nomaflow.api.policy import V1
from nomaflow.api.port import SlotQuery
from nomaflow.api.runs import When, visible_jobs
from nomaflow.definitions.record import JOB_ID_PATTERN
from nomaflow.errors import InvalidError, NotFoundError
from nomaflow.wire import Page, Preview, PreviewAsk, Slot, SlotChoice, WhatIf, WhatIfAsk

LONGEST = timedelta(days=366)
SHOWN = timedelta(days=7)
"""How much is listed where nobody says until when."""

router = api_router("schedules")


@router.get(f"{V1}/schedule")
async def list_slots(
    call: CallIn,
    since: When = None,
    until: When = None,
    job: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Page[Slot]:
    """Fires of the jobs that the person may view, in order of time: what became of past ones, then those to come.

    Without `since` they begin with today, without `until` they are those of 7 days; 366 days are the most. A day on
    which a schedule fires more than 24 times has one item for the fires that are still to come, with their `count`.
    """
    since = since or call.engine.today()
    until = until or since + SHOWN
    if until < since:
        raise _refused("until", "lies before since")
    if until - since > LONGEST:
        raise _refused("until", f"lies more than {LONGEST.days} days after since; ask for a part at a time")
    jobs = visible_jobs(call, job)
    if jobs is None and job is not None:
        jobs = frozenset([job])
    if jobs is not None and not jobs:
        return Page[Slot](items=[])
    return await call.engine.calendar(SlotQuery(since=since, until=until, jobs=jobs, limit=limit, cursor=cursor))


@router.post(f"{V1}/schedule/preview")
async def preview_rule(call: CallIn, ask: PreviewAsk) -> Preview:
    """The next fires of a rule, the rule in words, and what may surprise about it."""
    return await call.engine.preview(ask)


@router.post(f"{V1}/schedule/what-if", responses=refusals(404))
async def hold_against_past(call: CallIn, ask: WhatIfAsk) -> WhatIf:
    """What a changed rule for a schedule would have done in the last days, and how often into a run that still went."""
    _check_seen(call, ask.job)
    return await call.engine.what_if(ask)


@router.post(f"{V1}/jobs/{{job_id}}/skips")
async def skip_fire(call: CallIn, job_id: str, choice: SlotChoice) -> Slot:
    """Leave one fire to come out; twice is the same as once."""
    return await call.engine.skip(job_id, choice, call.actor)


@router.delete(f"{V1}/jobs/{{job_id}}/skips", status_code=204, responses=refusals(413, 415))
async def unskip_fire(call: CallIn, job_id: str, choice: SlotChoice) -> None:
    """Let a fire happen after all."""
    await call.engine.unskip(job_id, choice, call.actor)


def _check_seen(call: Call, job_id: str) -> None:
    """Refuse a job that is not there, or that the person may not know of, in the same words."""
    if not re.fullmatch(JOB_ID_PATTERN, job_id):
        raise no_such_job(job_id)
    try:
        tags = call.engine.tags(job_id)
    except NotFoundError:
        raise no_such_job(job_id) from None
    call.require("viewer", job_id, tags)


def _refused(path: str, what: str) -> InvalidError:
    return InvalidError(f"{path} {what}", details=[{"path": path, "message": f"{path} {what}"}])
