"""The Run-with-parameters form: what it asks, and the difference that its answers make."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.definitions.job import Job
from nomaflow.definitions.param import same
from nomaflow.errors import InvalidError
from nomaflow.launch.form import Form, fires_at_once, form, overrides
from nomaflow.launch.overrides import Overrides
from nomaflow.launch.plan import resolve
from tests.launch.jobs import TODAY, VALUES, job, jobs, python_step

QUERY = {"name": "count", "type": "sql_query", "connector": "db", "query": "SELECT 1"}


def of(job: Job) -> Form:
    return form(job, etag="etag")


def saved_answers(form: Form) -> dict[str, Any]:
    """What a form that nobody touched gives back."""
    return {path: field.saved for path, field in form.all_fields().items()}


@pytest.mark.parametrize(
    ("steps", "params", "at_once"),
    [
        ([QUERY], {}, True),
        ([python_step()], {}, True),
        ([{**python_step(), "enabled": False}], {}, True),
        ([QUERY], {"n": 1}, False),
        ([python_step(n=1)], {}, False),
        ([QUERY, {**QUERY, "name": "other"}], {}, False),
        ([QUERY, {**QUERY, "name": "other", "enabled": False}], {}, False),
    ],
)
def test_run_now_needs_no_form_for_one_step_without_parameters(
    steps: list[dict[str, Any]], params: dict[str, Any], at_once: bool
) -> None:
    """Exactly one step, no params, no op_kwargs: fires at once. Everything else asks first."""
    assert fires_at_once(job(*steps, params=params)) is at_once
    assert of(job(*steps, params=params)).fires_at_once is at_once


def test_the_form_lists_what_can_be_changed() -> None:
    """Log level, shared params, then each step with its switch and, where it is python, its op_kwargs."""
    asked = of(job(python_step(full=False), QUERY, params={"apps_id": 10, "target_connector": "db"}))
    assert {path: (field.type, field.saved) for path, field in asked.all_fields().items()} == {
        "log_level": ("choice", "INFO"),
        "params.apps_id": ("int", 10),
        "params.target_connector": ("connector", "db"),
        "steps.load.enabled": ("bool", True),
        "steps.load.op_kwargs.full": ("bool", False),
        "steps.count.enabled": ("bool", True),
    }
    assert asked.all_fields()["params.target_connector"].choices_from == "connectors"
    assert [step.detail for step in asked.steps] == ["module:function", "db: SELECT 1"]


def test_a_field_says_what_its_declaration_says() -> None:
    """Label, help, bounds, choices and the lock reach every surface."""
    said = {"type": "choice", "choices": [1, 2], "label": "N", "help": "How many", "locked": True, "required": True}
    asked = of(job(params={"n": {**said, "default": 1}, "m": {"type": "float", "min": 0, "max": 1}})).all_fields()
    assert asked["params.n"].model_dump(exclude_defaults=True) == {
        **said,
        "path": "params.n",
        "saved": 1,
        "value": 1,
    }
    assert (asked["params.m"].min, asked["params.m"].max) == (0, 1)


def test_only_what_differs_is_an_override() -> None:
    """Of a form that is given back whole, the changed fields alone make overrides."""
    asked = of(job(python_step(full=False, n=1), QUERY, params={"apps_id": 10}))
    changes = {
        "log_level": "DEBUG",
        "params.apps_id": 11,
        "steps.load.op_kwargs.full": True,
        "steps.count.enabled": False,
    }
    assert overrides(asked, saved_answers(asked) | changes) == Overrides.model_validate(
        {
            "log_level": "DEBUG",
            "params": {"apps_id": 11},
            "steps": {"load": {"op_kwargs": {"full": True}}, "count": {"enabled": False}},
        }
    )


def test_an_answer_to_no_field_is_refused() -> None:
    """The message names the field that there is not, and the nearest that there is."""
    with pytest.raises(
        InvalidError, match=r"the form of job has no field 'params\.api'; did you mean \"params\.apps\""
    ):
        overrides(of(job(params={"apps": 1})), {"params.api": 2})


@pytest.mark.parametrize(("path", "answer"), [("log_level", "TRACE"), ("log_level", 1), ("steps.load.enabled", "on")])
def test_an_answer_that_no_such_field_can_have_is_refused(path: str, answer: Any) -> None:
    """A wrong switch or log level is the form's refusal as any other, with the field's path."""
    with pytest.raises(InvalidError) as caught:
        overrides(of(job()), {path: answer})
    assert [detail["path"] for detail in caught.value.details] == [path]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        (None, None, True),
        (None, False, False),
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        ([1], [1, 2], False),
        ([1], [True], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"b": 1}, False),
    ],
)
def test_values_are_compared_as_json(one: Any, other: Any, expected: bool) -> None:
    """Truth values are no numbers, also inside; whole and broken numbers of one value are the same."""
    assert same(one, other) is same(other, one) is expected


@given(jobs())
def test_an_untouched_form_changes_nothing(job: Job) -> None:
    """For any job, the saved answers give no overrides at all, and the plan is the saved one."""
    asked = of(job)
    assert overrides(asked, saved_answers(asked)) == Overrides()
    assert overrides(asked, {}) == Overrides()


@given(job=jobs(), data=st.data())
def test_the_answers_are_what_runs(job: Job, data: st.DataObject) -> None:
    """For any job and any answers, the plan holds each answer that was changed."""
    asked = of(job)
    fields = {path: field for path, field in asked.all_fields().items() if field.type in VALUES}
    chosen = data.draw(st.sets(st.sampled_from(sorted(fields))))
    answers = {path: data.draw(VALUES[fields[path].type], label=path) for path in sorted(chosen)}
    answers["steps.step0.enabled"] = True  # something has to run
    plan = resolve(job, overrides(asked, answers), today=TODAY)
    steps = {step.name: step for step in plan.steps}
    for path, answer in answers.items():
        match path.split("."):
            case ["steps", step, "enabled"]:
                assert steps[step].runs is answer
            case ["steps", step, "op_kwargs", name] if "${" not in str(answer):
                changed = not same(answer, fields[path].saved) or f"params.{name}" not in answers
                assert not changed or same(steps[step].values()[name], answer)
