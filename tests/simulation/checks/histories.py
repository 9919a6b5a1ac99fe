"""Runs and steps take legal paths, their ends are final, and all of them come to one."""

from __future__ import annotations

from collections.abc import Iterator

from nomaflow.wire import Run, RunState, StepState
from tests.simulation.checks.facts import Facts

_RANK = {"QUEUED": 0, "RUNNING": 1, "CANCELING": 2, "SUCCEEDED": 3, "FAILED": 3, "CANCELED": 3}
_STEP_RANK = {"PENDING": 0, "RUNNING": 1, "SUCCEEDED": 2, "FAILED": 2, "CANCELED": 2}


def engines_do_not_fall_over(facts: Facts) -> Iterator[str]:
    """An engine ends when it is killed or told to stop, and no run by a fault of the engine."""
    for life in facts.evidence.lives:
        if life.how not in ("lives", "stopped", "crashed", "an engine could not start"):
            yield f"life {life.number} ended at {life.ended:.3f}: {life.how}"
    for run in facts.runs.values():
        if "fault of the engine" in (run.reason or ""):
            yield f"{run.id} is {run.state}: {run.reason}"


def no_key_is_given_twice(facts: Facts) -> Iterator[str]:
    """2: no run and no slot is written twice; the store would refuse it, and the engine does not even try."""
    for refusal in facts.evidence.keys_taken:
        yield f"the store refused a commit at {refusal}"


def paths_are_legal(facts: Facts) -> Iterator[str]:
    """5: as followers were told, no run and no step goes back, or on from its end."""
    runs: dict[str, str] = {}
    steps: dict[tuple[str, str], tuple[str, int]] = {}
    for told in facts.evidence.told:
        event = told.event
        if event.kind == "run" and event.run_id:
            state = str(event.record["state"])
            before = runs.get(event.run_id)
            if before is not None and (_RANK[state] < _RANK[before] or (_RANK[before] == 3 and state != before)):
                yield f"{event.run_id} went from {before} to {state}"
            runs[event.run_id] = state
        elif event.kind == "step" and event.run_id:
            place = event.run_id, str(event.record.get("name"))
            if "state" not in event.record:
                continue
            state, attempt = str(event.record["state"]), int(str(event.record["attempt"]))
            known, tried = steps.get(place, ("PENDING", 0))
            if _STEP_RANK[state] < _STEP_RANK[known] or (_STEP_RANK[known] == 2 and state != known):
                yield f"the step {place[1]} of {place[0]} went from {known} to {state}"
            if attempt < tried:
                yield f"the step {place[1]} of {place[0]} went from try {tried} back to {attempt}"
            steps[place] = state, attempt


def ends_are_final(facts: Facts) -> Iterator[str]:
    """5, 1: a run that was once seen to be over is there to the end, as it was."""
    for told in facts.evidence.told:
        event = told.event
        if event.kind == "run" and event.run_id and _RANK[str(event.record["state"])] == 3:
            run = facts.runs.get(event.run_id)
            if run is None or run.state != event.record["state"]:
                yield f"{event.run_id} was told to be {event.record['state']}, and is {run and run.state}"
    for seen in facts.evidence.seen:
        for run in seen.runs:
            if run.state.is_terminal and facts.runs.get(run.id) != run:
                yield f"{run.id} was seen {run.state}, and is {_differences(run, facts.runs.get(run.id))}"


def what_is_told_is_on_record(facts: Facts) -> Iterator[str]:
    """5: followers hear of no run that is not there."""
    for run_id in {each.event.run_id for each in facts.evidence.told if each.event.run_id}:
        if run_id not in facts.runs:
            yield f"followers were told of {run_id}, and there is no such run"


def _differences(was: Run, now: Run | None) -> str:
    if now is None:
        return "gone"
    names = [name for name in Run.model_fields if getattr(was, name) != getattr(now, name)]
    return ", ".join(f"{name} {getattr(was, name)} → {getattr(now, name)}" for name in names)


def everything_ends(facts: Facts) -> Iterator[str]:
    """15: when nothing is wrong any more, every run comes to its end, and so does every step of it."""
    for run_id in facts.evidence.unended:
        yield f"{run_id} never ended"
    for run in facts.runs.values():
        if not run.state.is_terminal:
            yield f"{run.id} is {run.state} at the end"
        for step in run.steps:
            if step.state in (StepState.RUNNING, StepState.PENDING):
                yield f"{run.id} is {run.state} and its step {step.name} {step.state}"


def records_hang_together(facts: Facts) -> Iterator[str]:
    """A run's state is what its steps and their effects say, and its instants are in order."""
    for run in facts.runs.values():
        planned = {step.name for step in run.plan.steps if step.runs}
        ended = {step.name: step.state for step in run.steps if step.name in planned}
        done = {effect.step for effect in facts.effects.get(run.id, []) if effect.how == "done"}
        if run.state is RunState.SUCCEEDED and (set(ended.values()) - {StepState.SUCCEEDED} or planned - done):
            yield f"{run.id} SUCCEEDED with the steps {ended}, of which {sorted(done)} were done"
        for name, state in ended.items():
            if state is StepState.SUCCEEDED and name not in done:
                yield f"{name} of {run.id} SUCCEEDED and never did its work"
        if run.state is RunState.FAILED and not run.reason:
            yield f"{run.id} FAILED without a reason"
        if not facts.has_gone_back:
            instants = [run.queued_at, run.started_at, run.finished_at]
            known = [instant for instant in instants if instant is not None]
            if known != sorted(known):
                yield f"{run.id} has its instants in the order {known}"
        if run.state is RunState.CANCELED and run.receipt is None and facts.effects.get(run.id):
            yield f"{run.id} was CANCELED and has no receipt"
