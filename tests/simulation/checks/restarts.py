"""A clean restart changes nothing that is shown, numbers never fall, and what waits says for what."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from nomaflow.wire import RunState
from tests.simulation.checks.facts import Facts
from tests.simulation.checks.slots import was_made_anew
from tests.simulation.checks.watching import Watching

NEXT_TRY = "waits for its next try"
WAITS_SECONDS = 1.0
"""A run that was only just let in may not have been looked at yet."""


def nothing_changes(facts: Facts) -> Iterator[str]:
    """18: what the verbs show before a clean stop, they show after the start."""
    before, after = facts.evidence.dumps[0], facts.evidence.dumps[-1]
    for run_id, run in before.runs.items():
        if after.runs.get(run_id) != run:
            yield f"{run_id} is another after a restart: {run} → {after.runs.get(run_id)}"
    for run_id, lines in before.logs.items():
        if after.logs.get(run_id) != lines:
            yield f"the log of {run_id} is another after a restart"
    if before.slots != after.slots:
        yield "the slots are others after a restart"
    for job_id, card in before.cards.items():
        now = after.cards.get(job_id)
        for name in ("enabled", "pause", "schedules", "last_run", "recent", "problem", "etag"):
            was, is_now = getattr(card, name), getattr(now, name, None)
            if was != is_now:
                yield f"{name} of {job_id} is another after a restart: {was} → {is_now}"


def what_waits_is_handed_over(facts: Facts) -> Iterator[str]:
    """18: a run that has not begun, or waits for a step's next try, goes on after a clean stop as if there was none."""
    for handover in facts.evidence.handovers:
        after = {run.id: run for run in handover.after}
        for run in handover.before:
            if run.state is not RunState.QUEUED and not (run.wait_reason or "").startswith(NEXT_TRY):
                continue
            now = after.get(run.id)
            final = facts.runs.get(run.id)
            if now is None and final is not None and final.reason == "interrupted: engine stopped":
                yield f"{run.id} was {run.state} and waited, and the stop ended it"
            elif now is not None and now.state == run.state:
                was, is_now = (each.model_dump(mode="json") for each in (run, now))
                for name in was.keys() - {"wait_reason", "expected_end_at"}:
                    if was[name] != is_now[name]:
                        yield f"{name} of {run.id} was {was[name]} and is {is_now[name]}"


def numbers_never_fall(facts: Facts) -> Iterator[str]:
    """16: no cursor and no event's number ever falls, over all lives."""
    watching = Watching(facts)
    cursors: dict[int, datetime] = {}
    newest = 0
    for each in facts.evidence.cursors:
        if each.seq < newest:
            yield f"the newest event's number fell from {newest} to {each.seq}"
        newest = each.seq
        for row in each.rows:
            known = cursors.get(row.number)
            # One that was made anew when the clock was set back begins with an earlier one.
            if known is None or row.cursor >= known:
                pass
            elif not (facts.has_gone_back and was_made_anew(watching.periods(row.job_id, row.name))):
                yield f"the cursor of {row.job_id} {row.name} fell from {known} to {row.cursor}"
            cursors[row.number] = row.cursor
    told = 0
    for event in facts.evidence.told:
        if event.event.seq < told:
            yield f"a follower was told {event.event.seq} after {told}"
        told = event.event.seq


def sentences_say_why(facts: Facts) -> Iterator[str]:
    """What does not go says for what it waits, as a sentence."""
    for seen in facts.evidence.seen:
        for card in seen.cards:
            if not card.why:
                yield f"{card.id} does not say why it does not run"
        for run in seen.runs:
            waits = run.state is RunState.QUEUED and run.wait_reason is None
            if waits and (facts.wall(seen.moment) - run.queued_at).total_seconds() > WAITS_SECONDS:
                yield f"{run.id} of {run.job_id} is QUEUED and does not say for what it waits"
