"""The launch plan: five layers, the last one wins, and every value knows where it comes from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nomaflow.definitions.job import Job
from nomaflow.errors import InvalidError, NotAllowedError
from nomaflow.launch.overrides import Launch, Overrides
from nomaflow.launch.plan import PlannedStep, resolve
from tests.launch.jobs import TODAY, job, jobs, python_step, values_for

LAYERS = ["job params", "step op_kwargs", "schedule", "launch params", "launch op_kwargs"]


def launch(**fields: Any) -> Overrides:
    return Overrides.model_validate(fields)


def planned(of: Job, overrides: Overrides | None = None, *, schedule: bool = False) -> PlannedStep:
    """The first step of the plan."""
    fires = of.schedules[0] if schedule else None
    return resolve(of, overrides or Overrides(), today=TODAY, schedule=fires).steps[0]


def refused(of: Job, overrides: Overrides) -> InvalidError:
    with pytest.raises(InvalidError) as caught:
        resolve(of, overrides, today=TODAY)
    return caught.value


@pytest.mark.parametrize("layers", range(1, 2 ** len(LAYERS)))
def test_the_last_layer_wins(layers: int) -> None:
    """Of every mix of the five layers, the last one that names the value gives it, and its origin."""
    given_by = {name: number for number, name in enumerate(LAYERS) if layers & 1 << number}
    undeclared = not {"job params", "step op_kwargs"} & given_by.keys()
    params = {"n": 0} if "job params" in given_by or undeclared else {}
    own: dict[str, Any] = {"n": 1} if "step op_kwargs" in given_by else {}
    of = job(
        python_step(**own),
        params=params,
        schedules=[{"cron": "@daily", "params": {"n": 2} if "schedule" in given_by else {}}],
    )
    overrides = launch(
        params={"n": 3} if "launch params" in given_by else {},
        steps={"load": {"op_kwargs": {"n": 4}}} if "launch op_kwargs" in given_by else {},
    )
    last = max(given_by.values())
    value = planned(of, overrides, schedule=True).kwargs["n"]
    assert (value.value, value.origin) == (last, ["saved", "saved", "schedule", "override", "override"][last])


def test_a_change_of_a_shared_param_beats_a_saved_step_value() -> None:
    """The saved shared value loses to the step's own, and the one of the form wins over it."""
    of = job(python_step(n=2), params={"n": 1})
    assert planned(of).values() == {"n": 2}
    assert planned(of, launch(params={"n": 3})).values() == {"n": 3}


def test_a_schedules_step_value_beats_its_shared_one() -> None:
    """Within one layer, what is said of the step wins over what is said of all steps."""
    preset = {"cron": "@daily", "params": {"n": 2}, "steps": {"load": {"op_kwargs": {"n": 3}}}}
    of = job(python_step(n=1), params={"n": 0}, schedules=[preset])
    assert planned(of, schedule=True).kwargs["n"].model_dump() == {"value": 3, "origin": "schedule"}


@pytest.mark.parametrize(
    ("saved", "sent"), [(1, 1), (1.5, 1.5), (True, True), ("a", "a"), ([1, {"a": 2}], [1, {"a": 2}])]
)
def test_sending_the_saved_value_makes_no_override(saved: Any, sent: Any) -> None:
    """A value that is what it was keeps the origin `saved`."""
    of = job(python_step(x={"type": "json", "default": saved}))
    assert planned(of, launch(params={"x": sent})).kwargs["x"].origin == "saved"


@pytest.mark.parametrize(("saved", "sent"), [(1, True), (0, False), ([1], [True]), ({"a": 1}, {"a": True})])
def test_true_is_not_one(saved: Any, sent: Any) -> None:
    """A change from a number to a truth value is a change, also deep inside."""
    of = job(python_step(x={"type": "json", "default": saved}))
    assert planned(of, launch(params={"x": sent})).kwargs["x"].model_dump() == {"value": sent, "origin": "override"}


def test_going_back_from_a_schedules_value_to_the_saved_one_is_an_override() -> None:
    """What counts is the layer below, not the file."""
    of = job(python_step(n=1), schedules=[{"cron": "@daily", "params": {"n": 2}}])
    value = planned(of, launch(params={"n": 1}), schedule=True).kwargs["n"]
    assert (value.value, value.origin) == (1, "override")


def test_a_shared_change_reaches_only_steps_that_know_the_name() -> None:
    """A name that only one step declares stays that step's."""
    of = job(python_step("one", n=1), python_step("two", m=1))
    plan = resolve(of, launch(params={"n": 5}), today=TODAY)
    assert [step.values() for step in plan.steps] == [{"n": 5}, {"m": 1}]


def test_shared_params_reach_every_step() -> None:
    """Job params are merged under the kwargs of each step, SQL steps included."""
    query = {"name": "count", "type": "sql_query", "connector": "db", "query": "SELECT 1"}
    plan = resolve(job(python_step(n=1), query, params={"apps_id": 10}), Overrides(), today=TODAY)
    assert [step.values() for step in plan.steps] == [{"apps_id": 10, "n": 1}, {"apps_id": 10}]


@pytest.mark.parametrize(
    ("saved", "preset", "sent", "runs"),
    [
        (True, None, None, True),
        (False, None, None, False),
        (True, False, None, False),
        (False, True, None, True),
        (True, False, True, True),
        (False, True, False, False),
        (False, None, True, True),
    ],
)
def test_a_step_is_on_as_the_last_layer_says(saved: bool, preset: bool | None, sent: bool | None, runs: bool) -> None:
    """File, schedule, launch: the last one that says something about a step's switch decides."""
    of = job(
        {**python_step("other"), "enabled": saved},
        python_step("always"),
        schedules=[{"cron": "@daily", "steps": {"other": {"enabled": preset}}}],
    )
    step = planned(of, launch(steps={"other": {"enabled": sent}}), schedule=True)
    assert (step.runs, step.reason) == (runs, None if runs else "skipped: disabled")


def test_a_plan_in_which_nothing_runs_is_refused() -> None:
    """With every step off there is nothing to do; that is said and not done."""
    error = refused(job(), launch(steps={"load": {"enabled": False}}))
    assert error.message == "every step is switched off, so nothing would run; leave at least one on"


def test_the_log_level_is_the_last_one_said() -> None:
    """Job, schedule, launch."""
    of = job(schedules=[{"cron": "@daily", "log_level": "DEBUG"}])
    assert resolve(of, Overrides(), today=TODAY).log_level == "INFO"
    assert resolve(of, Overrides(), today=TODAY, schedule=of.schedules[0]).log_level == "DEBUG"
    assert resolve(of, launch(log_level="INFO"), today=TODAY, schedule=of.schedules[0]).log_level == "INFO"


@pytest.mark.parametrize(
    ("overrides", "path", "message"),
    [
        ({"params": {"api_id": 1}}, "params.api_id", "unknown parameter 'api_id'; did you mean \"apps_id\"?"),
        ({"params": {"zzz": 1}}, "params.zzz", "unknown parameter 'zzz'"),
        ({"steps": {"laod": {}}}, "steps.laod", "unknown step 'laod'; did you mean \"load\"?"),
        (
            {"steps": {"load": {"op_kwargs": {"ful": True}}}},
            "steps.load.op_kwargs.ful",
            "unknown parameter 'ful'; did you mean \"full\"?",
        ),
        ({"steps": {"count": {"op_kwargs": {"full": True}}}}, "steps.count.op_kwargs.full", "unknown parameter 'full'"),
    ],
)
def test_an_unknown_name_is_refused(overrides: dict[str, Any], path: str, message: str) -> None:
    """The answer names the field, and the nearest name that there is."""
    query = {"name": "count", "type": "sql_query", "connector": "db", "query": "SELECT 1"}
    error = refused(job(python_step(full=False), query, params={"apps_id": 10}), launch(**overrides))
    assert error.details == [{"path": path, "message": message}]


def test_all_that_is_wrong_is_said_at_once() -> None:
    """One detail for each problem; the message holds the first and how many more there are."""
    error = refused(job(python_step(n=1)), launch(params={"n": "1", "x": 2}, steps={"gone": {}}))
    assert [detail["path"] for detail in error.details] == ["params.n", "params.x", "steps.gone"]
    assert error.message == "n must be a whole number, not '1' (and 2 more)"


def test_a_shared_change_fits_every_declaration_that_it_reaches() -> None:
    """It wins over a step's own value, so it may not be of another type than the step declares."""
    of = job(python_step("one", n=1), python_step("two", n="text"), params={"n": 1})
    error = refused(of, launch(params={"n": 2}))
    assert error.details == [{"path": "params.n", "message": "n must be text, not 2"}]
    assert planned(of, launch(steps={"one": {"op_kwargs": {"n": 2}}})).values() == {"n": 2}


REQUIRED = {"type": "int", "required": True}


def test_a_required_value_is_asked_for() -> None:
    """Without a saved value the launch must give one, for a step that runs."""
    of = job(python_step("one", n=REQUIRED), python_step("two"))
    error = refused(of, Overrides())
    assert error.details == [{"path": "steps.one.op_kwargs.n", "message": "n is required and has no saved value"}]
    assert planned(of, launch(params={"n": 5})).values() == {"n": 5}
    assert resolve(of, launch(steps={"one": {"enabled": False}}), today=TODAY).steps[1].runs


@pytest.mark.parametrize("where", ["params", "op_kwargs"])
@pytest.mark.parametrize(
    "declaration", [{"type": "int", "default": 1, "locked": True}, {"type": "secret", "default": "pw"}]
)
@pytest.mark.parametrize("change", [{"params": {"x": 9}}, {"steps": {"load": {"op_kwargs": {"x": 9}}}}])
def test_a_locked_value_is_not_changed(where: str, declaration: dict[str, Any], change: dict[str, Any]) -> None:
    """Locked parameters and secrets refuse every override with 403, through whichever layer it comes."""
    sent = {"x": 9 if declaration["type"] == "int" else "other"}
    changed = {"params": sent} if "params" in change else {"steps": {"load": {"op_kwargs": sent}}}
    of = job(python_step(), params={"x": declaration}) if where == "params" else job(python_step(x=declaration))
    with pytest.raises(NotAllowedError, match=r"x cannot be changed for a run: locked in the job's file") as caught:
        resolve(of, launch(**changed), today=TODAY)
    assert caught.value.status == 403


def test_sending_a_locked_value_as_it_is_saved_changes_nothing() -> None:
    """A client that sends a whole form back is not refused for what it did not touch."""
    of = job(python_step(x={"type": "int", "default": 1, "locked": True}))
    assert planned(of, launch(params={"x": 1})).kwargs["x"].origin == "saved"


def test_date_tokens_are_resolved_in_the_plan() -> None:
    """The stored plan holds the day that was meant; what is looked up later stays as it is."""
    of = job(python_step(day={"type": "date", "default": "${yesterday}"}, text="of ${month.first}, ${env:HOME}"))
    assert planned(of).values() == {"day": "2026-02-28", "text": "of 2026-03-01, ${env:HOME}"}
    assert planned(of, launch(params={"day": "${today}"})).kwargs["day"].model_dump() == {
        "value": "2026-03-01",
        "origin": "override",
    }


def test_a_launch_names_nothing_unknown() -> None:
    """A mistyped key is refused, not ignored."""
    with pytest.raises(ValidationError):
        Launch.model_validate({"parms": {}})


@given(of=jobs(), data=st.data())
def test_resolve_is_last_wins(of: Job, data: st.DataObject) -> None:
    """For any job and any changes, each value is that of the last layer that names it."""
    shared = {name: data.draw(values_for(of.declared(name)[0].type)) for name in _some(data, of.params)}
    own = {
        step.name: {
            name: data.draw(values_for(of.declared(name, step)[0].type))
            for name in _some(data, {**of.params, **of.op_kwargs(step)})
        }
        for step in of.steps
    }
    overrides = launch(params=shared, steps={name: {"op_kwargs": kwargs} for name, kwargs in own.items()})
    plan = resolve(of, overrides, today=TODAY)
    for step, result in zip(of.steps, plan.steps, strict=True):
        saved = {name: param.default for name, param in {**of.params, **of.op_kwargs(step)}.items()}
        expected = {**saved, **shared, **own[step.name]}
        assert result.kwargs.keys() == expected.keys()
        for name, value in expected.items():
            dated = isinstance(value, str) and "${" in value
            assert dated or result.kwargs[name].value == value
            if name not in shared and name not in own[step.name]:
                assert result.kwargs[name].origin == "saved"


def _some(data: st.DataObject, names: Iterable[str]) -> list[str]:
    known = sorted(names)
    return data.draw(st.lists(st.sampled_from(known), unique=True)) if known else []
