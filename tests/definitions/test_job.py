"""A job's record: what hangs together, and what one schedule may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from nomaflow.definitions.job import Job, Schedule
from nomaflow.definitions.problems import sentence
from nomaflow.definitions.steps import STEP_TYPES, Step
from nomaflow.definitions.steps.common import Retry, RetryOverride
from tests.launch.jobs import job, python_step

STEP: TypeAdapter[Any] = TypeAdapter(Step)


def problems(*steps: dict[str, Any], **fields: Any) -> list[str]:
    """What is wrong with the job, as a reader sees it."""
    with pytest.raises(ValidationError) as caught:
        job(*steps, **fields)
    return [sentence(error, Job) for error in caught.value.errors()]


def test_a_job_has_the_defaults_of_its_fields() -> None:
    """What a file leaves out is on, quiet, and one at a time."""
    of = job()
    assert (of.enabled, of.log_level, of.overlap, of.locks, of.schedules, of.params) == (
        True,
        "INFO",
        "skip",
        [],
        [],
        {},
    )
    assert of.retry == Retry(attempts=1, backoff="fixed", base_seconds=60, max_seconds=600)
    assert (of.steps[0].enabled, of.steps[0].timeout_seconds, of.steps[0].retry) == (True, 3600, None)


def test_one_schedule_may_be_written_in_the_singular() -> None:
    """`[schedule]` is one `[[schedules]]`; both together are refused."""
    assert [schedule.cron for schedule in job(schedule={"cron": "@daily"}).schedules] == ["@daily"]
    both = problems(schedule={"cron": "@daily"}, schedules=[{"cron": "@daily"}])
    assert both == ["has both [schedule] and [[schedules]]; keep one of them"]


@pytest.mark.parametrize(
    "job_id",
    ["", "x" * 65, "..", ".", "a/b", "a\0b", "Upper", "-a", "_a", "a.b", "a b", "é", "\u0430", "a\u200bb", "a\n", "😀"],
)
def test_an_id_is_a_safe_file_name(job_id: str) -> None:
    """Lower case, digits, dash and underscore; nothing that a file system, a URL or an eye could take for another."""
    with pytest.raises(ValidationError):
        job(id=job_id)


@pytest.mark.parametrize("name", ["Mars/Base", "../../etc/passwd", "utc ", "/etc/localtime", "", "x" * 10_000])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    """It is looked up in a list, never as a path."""
    (message,) = problems(schedules=[{"cron": "@daily", "timezone": name}])
    assert message.startswith("names an unknown time zone")
    assert len(message) < 200


def test_a_near_time_zone_is_suggested() -> None:
    """A typing mistake is told from an unknown place."""
    (message,) = problems(schedules=[{"cron": "@daily", "timezone": "Europe/Pariss"}])
    assert message == "names an unknown time zone 'Europe/Pariss'; did you mean \"Europe/Paris\"?"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"overlap": "skp"}, 'did you mean "skip"?'),
        ({"overlap": "queue-one"}, 'did you mean "queue_one"?'),
        ({"log_level": "DBUG"}, 'did you mean "DEBUG"?'),
        ({"retry": {"backoff": "exponental"}}, 'did you mean "exponential"?'),
        ({"schedules": [{"cron": "@daily", "misfire": "lastest"}]}, 'did you mean "latest"?'),
    ],
)
def test_a_near_miss_among_choices_is_suggested(fields: dict[str, Any], message: str) -> None:
    """Whichever of the choices it is near to."""
    (found,) = problems(**fields)
    assert found.startswith("must be one of ")
    assert found.endswith(message)


@pytest.mark.parametrize("window", ["0", "30s", "5m", "1h", "2d"])
def test_a_window_is_a_number_with_a_unit(window: str) -> None:
    """Seconds, minutes, hours or days; or none at all."""
    assert Schedule.model_validate({"cron": "@daily", "catchup_window": window}).catchup_window == window


@pytest.mark.parametrize("window", ["", "1", "1.5h", "-1h", "0h", "1w", "1 h", "9999999s", "1h\n"])
def test_another_window_is_refused(window: str) -> None:
    """With an example of how it is written."""
    assert problems(schedules=[{"cron": "@daily", "catchup_window": window}]) == [
        f'must be a duration like "30m", "1h" or "0", not {window!r}'
    ]


def test_two_of_one_name_are_refused() -> None:
    """Steps and schedules are told apart by their names."""
    schedules = [{"cron": "@daily"}, {"cron": "@hourly"}]
    assert problems(python_step(), python_step(), schedules=schedules) == [
        "is 'load', as an earlier one's is; give each its own name\n"
        "is 'default', as an earlier one's is; give each its own name"
    ]


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        ({"params": {"app": 1}}, "is an unknown parameter 'app'; did you mean \"apps\"?"),
        ({"params": {"apps": "1"}}, "must be a whole number, not '1'"),
        ({"steps": {"laod": {}}}, "is an unknown step 'laod'; did you mean \"load\"?"),
        ({"steps": {"load": {"op_kwargs": {"n": True}}}}, "must be a whole number, not True"),
        ({"steps": {"load": {"op_kwargs": {"m": 1}}}}, "is an unknown parameter 'm'"),
    ],
)
def test_a_schedules_values_fit_the_job(preset: dict[str, Any], message: str) -> None:
    """A preset is held to what a launch is held to, when it is saved."""
    schedule = {"cron": "@daily", **preset}
    assert problems(python_step(n=1), params={"apps": 1}, schedules=[schedule]) == [message]


def test_a_schedule_may_say_what_a_launch_may_say() -> None:
    """A shared value of a name that only steps declare, and a step's own value for a shared parameter."""
    preset = {"cron": "@daily", "params": {"n": 2}, "steps": {"load": {"op_kwargs": {"apps": 3}}}}
    assert job(python_step(n=1), params={"apps": 1}, schedules=[preset]).schedules[0].params == {"n": 2}


REQUIRED = {"type": "int", "required": True}


def test_a_required_parameter_without_a_value_cannot_be_scheduled() -> None:
    """A schedule asks nobody; it has to bring the value."""
    daily = {"cron": "@daily"}
    assert problems(params={"n": REQUIRED}, schedules=[daily]) == [
        "has no value for the required parameter 'n'; give it a default, or a value in the schedule"
    ]
    assert problems(python_step(n=REQUIRED), schedules=[daily]) == [
        "has no value for the required parameter 'n' of the step 'load'; give it a default, or a value in the schedule"
    ]
    assert job(params={"n": REQUIRED}).schedules == []
    assert job(params={"n": REQUIRED}, schedules=[{**daily, "params": {"n": 1}}]).schedules
    assert job(python_step(n=REQUIRED), schedules=[{**daily, "params": {"n": 1}}]).schedules
    assert job(python_step(n=REQUIRED), schedules=[{**daily, "steps": {"load": {"op_kwargs": {"n": 1}}}}]).schedules


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": []}, "must not be empty"),
        ({"steps": [python_step(f"s{number}") for number in range(201)]}, "at most 200 items"),
        ({"schedules": [{"cron": "@daily", "name": f"s{number}"} for number in range(51)]}, "at most 50 items"),
        ({"enabled": 1}, "must be true or false, without quotes"),
        ({"tags": ["a b"]}, "must be 1 to 64 letters, digits, `_`, `.`, `:`, `/` and `-`, without spaces"),
        ({"alerts": {"on_failure": "yes"}}, "must be true or false, without quotes"),
        ({"retry": {"attempts": 11}}, "less than or equal to 10"),
        ({"retry": {"attempts": True}}, "must be a whole number, without quotes"),
        ({"retry": {"base_seconds": float("nan")}}, "must be a finite number"),
        ({"descriptio": "x"}, 'is not a known key; did you mean "description"?'),
    ],
)
def test_a_bad_field_is_refused(fields: dict[str, Any], message: str) -> None:
    """With the rest of a sentence that begins with the field's name."""
    (found,) = problems(**{"steps": [python_step()], **fields}) if "steps" not in fields else _raw(fields)
    assert message in found


def _raw(fields: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Job.model_validate({"id": "job", **fields})
    return [sentence(error, Job) for error in caught.value.errors()]


def test_each_step_type_has_its_file() -> None:
    """The table of types and the union of records are the same list."""
    assert {name: kind.model_fields["type"].default for name, kind in STEP_TYPES.items()}.keys() == STEP_TYPES.keys()
    for name in STEP_TYPES:
        with pytest.raises(ValidationError) as caught:
            STEP.validate_python({"type": name})
        assert {error["type"] for error in caught.value.errors()} == {"missing"}


@pytest.mark.parametrize(
    ("target", "is_valid"),
    [
        ("module:function", True),
        ("package.module:Class.method", True),
        ("module", False),
        ("module:", False),
        ("../module:function", False),
        ("module:function()", False),
        ("a.b", False),
        ("1module:function", False),
    ],
)
def test_a_callable_is_a_dotted_name(target: str, is_valid: bool) -> None:
    """Never a path and never an expression."""
    step = {"name": "a", "type": "python", "callable": target}
    if is_valid:
        assert STEP.validate_python(step).detail == target
    else:
        with pytest.raises(ValidationError):
            STEP.validate_python(step)


def test_a_steps_options_are_those_of_its_type() -> None:
    """As JSON, under the names of the file, without what every step has."""
    copy = STEP.validate_python(
        {
            "name": "a",
            "type": "sql_copy",
            "source": {"connector": "one", "schema": "main", "table": "t"},
            "target": {"connector": "${kw:target}", "table": "t"},
        }
    )
    assert copy.options()["target"] == {"connector": "${kw:target}", "schema": None, "table": "t"}
    more = {"where": None, "query": None, "params": {}}
    assert copy.options()["source"] == {"connector": "one", "schema": "main", "table": "t", **more}
    assert {"name", "type", "enabled", "retry", "timeout_seconds"} & copy.options().keys() == set()
    assert list(copy.connectors()) == ["one", "${kw:target}"]
    assert copy.detail == "one.main.t → ${kw:target}.t (overwrite)"


def test_a_step_changes_parts_of_the_jobs_retry() -> None:
    """What it leaves out stays the job's."""
    assert RetryOverride(attempts=3).over(Retry(base_seconds=5)) == Retry(attempts=3, base_seconds=5)
    assert RetryOverride().over(Retry(attempts=2)) == Retry(attempts=2)


def test_unknown_tokens_in_options_are_refused() -> None:
    """When the file is saved, not when the step runs."""
    shell = {"name": "a", "type": "shell", "argv": ["echo", "${toady}"]}
    with pytest.raises(ValidationError, match=r"has an unknown token \$\{toady\}"):
        STEP.validate_python(shell)
