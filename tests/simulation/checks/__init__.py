"""The invariants, each checked from the evidence alone: nothing here knows how the engine does it.

The numbers are those of the reliability catalogue. A check gives back a sentence for each breach that it finds.

    effects     2, 4, 6, 7: what steps did, against each other and against what was said of them
    capacity    locks, connectors and max_parallel_runs
    answers     1: what was acknowledged is there; keys; cancels
    pauses      1: a job that was switched off for a while is off so long, and on again
    histories   5, 15: legal paths, final ends, everything comes to its end
    tries       17: how often and when a step is tried again
    logs        8: numbered without gap or repeat, and whole
    slots       3, 16, 20: every due slot has one row, by another's cron
    restarts    18: a clean restart changes nothing; sentences say why something waits
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.checks import answers, capacity, effects, histories, logs, pauses, restarts, slots, tries
from tests.simulation.checks.facts import Facts
from tests.simulation.evidence import Evidence

ALL = [
    effects.started_once,
    effects.on_record,
    effects.in_order,
    effects.none_after_the_end,
    effects.one_run_of_a_job,
    capacity.locks_are_held_alone,
    capacity.limits_are_kept,
    answers.launches_are_there,
    answers.keys_start_one_run,
    answers.cancels_hold,
    answers.busy_jobs_take_no_run,
    answers.busy_jobs_do_not_fire,
    answers.no_more_are_in_flight_than_may,
    pauses.they_end_in_time,
    histories.engines_do_not_fall_over,
    histories.no_key_is_given_twice,
    histories.paths_are_legal,
    histories.ends_are_final,
    histories.what_is_told_is_on_record,
    histories.everything_ends,
    histories.records_hang_together,
    tries.as_often_as_they_may,
    tries.when_they_are_due,
    logs.without_gap_or_repeat,
    slots.one_row_for_each,
    slots.rows_say_what_became,
    slots.skips_are_kept,
    restarts.nothing_changes,
    restarts.what_waits_is_handed_over,
    restarts.numbers_never_fall,
    restarts.sentences_say_why,
]


ALWAYS = [histories.engines_do_not_fall_over, histories.no_key_is_given_twice]
"""Those that need no last state."""


def breaches(evidence: Evidence) -> Iterator[str]:
    """Every breach of an invariant, as a sentence with the invariant's name."""
    facts = Facts(evidence)
    # A world that was given up has nothing to show at its end.
    for check in ALL if evidence.dumps else ALWAYS:
        for sentence in check(facts):
            yield f"{check.__module__.rpartition('.')[2]}.{check.__name__}: {sentence}"
