"""When: slots, the preview of a rule, and what it would have done."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from nomaflow.launch.overrides import Sent
from nomaflow.wire.base import Given, Instant, SentInstant


class SlotState(StrEnum):
    """What became of one nominal fire; DUE is one that is still to come. All others are final."""

    DUE = "DUE"
    FIRED = "FIRED"
    SKIPPED = "SKIPPED"
    MISSED = "MISSED"
    COALESCED = "COALESCED"


class Slot(Given):
    """One nominal fire of one schedule.

    `into` is the fire that ran in the place of a COALESCED one. One with a `count` above 1 stands for that many, from
    `scheduled_at` to `last_at`: fires that were missed while nothing looked, or a day on which a schedule fires often.
    """

    job_id: str
    schedule: str
    scheduled_at: Instant
    state: SlotState
    reason: str | None = None
    run_id: str | None = None
    late_seconds: float | None = None
    note: str | None = None
    into: Instant | None = None
    count: int = 1
    last_at: Instant | None = None


class SlotChoice(Sent):
    """One fire to leave out, or no longer."""

    schedule: Annotated[str, Field(max_length=64)] = "default"
    scheduled_at: SentInstant


class PreviewAsk(Sent):
    """A rule to look at; without a zone it is the home's."""

    cron: Annotated[str, Field(max_length=256)]
    timezone: Annotated[str, Field(max_length=64)] | None = None
    count: Annotated[int, Field(ge=1, le=100)] = 5
    after: SentInstant | None = None


class Preview(Given):
    """The next fires of a rule, the zone that it was read in, the rule in words, and what may surprise about it."""

    fires: list[Instant]
    timezone: str
    words: str
    notes: list[str] = []


class WhatIfAsk(Sent):
    """A changed rule for a schedule of a job, to hold against the past."""

    job: Annotated[str, Field(max_length=64)]
    schedule: Annotated[str, Field(max_length=64)] = "default"
    cron: Annotated[str, Field(max_length=256)]
    timezone: Annotated[str, Field(max_length=64)] | None = None
    days: Annotated[int, Field(ge=1, le=90)] = 90


class WhatIf(Given):
    """How often the changed rule would have fired in that time, and how often a run would still have been going.

    `overlaps` counts the fires that would have come while the run before them went, with the runs' median duration;
    `overlaps_when_slow` with the one that 95 % of them stay below. `examples` are some of those fires. `timezone` is
    the one that the changed rule was read in.
    """

    since: Instant
    until: Instant
    timezone: str
    fires_before: int
    fires_after: int
    overlaps: int
    overlaps_when_slow: int
    median_seconds: float | None = None
    p95_seconds: float | None = None
    longest_gap_seconds: float | None = None
    busiest_hour: str | None = None
    busiest_count: int = 0
    examples: list[Instant] = []
    words: str
    notes: list[str] = []
