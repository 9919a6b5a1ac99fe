"""The smallest job of the sample."""

from __future__ import annotations

import pytest

from nomaflow.worker.context import StepCanceled, StepContext
from tests.jobs.home import StepsAtHome


def test_hello_has_nothing_to_ask() -> None:
    """One step without params or op_kwargs: it fires at once, without a form."""
    job = StepsAtHome("hello", {}).job
    (step,) = job.steps
    assert not job.params
    assert not job.op_kwargs(step)


def test_hello_ends_at_the_await_after_a_cancel() -> None:
    """The count stops where it is; nobody is greeted."""
    counted: list[StepContext] = []

    def cancel(ctx: StepContext) -> None:
        counted.append(ctx)
        ctx.canceler.cancel("canceled by user:ana")

    with pytest.raises(StepCanceled):
        StepsAtHome("hello", {}).run("hello", on_progress=cancel)
    assert len(counted) == 1
