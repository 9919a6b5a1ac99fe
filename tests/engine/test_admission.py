"""The one door to a run: what it answers, and the sentence with which it says no."""

from __future__ import annotations

from typing import Any

import pytest

from nomaflow.engine.admission import MAX_IN_FLIGHT, InFlight, Verdict, admit
from nomaflow.errors import InvalidError, JobBusyError, NotReadyError
from nomaflow.wire import RunState

RUNNING = InFlight("run_A", RunState.RUNNING)
CANCELING = InFlight("run_A", RunState.CANCELING)
FIRE = InFlight("run_B", RunState.QUEUED, waits_for_turn=True, is_fire=True)
ASKED = InFlight("run_C", RunState.QUEUED, waits_for_turn=True)


def asked(*in_flight: InFlight, **more: Any) -> Verdict:
    return admit("etl", overlap=more.pop("overlap", "skip"), in_flight=in_flight, **more)


def test_a_free_job_without_problems_may_run() -> None:
    """There is nothing to say."""
    assert asked() == Verdict("start")


def test_one_run_at_a_time() -> None:
    """A second one is told which run is in flight. Seed: "one run at a time per job"."""
    verdict = asked(RUNNING)
    assert isinstance(verdict.error, JobBusyError)
    assert (verdict.error.status, verdict.error.run_id) == (409, "run_A")
    assert verdict.error.message == "etl is busy: run_A is in flight; wait for its end or cancel it"
    assert verdict.why == "run_A is in flight"


def test_a_file_with_problems_does_not_run() -> None:
    """The first problem is in the sentence, all of them in the details."""
    verdict = asked(problems=["etl.toml:3: bad", "etl.toml:5: worse"])
    assert isinstance(verdict.error, InvalidError)
    assert verdict.error.message == "etl cannot run, since its file has problems: etl.toml:3: bad"
    assert verdict.error.details == [{"message": "etl.toml:3: bad"}, {"message": "etl.toml:5: worse"}]
    assert verdict.why == "its file has a problem: etl.toml:3: bad"


def test_an_engine_that_is_not_ready_takes_nothing() -> None:
    """With all its reasons."""
    verdict = asked(not_ready=["the store is full", "the engine stops"])
    assert isinstance(verdict.error, NotReadyError)
    assert verdict.error.message == "no run can start: the store is full; the engine stops"


@pytest.mark.parametrize(
    ("problems", "not_ready", "kind"),
    [(["bad"], ["stops"], NotReadyError), (["bad"], [], InvalidError), ([], [], JobBusyError)],
)
def test_the_first_obstacle_is_named(problems: list[str], not_ready: list[str], kind: type[Exception]) -> None:
    """What stands in every run's way comes before what stands in this one's."""
    assert isinstance(asked(RUNNING, problems=problems, not_ready=not_ready).error, kind)


@pytest.mark.parametrize(
    ("overlap", "in_flight", "is_fire", "expected"),
    [
        ("allow", [RUNNING], True, Verdict("start")),
        ("allow", [RUNNING], False, Verdict("start")),
        ("queue_one", [RUNNING], True, Verdict("queue")),
        ("queue_one", [RUNNING], False, Verdict("queue")),
        ("queue_one", [RUNNING, FIRE], True, Verdict("queue", replaces=("run_B",))),
        ("queue_one", [RUNNING, FIRE], False, "run_B waits already for the end of the run before it"),
        ("queue_one", [RUNNING, ASKED], True, "run_C waits already for the end of the run before it"),
        ("queue_one", [RUNNING, ASKED], False, "run_C waits already for the end of the run before it"),
        ("cancel_running", [RUNNING], True, Verdict("queue", cancels=("run_A",))),
        ("cancel_running", [RUNNING, FIRE], True, Verdict("queue", replaces=("run_B",), cancels=("run_A",))),
        ("cancel_running", [CANCELING], False, Verdict("queue")),
        ("cancel_running", [CANCELING, ASKED], False, Verdict("queue", replaces=("run_C",))),
        ("skip", [RUNNING, FIRE], True, "run_A is in flight"),
    ],
)
def test_overlap_policies(overlap: Any, in_flight: list[InFlight], is_fire: bool, expected: Verdict | str) -> None:
    """What a request meets while runs of its job are in flight; what a person asked for is never replaced by a fire."""
    verdict = asked(*in_flight, overlap=overlap, is_fire=is_fire)
    assert (verdict.why if isinstance(expected, str) else verdict) == expected


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "cancel_running", "allow"])
def test_late_fires_that_are_all_caught_up_wait_for_each_other(overlap: Any) -> None:
    """Whatever the policy: they run one after another."""
    assert asked(RUNNING, FIRE, overlap=overlap, is_fire=True, is_catch_up=True) == Verdict("queue")


def test_a_job_cannot_fill_the_engine() -> None:
    """A job that is slower than its schedule is refused more runs at a bound."""
    many = [InFlight(f"run_{number}", RunState.QUEUED) for number in range(MAX_IN_FLIGHT)]
    verdict = asked(*many, overlap="allow")
    assert verdict.why == "100 of its runs are in flight, the most there may be"
    assert asked(*many[1:], overlap="allow") == Verdict("start")
