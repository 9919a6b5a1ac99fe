"""What runs share: locks, connectors and workers, by what their steps did at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from tests.simulation.checks.facts import FAR, Facts, parsed
from tests.simulation.evidence import Effect

LATE_SECONDS = 60.0
"""A run that was let in begins at the latest so much later: its beginning is written first, to a disk that is slow."""


def locks_are_held_alone(facts: Facts) -> Iterator[str]:
    """No two runs have one lock, or write one file, from the first effect to the last; tries that wait keep theirs."""
    spans: dict[str, list[tuple[float, float, str]]] = {}
    for run_id, effects in facts.effects.items():
        claims = {f"lock {name}" for name in facts.jobs[effects[0].job_id]["locks"]}
        if _writes_book(facts, run_id):
            claims.add("file book.db")
        for claim in claims:
            span = effects[0].began, max(effect.ended or FAR for effect in effects), run_id
            spans.setdefault(claim, []).append(span)
    for claim, held in spans.items():
        for one, other in combinations(sorted(held), 2):
            if other[0] < one[1]:
                yield f"{other[2]} had the {claim} while {one[2]} had it"


def _writes_book(facts: Facts, run_id: str) -> bool:
    run = facts.runs.get(run_id)
    steps = [step for step in run.plan.steps if step.runs] if run is not None else []
    return any(step.values().get("db_connector") == "book" for step in steps)


def limits_are_kept(facts: Facts) -> Iterator[str]:
    """No run gets a worker while as many runs as may have one; nor the connector of a limited number of runs."""
    effects = sorted(facts.evidence.effects, key=lambda effect: effect.began)
    for effect in effects:
        if not _is_let_in(effect, facts):
            continue
        others = {
            other.run_id: other
            for other in effects
            if other.run_id != effect.run_id and other.began <= effect.began < (other.ended or FAR)
        }
        # Those that begin at the same moment stand in the order in which they were written down.
        others = {
            run_id: other
            for run_id, other in others.items()
            if other.began < effect.began or effects.index(other) < effects.index(effect)
        }
        most = _limit(facts, effect, "engine", "max_parallel_runs")
        if len(others) + 1 > most:
            yield f"{effect.run_id} began as one of {len(others) + 1} runs, and {most} may go at once"
        if _uses_shared(facts, effect.run_id):
            users = [run_id for run_id in others if _uses_shared(facts, run_id)]
            most = _limit(facts, effect, "connectors", "shared", "max_runs")
            if len(users) + 1 > most:
                yield f"{effect.run_id} used the connector as one of {len(users) + 1} runs, and {most} may"


def _is_let_in(effect: Effect, facts: Facts) -> bool:
    """Whether the run had to wait for its worker before this: at its first step, and at each further try."""
    return effect.attempt > 1 or facts.effects[effect.run_id][0] is effect


def _uses_shared(facts: Facts, run_id: str) -> bool:
    run = facts.runs.get(run_id)
    steps = [step for step in run.plan.steps if step.runs] if run is not None else []
    return any(step.values().get("db_connector") == "shared" for step in steps)


def _limit(facts: Facts, effect: Effect, *path: str) -> int:
    """The most that the settings have allowed since shortly before; what they say counts some time after they do."""
    versions = [version for version in facts.evidence.files if version.job_id is None]
    limits = []
    for number, version in enumerate(versions):
        until = facts.settings_taken_by(versions[number + 1].moment) if number + 1 < len(versions) else FAR
        if version.moment <= effect.began and until >= effect.began - LATE_SECONDS:
            value: Any = parsed(version.text or "")
            for key in path:
                value = value[key]
            limits.append(int(value))
    return max(limits)
