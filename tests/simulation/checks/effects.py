"""What steps did: each try once, in order, in runs that are on record, and nothing after the run was over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from tests.simulation.checks.facts import FAR, Facts


def started_once(facts: Facts) -> Iterator[str]:
    """2: no try of a step begins twice, and no more tries begin than the step may have."""
    counts = Counter((effect.run_id, effect.step, effect.attempt) for effect in facts.evidence.effects)
    for (run_id, step, attempt), count in counts.items():
        if count > 1:
            yield f"try {attempt} of {step} of {run_id} began {count} times"


def on_record(facts: Facts) -> Iterator[str]:
    """1: what has effects is a run that is on record, with a step that was to run."""
    for run_id, effects in facts.effects.items():
        run = facts.runs.get(run_id)
        if run is None:
            yield f"{run_id} had effects, and there is no such run"
            continue
        planned = {step.name for step in run.plan.steps if step.runs}
        for effect in effects:
            if effect.step not in planned:
                yield f"{effect.step} of {run_id} was not to run, and did"


def in_order(facts: Facts) -> Iterator[str]:
    """6: a step has no effect before those before it have ended well."""
    for run_id, effects in facts.effects.items():
        if run_id not in facts.runs:
            continue
        planned = [step.name for step in facts.runs[run_id].plan.steps if step.runs]
        for effect in effects:
            for name in planned[: planned.index(effect.step)] if effect.step in planned else []:
                before = [each for each in effects if each.step == name]
                if not any(each.how == "done" and (each.ended or FAR) <= effect.began for each in before):
                    yield f"{effect.step} of {run_id} began before {name} had ended well"


def none_after_the_end(facts: Facts) -> Iterator[str]:
    """7: when a run is seen to be over, nothing of it has effects any more."""
    over: dict[str, float] = {}
    for told in facts.evidence.told:
        event = told.event
        if event.kind == "run" and event.run_id and event.record["state"] in ("SUCCEEDED", "FAILED", "CANCELED"):
            over.setdefault(event.run_id, told.moment)
    for seen in facts.evidence.seen:
        for run in seen.runs:
            if run.state.is_terminal:
                over[run.id] = min(seen.moment, over.get(run.id, FAR))
    for run_id, moment in over.items():
        for effect in facts.effects.get(run_id, []):
            if effect.began > moment:
                yield f"{effect.step} of {run_id} began although the run was over"
            elif (effect.ended or FAR) > moment:
                yield f"{effect.step} of {run_id} had effects when the run was seen to be over"


def one_run_of_a_job(facts: Facts) -> Iterator[str]:
    """4: the runs of one job do not overlap, from the first effect to the proof of death, unless it allows that."""
    by_job: dict[str, list[tuple[float, float, str]]] = {}
    for run_id, effects in facts.effects.items():
        job_id = effects[0].job_id
        span = effects[0].began, max(effect.ended or FAR for effect in effects), run_id
        by_job.setdefault(job_id, []).append(span)
    for job_id, spans in by_job.items():
        if facts.overlap(job_id) != "allow":
            for one, other in combinations(sorted(spans), 2):
                if other[0] < one[1]:
                    yield f"{other[2]} of {job_id} began before {one[2]} was gone"
