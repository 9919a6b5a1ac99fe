"""What of a run is stored for searches."""

from __future__ import annotations

import pytest

from nomaflow.history.search_texts import MAX_ERRORS, StepFacts, error_lines, joined, param_items, step_items
from nomaflow.launch.plan import Plan, PlannedStep, PlannedValue


def step(*, runs: bool = True, **values: object) -> PlannedStep:
    kwargs = {name: PlannedValue.model_construct(value=value, origin="saved") for name, value in values.items()}
    return PlannedStep(name="s", type="python", runs=runs, kwargs=kwargs)


def test_each_value_that_a_step_runs_with_is_an_item_once() -> None:
    """As people type it; those of steps that are left out are not."""
    plan = Plan(
        log_level="INFO",
        steps=[
            step(apps_id=10, full=False, title="Two Words"),
            step(apps_id=10, empty="", none=None, some=[1, "é"]),
            step(runs=False, left="out"),
        ],
    )
    assert param_items(plan) == ["apps_id=10", "empty=", "full=false", "none=null", 'some=[1,"é"]', "title=Two Words"]


@pytest.mark.parametrize(
    ("facts", "items"),
    [
        (StepFacts("load"), []),
        (StepFacts("load", has_begun=True), ["load=began"]),
        (StepFacts("load", has_begun=True, has_failed=True), ["load=began", "load=failed"]),
        (StepFacts("load", has_failed=True), ["load=failed"]),
        (StepFacts("load", is_skipped=True), ["load=skipped"]),
    ],
)
def test_all_that_is_true_of_a_step_is_an_item(facts: StepFacts, items: list[str]) -> None:
    """One that failed had begun, unless it could not even begin."""
    assert step_items([facts]) == items


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("ValueError: no such thing", "ValueError: no such thing"),
        ("ValueError: first\nsecond", "ValueError: first"),
        ("ValueError: first\r\nsecond", "ValueError: first"),
        ("E: " + "x" * 1000, "E: " + "x" * 497),
        ("E: a\x1fb", "E: a b"),
    ],
)
def test_of_an_error_the_first_line_is_looked_through(error: str, line: str) -> None:
    """And of a long one its beginning."""
    assert error_lines([None, error, ""]) == [line]


def test_of_very_many_errors_the_first_are_looked_through() -> None:
    """So that the text stays short."""
    errors = [f"E: {number}" for number in range(200)]
    assert error_lines(errors) == errors[:MAX_ERRORS]


def test_items_stand_between_separators_in_small_letters() -> None:
    """So that a whole item can be looked for, whatever its case."""
    assert joined(["F0004=began", "ÉTAPE=began"]) == "\x1ff0004=began\x1fétape=began\x1f"
    assert joined([]) == ""
