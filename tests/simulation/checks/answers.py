"""What the engine answered holds: a run that was acknowledged is there, a cancel is one, a busy job takes no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from nomaflow.errors import NotReadyError
from nomaflow.wire import Run, RunState
from tests.simulation.checks.facts import FAR, Facts
from tests.simulation.evidence import Call


def launches_are_there(facts: Facts) -> Iterator[str]:
    """1: an acknowledged run is on record after any restart, a refused one is not, and one in doubt is there once."""
    reasons = Counter(run.reason_given for run in _by_hand(facts))
    for call in facts.calls("launch", "replay"):
        if call.given["key"] is None and call.answer == "refused" and reasons[call.given["reason"]]:
            yield f"{call.verb} {call.given['reason']} was refused with {call.error}, and there is a run of it"
        if reasons[call.given["reason"]] > 1 and not _is_forgotten(facts, call.given["key"]):
            yield f"{call.verb} {call.given['reason']} started {reasons[call.given['reason']]} runs"
        if call.answer == "done":
            run, _ = call.result
            found = facts.runs.get(run.id)
            if found is None or (found.job_id, found.triggered_by) != (call.job_id, run.triggered_by):
                yield f"{call.verb} of {run.id} was acknowledged, and on record is {found}"
            elif found.plan != run.plan or found.etag != run.etag or found.queued_at != run.queued_at:
                yield f"{run.id} is on record with another plan than was acknowledged"


COMMIT_SECONDS = 120.0
"""A commit takes no longer, however slow the disk is."""

KEPT = timedelta(hours=24)
"""So long a key counts."""


class _ByHand:
    def __init__(self, run: Run, reason_given: str) -> None:
        self.run, self.reason_given = run, reason_given


def _by_hand(facts: Facts) -> Iterator[_ByHand]:
    """The runs that people started, with the reason that they gave: their logs and events know it to the end."""
    reasons: dict[str, str] = {}
    for told in facts.evidence.told:
        event = told.event
        if event.kind == "run" and event.run_id and event.record["state"] == "QUEUED" and event.record["reason"]:
            reasons.setdefault(event.run_id, str(event.record["reason"]))
    for run in facts.runs.values():
        reason = reasons.get(run.id) or run.reason
        if run.schedule is None and reason is not None:
            yield _ByHand(run, reason)


def keys_start_one_run(facts: Facts) -> Iterator[str]:
    """1: one key starts one run, however often it is given and whatever dies in between."""
    started: dict[str, str] = {}
    for call in facts.calls("launch"):
        key = call.given["key"]
        if key is not None and call.answer == "done" and not _is_forgotten(facts, key):
            run, _ = call.result
            first = started.setdefault(key, run.id)
            if first != run.id:
                yield f"the key {key} started {first} and {run.id}"


def _is_forgotten(facts: Facts, key: str | None) -> bool:
    """Whether the wall clock says that a key was given again when it counted no more."""
    given = [call.began_at for call in facts.calls("launch") if key is not None and call.given["key"] == key]
    return bool(given) and max(given) - min(given) >= KEPT


def cancels_hold(facts: Facts) -> Iterator[str]:
    """A run whose cancel was acknowledged ends CANCELED, is never FAILED, and makes no try after that."""
    for call in facts.calls("cancel"):
        if call.answer != "done":
            continue
        run_id = call.given["run_id"]
        run = facts.runs.get(run_id)
        if run is None:
            yield f"{run_id} was canceled, and is not on record"
        elif run.state is not RunState.CANCELED:
            yield f"{run_id} was canceled, and is {run.state}: {run.reason}"
        for effect in facts.effects.get(run_id, []):
            if effect.began > call.ended:
                yield f"{effect.step} of {run_id} began after its cancel was acknowledged"


def busy_jobs_take_no_run(facts: Facts) -> Iterator[str]:
    """While a run of a job has effects, no other is let in where `overlap` is skip; queue_one lets one more in."""
    for call in facts.calls("launch", "replay"):
        if call.answer != "done" or call.job_id is None or facts.overlap(call.job_id) != "skip":
            continue
        run, was_known = call.result
        if not was_known and (busy := _busy_throughout(facts, call, run.id)):
            yield f"{run.id} was let in while {busy} of {call.job_id} went on"
    for call in facts.calls("launch", "replay"):
        if call.answer == "refused" and isinstance(call.error, NotReadyError):
            continue
        if call.answer == "refused" and call.life >= 0 and facts.overlap(call.job_id or "") == "allow":
            why = str(call.error)
            if "busy" in why and "the most there may be" not in why and call.verb == "launch":
                yield f"{call.job_id} allows overlaps, and {call.given['reason']} was refused: {why}"


def busy_jobs_do_not_fire(facts: Facts) -> Iterator[str]:
    """A fire does not run while a run of its job goes on, where `overlap` is skip and nothing is to be caught up."""
    for told in facts.evidence.told:
        event = told.event
        if event.kind != "slot" or event.record.get("state") != "FIRED" or facts.overlap(event.job_id or "") != "skip":
            continue
        run = facts.runs.get(event.run_id or "")
        if run is None or _catches_up(facts, run):
            continue
        # It was decided before it was told, by the time that its commit took.
        began = told.moment - COMMIT_SECONDS
        for other_id, effects in facts.effects.items():
            goes_on = any(effect.began < began and (effect.ended or FAR) > told.moment for effect in effects)
            if goes_on and other_id != run.id and effects[0].job_id == run.job_id:
                yield f"{run.id} fired while {other_id} of {run.job_id} went on"


def no_more_are_in_flight_than_may(facts: Facts) -> Iterator[str]:
    """One run of a job with `overlap` skip, two with queue_one; those aside whose place another one takes."""
    for seen in facts.evidence.seen:
        in_flight: dict[str, set[str]] = {}
        for run in seen.runs:
            makes_room = (run.wait_reason or "").startswith("is being canceled")
            is_real = run.id in seen.active and run.id in facts.runs
            if is_real and not run.state.is_terminal and not makes_room:
                in_flight.setdefault(run.job_id, set()).add(run.id)
        for job_id, runs in in_flight.items():
            most = {"skip": 1, "queue_one": 2}.get(facts.overlap(job_id), len(runs))
            if len(runs) > most and not any(_catches_up(facts, facts.runs[run_id]) for run_id in runs):
                yield f"{sorted(runs)} of {job_id} were in flight at {seen.moment:.3f}"


def _catches_up(facts: Facts, run: Run) -> bool:
    if run.schedule is None:
        return False
    schedules = facts.definition(run).get("schedules", [])
    return any(each["name"] == run.schedule and each["misfire"] == "all" for each in schedules)


def _busy_throughout(facts: Facts, call: Call, run_id: str) -> str | None:
    for other_id, effects in facts.effects.items():
        if other_id == run_id or effects[0].job_id != call.job_id:
            continue
        if any(effect.began < call.began and (effect.ended or FAR) > call.ended for effect in effects):
            return other_id
    return None
