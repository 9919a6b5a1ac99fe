"""The one door to a run, and the sentence with which it says no."""

from __future__ import annotations

import pytest

from nomaflow.engine.admission import refusal, waits_for_worker
from nomaflow.errors import InvalidError, JobBusyError, NotReadyError

RUN = "run_1M86BYEZX9B90"


def test_a_free_job_without_problems_may_run() -> None:
    """There is nothing to say."""
    assert refusal("etl", active_run_id=None, problems=[], not_ready=[]) is None


def test_one_run_at_a_time() -> None:
    """A second one is told which run is in flight."""
    refused = refusal("etl", active_run_id=RUN, problems=[], not_ready=[])
    assert isinstance(refused, JobBusyError)
    assert (refused.status, refused.run_id) == (409, RUN)
    assert refused.message == f"etl is busy: {RUN} is in flight; wait for its end or cancel it"


def test_a_file_with_problems_does_not_run() -> None:
    """The first problem is in the sentence, all of them in the details."""
    refused = refusal("etl", active_run_id=None, problems=["etl.toml:3: bad", "etl.toml:5: worse"], not_ready=[])
    assert isinstance(refused, InvalidError)
    assert refused.message == "etl cannot run, since its file has problems: etl.toml:3: bad"
    assert refused.details == [{"message": "etl.toml:3: bad"}, {"message": "etl.toml:5: worse"}]


def test_an_engine_that_is_not_ready_takes_nothing() -> None:
    """With all its reasons."""
    refused = refusal("etl", active_run_id=None, problems=[], not_ready=["the store is full", "the engine stops"])
    assert isinstance(refused, NotReadyError)
    assert refused.message == "no run can start: the store is full; the engine stops"


@pytest.mark.parametrize(
    ("active", "problems", "not_ready", "kind"),
    [
        (RUN, ["bad"], ["stops"], NotReadyError),
        (RUN, ["bad"], [], InvalidError),
        (None, ["bad"], ["stops"], NotReadyError),
    ],
)
def test_the_first_obstacle_is_named(
    active: str | None, problems: list[str], not_ready: list[str], kind: type[Exception]
) -> None:
    """What stands in every run's way comes before what stands in this one's."""
    assert isinstance(refusal("etl", active_run_id=active, problems=problems, not_ready=not_ready), kind)


def test_waiting_has_a_sentence_too() -> None:
    """It names the setting that would help."""
    assert waits_for_worker(8) == "waits for a free worker: all 8 of max_parallel_runs are busy"
