"""The verbs about when jobs fire, described as in `calls`: the calendar, a rule's preview and what-if, skips."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict, Unpack

from nomaflow import wire
from nomaflow.client.request import V1, Call, get, nothing, path_part, record, sent


class SlotFilter(TypedDict, total=False):
    """Which fires to list: those of one job, those from `since` and before `until`; a page has `limit`, 1 to 500.

    Without `since` they begin with today in the home's zone, without `until` they are those of 7 days; 366 at most.
    """

    job: str | None
    since: datetime | None
    until: datetime | None
    limit: int | None


def schedule_page(*, cursor: str | None = None, **only: Unpack[SlotFilter]) -> Call[wire.Page[wire.Slot]]:
    """One page of the calendar, in order of time; `cursor` is the last page's `next_cursor`."""
    params: dict[str, Any] = {**only, "cursor": cursor}
    return get("/schedule", record(wire.Page[wire.Slot]), **params)


def preview(
    cron: str, *, timezone: str | None = None, count: int | None = None, after: datetime | None = None
) -> Call[wire.Preview]:
    """When a rule would fire next, in the home's zone or another one, and what the rule says in words.

    Raises:
        InvalidError: the expression or the zone is refused.
    """
    body = sent(wire.PreviewAsk, {"cron": cron, "timezone": timezone, "count": count, "after": after})
    return Call("POST", f"{V1}/schedule/preview", record(wire.Preview), body=body, is_repeatable=True)


def what_if(
    job_id: str, cron: str, *, schedule: str | None = None, timezone: str | None = None, days: int | None = None
) -> Call[wire.WhatIf]:
    """What a changed rule would have done in the last 90 days, or fewer: how often, and into how many runs.

    Args:
        job_id: the job.
        cron: the changed rule.
        schedule: the schedule whose rule it takes the place of; `default` when left out.
        timezone: its zone; that of the schedule when left out.
        days: how many days back, 1 to 90.

    Raises:
        InvalidError: the expression or the zone is refused.
    """
    body = sent(wire.WhatIfAsk, {"job": job_id, "cron": cron, "schedule": schedule, "timezone": timezone, "days": days})
    return Call("POST", f"{V1}/schedule/what-if", record(wire.WhatIf), body=body, is_repeatable=True)


def skip(job_id: str, scheduled_at: datetime, *, schedule: str | None = None) -> Call[wire.Slot]:
    """Leave out one fire that is to come; twice is the same as once.

    Raises:
        InvalidError: the job has no such schedule, or the schedule no such fire.
    """
    body = sent(wire.SlotChoice, {"schedule": schedule, "scheduled_at": scheduled_at})
    return Call("POST", f"{V1}/jobs/{path_part(job_id)}/skips", record(wire.Slot), body=body, is_repeatable=True)


def unskip(job_id: str, scheduled_at: datetime, *, schedule: str | None = None) -> Call[None]:
    """Let a fire happen that was to be left out.

    Raises:
        NotFoundError: it was not.
    """
    body = sent(wire.SlotChoice, {"schedule": schedule, "scheduled_at": scheduled_at})
    return Call("DELETE", f"{V1}/jobs/{path_part(job_id)}/skips", nothing, body=body)
