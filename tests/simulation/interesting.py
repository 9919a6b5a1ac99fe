"""What must have happened somewhere among many worlds: a test that never meets it has not tested it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from nomaflow.wire import RunState
from tests.simulation.checks.facts import FAR, Facts
from tests.simulation.disk import CRASH_KINDS
from tests.simulation.evidence import Evidence

FAULTS = [
    *(f"crash {when} {what}" for when in ("before", "after", "later") for what in CRASH_KINDS),
    "crashed",
    "a clean stop",
    "a stop in a hurry",
    "a crash while draining",
    "an engine could not start",
    "the engine was away for hours",
    "the commit in flight was lost in a crash",
    "the commit in flight was there after a crash",
    "a commit failed",
    "a commit was slow",
    "a commit that broke the store was in it",
    "a commit that broke the store was not in it",
    "a broken store was opened anew",
    "a worker died",
    "a worker could not be started",
    "a killed step left processes behind",
    "the clock went forward",
    "the clock went back",
    "the clock went forward by days",
    "the clock went back by days",
    "a file was edited by hand",
]

STATES = [
    "a slot is FIRED",
    "a slot is SKIPPED",
    "a slot is MISSED",
    "a slot is COALESCED",
    "a slot stands for many",
    "a late slot fired",
    "a fire was left out",
    "a broken file kept a job from firing",
    "a run that was queued began in a later life",
    "a try was made in a later life than the one before",
    "a run was canceled before it began",
    "a run was canceled while a step ran",
    "a run was canceled while it waited for its next try",
    "a canceled step was killed",
    "a step ended by itself while it was being canceled",
    "a step timed out",
    "a run was replaced",
    "a run made room for another",
    "a run was interrupted by a crash",
    "a run was interrupted by a stop",
    "a run was missed while it waited",
    "a run waited for a lock",
    "a run waited for a file",
    "a run waited for a connector",
    "a run waited for a free worker",
    "a run waited for the end of another run",
    "a busy job refused a run",
    "a pause ended by itself",
    "an answer was lost",
    "a key was given twice",
    "a run was replayed",
]

EXPECTED = [*FAULTS, *STATES]

_WAITS = {
    "waits for the lock": "a run waited for a lock",
    "waits for the file": "a run waited for a file",
    "waits for the connector": "a run waited for a connector",
    "waits for a free worker": "a run waited for a free worker",
    "waits for the end of": "a run waited for the end of another run",
}


def happened(evidence: Evidence) -> Counter[str]:
    """How often each thing happened in a world."""
    found = Counter(evidence.sometimes)
    if evidence.dumps:
        facts = Facts(evidence)
        for part in (_slots, _runs, _steps, _told, _calls):
            found.update(part(facts))
    return found


def _slots(facts: Facts) -> Iterator[str]:
    for slot in facts.dump.slots:
        yield f"a slot is {slot.state}"
        if slot.count > 1:
            yield "a slot stands for many"
        if slot.state == "FIRED" and (slot.late_seconds or 0) > 60:
            yield "a late slot fired"
        if (slot.reason or "").startswith("skipped by"):
            yield "a fire was left out"
        if (slot.reason or "").startswith("its file has a problem"):
            yield "a broken file kept a job from firing"


def _runs(facts: Facts) -> Iterator[str]:
    for run in facts.runs.values():
        reason, effects = run.reason or "", facts.effects.get(run.id, [])
        if run.state is RunState.CANCELED and run.receipt is not None:
            yield "a run was canceled while a step ran" if run.receipt.rungs else "a run was canceled before it began"
            if any(rung.rung == "SIGKILL" for rung in run.receipt.rungs):
                yield "a canceled step was killed"
            if not run.receipt.rungs and effects:
                yield "a run was canceled while it waited for its next try"
            if effects and effects[-1].how == "done" and run.receipt.rungs:
                yield "a step ended by itself while it was being canceled"
        if reason.startswith("replaced by"):
            yield "a run was replaced"
        if reason.startswith("canceled to make room"):
            yield "a run made room for another"
        if reason == "interrupted: engine restarted":
            yield "a run was interrupted by a crash"
        if reason == "interrupted: engine stopped":
            yield "a run was interrupted by a stop"
        if reason.startswith("missed"):
            yield "a run was missed while it waited"
        if run.replay_of is not None:
            yield "a run was replayed"


def _steps(facts: Facts) -> Iterator[str]:
    queued: dict[str, int] = {}
    for told in facts.evidence.told:
        if told.event.kind == "run" and told.event.run_id is not None:
            queued.setdefault(told.event.run_id, told.life)
    for run_id, effects in facts.effects.items():
        if queued.get(run_id, FAR) < effects[0].life:
            yield "a run that was queued began in a later life"
        for before, after in pairwise(effects):
            if before.step == after.step and before.life < after.life:
                yield "a try was made in a later life than the one before"
    for run in facts.runs.values():
        if any((step.reason or "").startswith("timed out") for step in run.steps):
            yield "a step timed out"


def _told(facts: Facts) -> Iterator[str]:
    for told in facts.evidence.told:
        waits = str(told.event.record.get("wait_reason") or "")
        for begin, name in _WAITS.items():
            if waits.startswith(begin):
                yield name


def _calls(facts: Facts) -> Iterator[str]:
    keys = Counter[str]()
    for call in facts.evidence.calls:
        if call.answer == "lost":
            yield "an answer was lost"
        if call.answer == "refused" and "is busy" in str(call.error):
            yield "a busy job refused a run"
        if call.verb == "launch" and call.given["key"] is not None:
            keys[call.given["key"]] += 1
    yield from ["a key was given twice"] * sum(count > 1 for count in keys.values())
    for version in facts.evidence.files:
        asked = any(
            call.job_id == version.job_id and call.order < version.order < call.ended_order
            for call in facts.evidence.calls
        )
        if version.by_engine and not asked:
            yield "a pause ended by itself"
