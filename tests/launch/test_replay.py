"""Replays: the old plan whole under today's definition, narrowed, adjusted, or refused with what has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.definitions.job import Job
from nomaflow.errors import InvalidError, JobChangedError, NomaflowError, NotAllowedError
from nomaflow.launch.form import Form, overrides, replay_form
from nomaflow.launch.overrides import Overrides, Replay
from nomaflow.launch.plan import SKIPPED_DISABLED, Plan, resolve
from nomaflow.launch.replay import KEPT, kept_from, provenance, replan
from tests.launch.jobs import TODAY, job, jobs, python_step, values_for

THEN = TODAY - timedelta(days=3)
OLD, OLDER = "run_OLD", "run_OLDER"
LATER = "an earlier step failed"
CONNECTORS = ["one", "two"]


@dataclass(frozen=True)
class Step:
    """How a step of the old run ended."""

    name: str
    state: str
    reason: str | None = None


@dataclass(frozen=True)
class Run:
    """An old run."""

    plan: Plan
    steps: Sequence[Step]
    id: str = OLD


def ran(of: Job, *failed: str, today: date = THEN, schedule: bool = False, **changes: Any) -> Run:
    """A run of the job: its steps succeeded up to the failed one, and those behind that never began."""
    fires = of.schedules[0] if schedule else None
    plan = resolve(of, Overrides.model_validate(changes), today=today, schedule=fires)
    return ended(plan, *failed)


def ended(plan: Plan, *failed: str, run_id: str = OLD) -> Run:
    """A run by that plan, up to the failed step."""
    steps: list[Step] = []
    is_over = False
    for planned in plan.steps:
        if not planned.runs:
            steps.append(Step(planned.name, "CANCELED", planned.reason))
        elif is_over:
            steps.append(Step(planned.name, "CANCELED", LATER))
        else:
            is_over = planned.name in failed
            steps.append(Step(planned.name, "FAILED" if is_over else "SUCCEEDED"))
    return Run(plan, steps, run_id)


def replayed(of: Job, old: Run, **request: Any) -> Plan:
    return replan(of, old, Replay.model_validate(request), today=TODAY, connectors=CONNECTORS)


def refused(of: Job, old: Run, **request: Any) -> NomaflowError:
    with pytest.raises(NomaflowError) as caught:
        replayed(of, old, **request)
    return caught.value


def mask(plan: Plan) -> dict[str, str]:
    """What each step does: `runs`, or why it does not."""
    return {step.name: "runs" if step.runs else step.reason or "" for step in plan.steps}


def steps(*names: str, **fields: Any) -> Job:
    """A job of python steps without parameters."""
    return job(*map(python_step, names), **fields)


KEPT_NOW = KEPT + OLD


def test_the_values_of_then_run_under_todays_definition() -> None:
    """Every value of the old plan, its log level and its mask; what is not the saved value comes from the replay."""
    then = job(python_step("load", n=1, m=1, size=1), python_step("mail"), params={"apps_id": 10})
    old = ran(
        then, params={"apps_id": 11}, steps={"load": {"op_kwargs": {"m": 2}}, "mail": {"enabled": False}},
        log_level="DEBUG",
    )  # fmt: skip
    now = job(python_step("load", n=5, m=1, size=1), python_step("mail"), params={"apps_id": 11})
    plan = replayed(now, old)
    assert plan.log_level == "DEBUG"
    assert mask(plan) == {"load": "runs", "mail": SKIPPED_DISABLED}
    assert {name: (value.value, value.origin) for name, value in plan.steps[0].kwargs.items()} == {
        "apps_id": (11, "saved"),
        "n": (1, "replay"),
        "m": (2, "replay"),
        "size": (1, "saved"),
    }


def test_days_stay_as_they_were_meant() -> None:
    """A replay of last week's run loads last week's day; a day that the request names is counted from today."""
    of = job(python_step(day={"type": "date", "default": "${yesterday}"}))
    [step] = replayed(of, ran(of)).steps
    assert step.kwargs["day"].model_dump() == {"value": str(THEN - timedelta(days=1)), "origin": "replay"}
    [step] = replayed(of, ran(of), params={"day": "${today}"}).steps
    assert step.kwargs["day"].model_dump() == {"value": str(TODAY), "origin": "override"}
    [step] = replayed(of, ran(of), params={"day": "${yesterday}"}).steps
    assert step.kwargs["day"].origin == "saved"


def test_the_request_lies_over_the_old_values() -> None:
    """Its own values are overrides, except those that are as they were or as they are saved."""
    of = job(python_step(n=1, m=1, size=1), params={"apps_id": 10})
    old = ran(of, steps={"load": {"op_kwargs": {"n": 2, "m": 2, "size": 2}}})
    plan = replayed(
        of, old, params={"apps_id": 12}, steps={"load": {"op_kwargs": {"n": 3, "m": 2, "size": 1}}}, log_level="DEBUG"
    )
    assert plan.log_level == "DEBUG"
    assert {name: (value.value, value.origin) for name, value in plan.steps[0].kwargs.items()} == {
        "apps_id": (12, "override"),
        "n": (3, "override"),
        "m": (2, "replay"),
        "size": (1, "saved"),
    }


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, ["runs", "runs", "runs", SKIPPED_DISABLED, "runs"]),
        ({"from_step": "b"}, [KEPT_NOW, "runs", "runs", SKIPPED_DISABLED, "runs"]),
        ({"from_step": "c"}, [KEPT_NOW, KEPT_NOW, "runs", SKIPPED_DISABLED, "runs"]),
        ({"from_step": "e"}, [KEPT_NOW, KEPT_NOW, SKIPPED_DISABLED, SKIPPED_DISABLED, "runs"]),
        ({"only": "failed"}, [KEPT_NOW, KEPT_NOW, "runs", SKIPPED_DISABLED, "runs"]),
        ({"only": "skipped"}, [KEPT_NOW, KEPT_NOW, SKIPPED_DISABLED, "runs", SKIPPED_DISABLED]),
        ({"steps": {"a": {"enabled": False}}}, [KEPT_NOW, "runs", "runs", SKIPPED_DISABLED, "runs"]),
        (
            {"only": "failed", "steps": {"e": {"enabled": False}, "a": {"enabled": True}}},
            ["runs", KEPT_NOW, "runs", SKIPPED_DISABLED, SKIPPED_DISABLED],
        ),
        (
            {"from_step": "d", "steps": {"d": {"enabled": True}}},
            [KEPT_NOW, KEPT_NOW, SKIPPED_DISABLED, "runs", "runs"],
        ),
    ],
)
def test_a_replay_is_narrowed(request_: dict[str, Any], expected: list[str]) -> None:
    """Of a run whose third of five steps failed, with the fourth switched off: what runs, and what is kept."""
    of = steps(*"abcde")
    old = ran(of, "c", steps={"d": {"enabled": False}})
    assert list(mask(replayed(of, old, **request_)).values()) == expected


@pytest.mark.parametrize(
    ("state", "reason", "runs"),
    [
        ("FAILED", None, True),
        ("FAILED", "interrupted: engine restarted", True),
        ("CANCELED", "canceled by user:ana", True),
        ("CANCELED", LATER, True),
        ("CANCELED", "interrupted: engine restarted", True),
        ("CANCELED", SKIPPED_DISABLED, False),
        ("CANCELED", KEPT + OLDER, False),
        ("SUCCEEDED", None, False),
    ],
)
def test_retry_failed_runs_what_did_not_succeed(state: str, reason: str | None, runs: bool) -> None:
    """Failed, interrupted, canceled, or never begun because of that; not what a person had left out."""
    of = steps("a", "b")
    old = Run(ran(of).plan, [Step("a", "FAILED"), Step("b", state, reason)])
    assert replayed(of, old, only="failed").steps[1].runs is runs


def test_a_step_that_is_switched_off_since_runs_as_it_did() -> None:
    """The mask is the old run's; a step that a person wants off is switched off in the request."""
    old = ran(steps("a", "b"))
    assert replayed(job(python_step("a"), {**python_step("b"), "enabled": False}), old).steps[1].runs


def test_a_kept_output_is_the_one_of_the_run_that_made_it() -> None:
    """A replay of a replay names the run whose output it is, not the one that passed it on."""
    of = steps("a", "b", "c")
    first = ended(ran(of).plan, "b", run_id=OLDER)
    second = ended(replayed(of, first, only="failed"), "c")
    third = replayed(of, second, only="failed")
    assert mask(third) == {"a": KEPT + OLDER, "b": KEPT_NOW, "c": "runs"}
    assert [kept_from(step.reason) for step in third.steps] == [OLDER, OLD, None]


def test_a_replay_of_a_replay_repeats_it() -> None:
    """What it kept is kept again; to begin with a kept step makes it anew, and those behind it."""
    of = steps("a", "b", "c")
    second = ended(replayed(of, ended(ran(of).plan, "c", run_id=OLDER), only="failed"))
    assert mask(replayed(of, second)) == {"a": KEPT + OLDER, "b": KEPT + OLDER, "c": "runs"}
    assert mask(replayed(of, second, from_step="b")) == {"a": KEPT + OLDER, "b": "runs", "c": "runs"}
    assert mask(replayed(of, second, steps={"a": {"enabled": True}}))["a"] == "runs"


def test_new_steps_and_parameters_are_as_they_are_saved() -> None:
    """What the old plan did not have runs if it is on today, unless only skipped steps are asked for."""
    old = ran(steps("a", "c"), "c")
    now = job(
        python_step("a"), python_step("new", n=1), {**python_step("off"), "enabled": False}, python_step("c", m=2)
    )
    plan = replayed(now, old)
    assert mask(plan) == {"a": "runs", "new": "runs", "off": SKIPPED_DISABLED, "c": "runs"}
    assert [step.values() for step in plan.steps] == [{}, {"n": 1}, {}, {"m": 2}]
    assert plan.steps[1].kwargs["n"].origin == "saved"
    assert mask(replayed(now, old, only="failed"))["new"] == "runs"
    assert mask(replayed(now, old, from_step="c"))["new"] == SKIPPED_DISABLED
    skipped = ran(steps("a", "c"), steps={"c": {"enabled": False}})
    assert mask(replayed(now, skipped, only="skipped"))["new"] == SKIPPED_DISABLED


GONE_STEP = {"path": "steps.b", "message": "the step 'b' is gone"}


@pytest.mark.parametrize(
    ("failed", "request_", "blocks"),
    [
        ("b", {}, True),
        ("b", {"only": "failed"}, True),
        ("c", {"only": "failed"}, False),
        ("c", {"from_step": "a"}, True),
        ("c", {"from_step": "new"}, False),
        ("c", {"from_step": "c"}, False),
        ("c", {"from_step": "last"}, False),
    ],
)
def test_a_step_that_is_gone_is_named(failed: str, request_: dict[str, Any], blocks: bool) -> None:
    """With 409, where it would run; a step that is left out anyway is in nobody's way."""
    old, now = ran(steps("a", "b", "c"), failed), steps("a", "new", "c", "last")
    if not blocks:
        assert replayed(now, old, **request_)
        return
    error = refused(now, old, **request_)
    assert isinstance(error, JobChangedError)
    assert error.details == [GONE_STEP]
    assert error.message == (
        f"job has changed since {OLD}: the step 'b' is gone; give other values, leave those steps out, "
        "or launch the job anew"
    )


def test_a_gone_step_that_was_skipped_is_no_matter() -> None:
    """It would not have run anyway."""
    old = ran(steps("a", "b"), steps={"b": {"enabled": False}})
    assert mask(replayed(steps("a"), old)) == {"a": "runs"}


@pytest.mark.parametrize(
    ("then", "now", "detail"),
    [
        (
            job(python_step("a", n=1), python_step("b")),
            steps("a", "b"),
            {"path": "steps.a.op_kwargs.n", "message": "the parameter 'n' of the step 'a' is gone"},
        ),
        (
            steps("a", "b", params={"n": 1}),
            steps("a", "b"),
            {"path": "params.n", "message": "the parameter 'n' is gone"},
        ),
        (
            steps("a", "b", params={"n": 9}),
            steps("a", "b", params={"n": {"type": "int", "default": 1, "max": 5}}),
            {"path": "params.n", "message": "n must be at most 5, not 9"},
        ),
        (
            job(python_step("a", n=9), python_step("b")),
            job(python_step("a", n="text"), python_step("b")),
            {"path": "steps.a.op_kwargs.n", "message": "n must be text, not 9"},
        ),
        (
            steps("a", "b", params={"connector": "onee"}),
            steps("a", "b", params={"connector": "one"}),
            {
                "path": "params.connector",
                "message": "connector names the connector 'onee', which is not there; did you mean \"one\"?",
            },
        ),
        (
            job(python_step("a", n="dev"), python_step("b")),
            job(python_step("a", n={"type": "choice", "default": 1, "choices": [1, 2]}), python_step("b")),
            {"path": "steps.a.op_kwargs.n", "message": "n must be one of 1, 2, not 'dev'"},
        ),
    ],
)
def test_what_does_not_fit_any_more_is_named(then: Job, now: Job, detail: dict[str, str]) -> None:
    """A parameter that is gone, a value that today's declaration does not take: 409 with the form's path, once."""
    error = refused(now, ran(then, "b"))
    assert isinstance(error, JobChangedError)
    assert error.details == [detail]
    # In a step that does not run, nothing stands in the way.
    if detail["path"].startswith("steps.a"):
        assert replayed(now, ran(then, "b"), only="failed").steps[1].runs


def test_a_value_that_does_not_fit_is_mended_in_the_request() -> None:
    """With a new one, for all steps or for the one."""
    old = ran(steps("a", params={"n": 9}))
    now = steps("a", params={"n": {"type": "int", "default": 1, "max": 5}})
    for request in ({"params": {"n": 4}}, {"steps": {"a": {"op_kwargs": {"n": 4}}}}):
        assert replayed(now, old, **request).steps[0].kwargs["n"].model_dump() == {"value": 4, "origin": "override"}
    assert replayed(now, old, params={"n": 1}).steps[0].kwargs["n"].origin == "saved"


def test_a_step_without_a_value_runs_as_it_did() -> None:
    """The function's own default counted then, and counts again; where a value is required now, it is asked for."""
    old = ran(job(python_step(n={"type": "int"})))
    assert replayed(job(python_step(n=5)), old).steps[0].kwargs["n"].model_dump() == {"value": None, "origin": "replay"}
    error = refused(job(python_step(n={"type": "int", "required": True})), old)
    assert isinstance(error, InvalidError)
    assert [detail["path"] for detail in error.details] == ["steps.load.op_kwargs.n"]


def locked(value: Any, kind: str = "int") -> dict[str, Any]:
    return {"type": kind, "default": value, "locked": True}


@pytest.mark.parametrize("declaration", [locked(2), {"type": "secret", "default": "pw"}])
def test_a_value_that_is_locked_to_another_one_is_refused(declaration: dict[str, Any]) -> None:
    """403 as for a launch: an old run is no way around the lock."""
    old = ran(job(python_step(n=1 if declaration["type"] == "int" else "old-pw")))
    error = refused(job(python_step(n=declaration)), old)
    assert isinstance(error, NotAllowedError)
    assert error.details == [{"path": "steps.load.op_kwargs.n", "message": "is locked"}]
    same_now = job(python_step(n={**declaration, "default": old.plan.steps[0].values()["n"]}))
    assert replayed(same_now, old).steps[0].kwargs["n"].origin == "saved"


def test_the_request_cannot_change_what_is_locked() -> None:
    """The lock holds for a replay's own values as for a launch's."""
    of = job(python_step(n=locked(1)))
    assert isinstance(refused(of, ran(of), params={"n": 2}), NotAllowedError)


def test_a_locked_day_stays_the_day_of_then() -> None:
    """The file still says the same; that the day has moved on is what a replay is for."""
    of = job(python_step(day=locked("${yesterday}", "date")))
    old = ran(of)
    assert replayed(of, old).steps[0].values()["day"] == str(THEN - timedelta(days=1))
    assert replayed(of, ended(replayed(of, old))).steps[0].values()["day"] == str(THEN - timedelta(days=1))


def test_a_locked_value_that_a_schedule_gives_can_be_replayed() -> None:
    """The file itself says it; a nightly run that failed is replayed in the morning as it was."""
    preset = {"cron": "@daily", "params": {"n": 7}}
    of = job(python_step(), params={"n": locked(1)}, schedules=[preset])
    [step] = replayed(of, ran(of, schedule=True)).steps
    assert step.kwargs["n"].model_dump() == {"value": 7, "origin": "replay"}
    changed = job(python_step(), params={"n": locked(1)}, schedules=[{**preset, "params": {"n": 8}}])
    assert isinstance(refused(changed, ran(of, schedule=True)), NotAllowedError)


@pytest.mark.parametrize(
    ("said_then", "said_now", "changes", "expected"),
    [
        ("${env:A}", "${env:A}", {}, ("${env:A}", "saved")),
        ("of ${today}, ${env:A}", "of ${today}, ${env:A}", {}, (f"of {THEN}, ${{env:A}}", "saved")),
        ("plain", "plain", {"params": {"x": "${env:A}"}}, ("${env:A}", "replay")),
        ("plain", "${env:A}", {}, ("plain", "replay")),
    ],
)
def test_only_what_the_file_says_is_looked_up(
    said_then: str, said_now: str, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    """A value keeps the origin `saved` where the engine has to put a variable in, and gets it nowhere else."""
    [step] = replayed(job(python_step(x=said_now)), ran(job(python_step(x=said_then)), **changes)).steps
    assert (step.kwargs["x"].value, step.kwargs["x"].origin) == expected


def test_a_looked_up_value_that_the_file_says_no_longer_is_named() -> None:
    """Passed on as it stands it would be the bare text, so it is refused and not changed in silence."""
    error = refused(job(python_step(x="plain")), ran(job(python_step(x="${env:A}"))))
    assert isinstance(error, JobChangedError)
    assert error.details == [
        {
            "path": "steps.load.op_kwargs.x",
            "message": "x was '${env:A}' in the job's file, which says something else now",
        }
    ]


def test_a_schedules_variable_is_looked_up_again() -> None:
    """As long as a schedule says it."""
    of = job(python_step(x="plain"), schedules=[{"cron": "@daily", "params": {"x": "${env:A}"}}])
    [step] = replayed(of, ran(of, schedule=True)).steps
    assert step.kwargs["x"].model_dump() == {"value": "${env:A}", "origin": "schedule"}


@pytest.mark.parametrize(
    ("request_", "path", "message"),
    [
        ({"from_step": "zzz"}, "from_step", "unknown step 'zzz'"),
        ({"from_step": "lod"}, "from_step", "unknown step 'lod'; did you mean \"load\"?"),
        ({"from_step": "gone"}, "from_step", f"the step 'gone' of {OLD} is gone"),
        ({"from_step": "a", "only": "failed"}, "only", "from_step and only exclude each other; give one of them"),
        (
            {"from_step": "off"},
            "from_step",
            f"off was skipped in {OLD}, so a replay cannot begin with it; switch it on, or name another step",
        ),
        (
            {"only": "failed"},
            "only",
            f"there is nothing to do: every step that ran succeeded in {OLD}; leave `only` out to replay all of it",
        ),
        ({"params": {"n": 1}}, "params.n", "unknown parameter 'n'"),
        ({"steps": {"lod": {}}}, "steps.lod", "unknown step 'lod'; did you mean \"load\"?"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(request_: dict[str, Any], path: str, message: str) -> None:
    """422 with the path of what was asked for."""
    then = job(python_step("gone"), python_step("a"), {**python_step("off"), "enabled": False}, python_step("load"))
    error = refused(
        job(python_step("a"), {**python_step("off"), "enabled": False}, python_step("load")), ran(then), **request_
    )
    assert isinstance(error, InvalidError)
    assert error.details == [{"path": path, "message": message}]


def test_nothing_skipped_is_nothing_to_do() -> None:
    """422, and it says what does."""
    error = refused(steps("a"), ran(steps("a"), "a"), only="skipped")
    assert error.message == (
        f"there is nothing to do: no step was skipped in {OLD}; leave `only` out to replay all of it"
    )


def test_a_replay_in_which_nothing_runs_is_refused() -> None:
    """As a launch is."""
    of = steps("a", "b")
    error = refused(of, ran(of, "b"), only="failed", steps={"b": {"enabled": False}})
    assert error.message == "every step is switched off, so nothing would run; leave at least one on"


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        ({}, f"replay of {OLD}"),
        ({"from_step": "b"}, f"replay of {OLD} from step b"),
        ({"only": "failed"}, f"replay of {OLD}, only what did not succeed"),
        ({"only": "skipped"}, f"replay of {OLD}, only what was skipped"),
        (
            {
                "from_step": "b",
                "log_level": "DEBUG",
                "params": {"n": 1},
                "steps": {"b": {"enabled": True, "op_kwargs": {"m": 1}}},
            },
            f"replay of {OLD} from step b, changed: log_level, params.n, steps.b.enabled, steps.b.op_kwargs.m",
        ),
    ],
)
def test_the_log_begins_with_where_the_run_comes_from(request_: dict[str, Any], line: str) -> None:
    """Of which run, from where, what was changed."""
    assert provenance(ran(steps("a", "b")), Replay.model_validate(request_)) == line


def form_of(of: Job, old: Run) -> Form:
    return replay_form(of, old, today=TODAY, connectors=CONNECTORS, etag="etag")


def test_the_form_shows_the_values_of_then() -> None:
    """Beside each of them the saved one, so that a person sees what differs."""
    then = job(python_step(n=1, m=1), python_step("mail"), params={"apps_id": 10, "zone": "x"})
    old = ran(then, params={"apps_id": 11}, steps={"mail": {"enabled": False}}, log_level="DEBUG")
    now = job(python_step(n=5, m=1, new=3), python_step("mail"), params={"apps_id": 10, "zone": "x"})
    form = form_of(now, old)
    assert form.replay_of == OLD
    assert {path: (field.saved, field.value, field.origin) for path, field in form.all_fields().items()} == {
        "log_level": ("INFO", "DEBUG", "replay"),
        "params.apps_id": (10, 11, "replay"),
        "params.zone": ("x", "x", "saved"),
        "steps.load.enabled": (True, True, "saved"),
        "steps.load.op_kwargs.n": (5, 1, "replay"),
        "steps.load.op_kwargs.m": (1, 1, "saved"),
        "steps.load.op_kwargs.new": (3, 3, "saved"),
        "steps.mail.enabled": (True, False, "replay"),
    }
    assert form.problems == []


def test_only_what_differs_from_then_is_sent() -> None:
    """A value that is put back to the saved one is a change too."""
    of = job(python_step(n=1, m=1))
    form = form_of(of, ran(of, steps={"load": {"op_kwargs": {"n": 2, "m": 2}}}))
    answers = {path: field.value for path, field in form.all_fields().items()}
    assert overrides(form, answers) == Overrides()
    assert overrides(form, answers | {"steps.load.op_kwargs.n": 1}) == Overrides.model_validate(
        {"steps": {"load": {"op_kwargs": {"n": 1}}}}
    )


def test_a_shared_value_is_shown_as_the_steps_had_it() -> None:
    """Not as a step with a parameter of its own has it; where steps differ, the first that runs is shown."""
    of = job(python_step("own", n=5), python_step("a"), python_step("b"), params={"n": 1})
    old = ran(of, steps={"a": {"enabled": False, "op_kwargs": {"n": 2}}, "b": {"op_kwargs": {"n": 3}}})
    assert form_of(of, old).all_fields()["params.n"].value == 3
    assert [step.values() for step in replayed(of, old).steps] == [{"n": 5}, {"n": 2}, {"n": 3}]
    alone = job(python_step("own", n=5), params={"n": 1})
    assert form_of(alone, ran(alone, params={"n": 4})).all_fields()["params.n"].value == 4


def test_the_form_says_what_stands_in_the_way() -> None:
    """It opens all the same: narrowed or mended, the replay may go."""
    then = job(python_step("gone"), python_step("load", n=9, m=1))
    form = form_of(job(python_step("load", n={"type": "int", "max": 5, "default": 1}, m=locked(2))), ran(then))
    assert [(problem.path, problem.message) for problem in form.problems] == [
        ("steps.gone", "the step 'gone' is gone"),
        ("steps.load.op_kwargs.n", "n must be at most 5, not 9"),
        ("steps.load.op_kwargs.m", "is locked to another value now"),
    ]
    assert form.all_fields()["steps.load.op_kwargs.n"].value == 9


@given(of=jobs(), data=st.data())
def test_an_untouched_replay_repeats_the_run(of: Job, data: st.DataObject) -> None:
    """For any job and launch, on any later day: the same values, the same steps, the same log level; and of its form
    nothing is sent."""
    named = data.draw(st.sets(st.sampled_from(sorted(of.params)))) if of.params else ()
    shared = {name: data.draw(values_for(of.declared(name)[0].type)) for name in sorted(named)}
    enabled = {step.name: {"enabled": data.draw(st.booleans())} for step in of.steps[1:]}
    old = ran(of, params=shared, steps=enabled)
    form = form_of(of, old)
    assert overrides(form, {path: field.value for path, field in form.all_fields().items()}) == Overrides()
    assert form.problems == []
    plan = replayed(of, old)
    assert plan.log_level == old.plan.log_level
    assert [(step.name, step.runs, step.values()) for step in plan.steps] == [
        (step.name, step.runs, step.values()) for step in old.plan.steps
    ]


@given(of=jobs(), data=st.data())
def test_a_narrowed_replay_runs_what_it_says(of: Job, data: st.DataObject) -> None:
    """For any run that failed: the retry runs the failed step and those behind it that were to run, and keeps every
    output of it."""
    names = [step.name for step in of.steps if step.enabled]
    failed = data.draw(st.sampled_from(names))
    old = ran(of, failed)
    plan = replayed(of, old, only="failed")
    assert {step.name for step in plan.steps if step.runs} == set(names[names.index(failed) :])
    assert {step.name for step in plan.steps if kept_from(step.reason)} == set(names[: names.index(failed)])
    assert replayed(of, old, from_step=failed) == plan
