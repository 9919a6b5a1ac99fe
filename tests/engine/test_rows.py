"""Records to rows of the store and back: nothing is lost, and rows say what their columns say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.engine import rows
from nomaflow.engine.change import Change
from nomaflow.engine.model import Actor, Run
from nomaflow.launch.plan import Plan, PlannedStep, PlannedValue
from nomaflow.seams import run_id_of
from nomaflow.wire import Attempt, LogLine, Receipt, Rung, RunState, StepError, StepRun, StepState

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.integers(0, 2**40)
run_ids = st.integers(1, 2**63 - 1).map(run_id_of)
instants = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # bounds
# Steps and records inside a JSON column keep milliseconds, as everything that is sent.
sent_instants = instants.map(lambda instant: instant.replace(microsecond=instant.microsecond // 1000 * 1000))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
errors = st.builds(StepError, type=texts, message=texts, traceback=texts)
attempts = st.builds(
    Attempt,
    n=st.integers(1, 10),
    started_at=sent_instants,
    finished_at=st.none() | sent_instants,
    error=st.none() | errors,
    retry_at=st.none() | sent_instants,
)
step_runs = st.builds(
    StepRun,
    name=texts,
    type=texts,
    state=st.sampled_from(StepState),
    reason=st.none() | texts,
    attempt=st.integers(0, 10),
    attempts=st.lists(attempts, max_size=2),
    started_at=st.none() | sent_instants,
    finished_at=st.none() | sent_instants,
    rows_affected=st.none() | numbers,
    progress=st.none(),
    output=st.none() | st.dictionaries(texts, json_values, max_size=2),
    error=st.none() | errors,
)
plans = st.builds(
    Plan,
    log_level=st.sampled_from(["INFO", "DEBUG"]),
    steps=st.lists(
        st.builds(
            PlannedStep,
            name=texts,
            type=texts,
            runs=st.booleans(),
            reason=st.none() | texts,
            kwargs=st.dictionaries(
                texts,
                st.builds(PlannedValue, value=json_values, origin=st.sampled_from(["saved", "schedule", "override"])),
                max_size=2,
            ),
        ),
        min_size=1,
        max_size=3,
    ),
)
receipts = st.builds(
    Receipt,
    requested_at=sent_instants,
    requested_by=texts,
    reason=st.none() | texts,
    force=st.booleans(),
    rungs=st.lists(
        st.builds(Rung, rung=texts, started_at=sent_instants, ended_at=st.none() | sent_instants, result=texts),
        max_size=2,
    ),
    rolled_back=st.sampled_from([True, False, "unknown"]),
    survivors=st.lists(texts, max_size=2),
    proof=st.none() | texts,
)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Runs whose steps are those of their plan."""
    plan = draw(plans)
    steps = [draw(step_runs).model_copy(update={"name": planned.name, "type": planned.type}) for planned in plan.steps]
    return Run(
        id=draw(run_ids),
        job_id=draw(texts),
        plan=plan,
        steps=steps,
        actor=draw(st.builds(Actor, texts, st.sampled_from(["web", "api", "cli", "slack", "notebook", "cron"]))),
        etag=draw(texts),
        queued_at=draw(instants),
        state=draw(st.sampled_from(RunState)),
        reason=draw(st.none() | texts),
        started_at=draw(st.none() | instants),
        finished_at=draw(st.none() | instants),
        schedule=draw(st.none() | texts),
        scheduled_at=draw(st.none() | instants),
        replay_of=draw(st.none() | run_ids),
        parent_run=draw(st.none() | run_ids),
        step_index=draw(st.integers(0, 3)),
        receipt=draw(st.none() | receipts),
    )


SAME = [
    "id", "job_id", "state", "reason", "queued_at", "started_at", "finished_at", "schedule", "scheduled_at",
    "replay_of", "parent_run", "step_index", "etag", "plan", "receipt", "rows_affected", "step_summary",
]  # fmt: skip


@given(runs())
def test_a_run_comes_back_as_it_went_in(run: Run) -> None:
    """For any run: every field, the plan, the receipt and all steps."""
    stored = rows.run_insert(run, epoch=1)
    assert len(stored) == len(rows.RUN_COLUMNS)
    ended = [rows.step_row(run.id, position, step) for position, step in enumerate(run.steps)]
    record = rows.run_record(stored, ended)
    assert {name: getattr(record, name) for name in SAME} == {name: getattr(run, name) for name in SAME}
    assert record.steps == run.steps
    assert (record.triggered_by, record.via) == (run.actor.triggered_by, run.actor.surface)
    assert (record.log_level, record.step_count) == (run.plan.log_level, len(run.steps))
    assert record.model_validate_json(record.model_dump_json()).id == run.id
    summary = rows.run_summary(stored)
    assert {name: getattr(summary, name) for name in SAME[:13]} == {name: getattr(run, name) for name in SAME[:13]}


@given(runs())
def test_an_update_writes_what_changes(run: Run) -> None:
    """The columns of an update are those of the insert, in the order that it names."""
    inserted = dict(zip(rows.RUN_COLUMNS, rows.run_insert(run, 1), strict=True))
    updated = dict(zip(rows.RUN_CHANGES, rows.run_update(run), strict=True))
    assert updated == {name: inserted[name] for name in rows.RUN_CHANGES}


def test_what_became_of_its_steps_is_in_the_row_of_a_run_that_has_ended() -> None:
    """For searches; what is in flight is searched in memory."""
    planned = [
        PlannedStep(name="one", type="python", runs=True),
        PlannedStep(name="Two", type="python", runs=False, reason="skipped: disabled"),
    ]
    error = StepError(type="ValueError", message="no\nmore")
    steps = [
        StepRun(name="one", type="python", state=StepState.FAILED, started_at=NOW, error=error),
        StepRun(name="Two", type="python", state=StepState.CANCELED, reason="skipped: disabled"),
    ]
    run = Run(run_id_of(1), "job", Plan(log_level="INFO", steps=planned), steps, Actor("ana", "web"), "etag", NOW)
    run.state = RunState.RUNNING
    assert rows.run_update(run)[-2:] == (None, None)
    run.state = RunState.FAILED
    assert rows.run_update(run)[-2:] == ("\x1fone=began\x1fone=failed\x1ftwo=skipped\x1f", "\x1fvalueerror: no\x1f")
    run.state, steps[0].error = RunState.CANCELED, None
    assert rows.run_update(run)[-1] is None


@given(step_runs)
def test_a_step_comes_back_as_it_went_in(step: StepRun) -> None:
    """Attempts, output and error included."""
    row = rows.step_row(run_id_of(1), 3, step)
    assert len(row) == len(rows.STEP_COLUMNS)
    assert rows.step_record(row) == step


def test_a_step_that_was_tried_once_has_no_attempts_in_its_row() -> None:
    """They would say again what its other columns say, and of most steps."""

    def stored(*attempts: Attempt) -> Any:
        error = StepError(type="ValueError", message="no")
        step = StepRun(
            name="a",
            type="b",
            attempt=len(attempts),
            attempts=[*attempts],
            started_at=NOW,
            finished_at=NOW,
            error=error,
        )
        return dict(zip(rows.STEP_COLUMNS, rows.step_row(run_id_of(1), 0, step), strict=True))["attempts"]

    once = Attempt(n=1, started_at=NOW, finished_at=NOW, error=StepError(type="ValueError", message="no"))
    assert stored(once) is None
    assert len(json.loads(stored(once, once.model_copy(update={"n": 2})))) == 2
    assert json.loads(stored(once.model_copy(update={"error": None})))[0]["error"] is None


def test_steps_that_never_began_come_from_the_plan() -> None:
    """With the reason that the plan gave."""
    plan = Plan(
        log_level="INFO",
        steps=[
            PlannedStep(name="one", type="python", runs=True),
            PlannedStep(name="two", type="python", runs=False, reason="skipped: disabled"),
            PlannedStep(name="three", type="shell", runs=True),
        ],
    )
    steps = [StepRun(name=planned.name, type=planned.type) for planned in plan.steps]
    run = Run(run_id_of(1), "job", plan, steps, Actor("ana", "web"), "etag", NOW)
    first = steps[0].model_copy(update={"state": StepState.SUCCEEDED})
    record = rows.run_record(rows.run_insert(run, 1), [rows.step_row(run.id, 0, first)])
    assert [(step.name, step.state, step.reason) for step in record.steps] == [
        ("one", StepState.SUCCEEDED, None),
        ("two", StepState.PENDING, "skipped: disabled"),
        ("three", StepState.PENDING, None),
    ]


@given(st.text(), instants)
def test_any_log_line_can_be_stored(text: str, instant: datetime) -> None:
    """And comes back; half a surrogate pair is written as its code."""
    line = LogLine(seq=7, ts=instant, level="INFO", step="load", attempt=2, stream="stdout", text=text)
    row = rows.log_row(run_id_of(9), line)
    assert row[0] == 9
    back = rows.log_line(row[1:])
    assert back == line.model_copy(update={"text": text.encode("utf-8", "backslashreplace").decode()})


@given(instants, st.integers(-12, 12))
def test_instants_are_utc_in_rows_and_records(instant: datetime, hours: int) -> None:
    """Whatever zone they were given in."""
    local = instant.astimezone(timezone(timedelta(hours=hours)))
    stored = rows.naive(local)
    assert stored is not None
    assert stored.tzinfo is None
    assert rows.aware(stored) == instant
    assert rows.naive(None) is rows.aware(None) is None


@pytest.mark.parametrize(
    ("account", "via", "expected"),
    [
        ("ana", "web", "user:ana"),
        ("ana", "slack", "slack:ana"),
        ("ana", "cli", "cli:ana"),
        ("ana", "api", "api:ana"),
        ("", "cron", "cron"),
        ("nightly", "cron", "cron:nightly"),
    ],
)
def test_who_started_a_run_is_told_from_its_columns(account: str, via: str, expected: str) -> None:
    """As the run's own record says it."""
    assert rows.triggered_by(account, via) == Actor(account, via).triggered_by == expected


def test_lateness_counts_from_the_slot() -> None:
    """Only a run of a slot can be late, and only once it has started."""
    late = NOW + timedelta(seconds=2.5)
    assert rows.late_seconds(NOW, late) == 2.5
    assert rows.late_seconds(None, late) is rows.late_seconds(NOW, None) is None


def test_an_empty_change_needs_no_commit() -> None:
    """Anything in it does."""
    assert Change().is_empty()
    for name in vars(Change()):
        filled: dict[str, Any] = {name: [object()]}
        assert not Change(**filled).is_empty()


def test_a_steps_output_is_json_in_its_column() -> None:
    """So that SQL can look into it; without one the column is null, and an empty one is not."""

    def stored(output: dict[str, Any] | None) -> Any:
        step = StepRun(name="a", type="b", output=output)
        return dict(zip(rows.STEP_COLUMNS, rows.step_row(run_id_of(1), 0, step), strict=True))["output"]

    assert (stored(None), stored({})) == (None, "{}")
    assert json.loads(stored({"ü": [1]})) == {"ü": [1]}
