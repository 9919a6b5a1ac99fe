"""The verbs that start runs, described as in `calls`: forms, plans, launches, replays."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from pydantic import JsonValue

from nomaflow import wire
from nomaflow.client.request import V1, Call, get, path_part, record, sent
from nomaflow.launch.overrides import Overrides

Only = Literal["failed", "skipped"]


def form(job_id: str, *, replay_of: str | None = None) -> Call[wire.Form]:
    """The Run-with-parameters form; `nomaflow.launch.form.overrides` makes of its answers what a launch changes.

    With `replay_of`, a run of the job that is over, it shows that run's values, and its changes are for `replay`.
    """
    return get(f"/jobs/{path_part(job_id)}/form", record(wire.Form), replay_of=replay_of)


def plan(
    job_id: str,
    overrides: Overrides | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    steps: Mapping[str, Mapping[str, Any]] | None = None,
    log_level: wire.LogLevel | None = None,
) -> Call[wire.Plan]:
    """What a launch would do, with every value and where it comes from; nothing runs. Changes as for `launch`."""
    body = _launch(overrides, params=params, steps=steps, log_level=log_level)
    return Call("POST", f"{V1}/jobs/{path_part(job_id)}/plan", record(wire.Plan), body=body, is_repeatable=True)


def launch(
    job_id: str,
    overrides: Overrides | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    steps: Mapping[str, Mapping[str, Any]] | None = None,
    log_level: wire.LogLevel | None = None,
    definition: str | None = None,
    reason: str | None = None,
    idempotency_key: str | None = None,
) -> Call[wire.Run]:
    """Run a job now; the run as it was accepted.

    A launch whose answer is lost is asked for again with the same key, so it never runs twice.

    Args:
        job_id: the job.
        overrides: what this run changes, as the form's answers make it; the named arguments are laid over it.
        params: changed parameters, by name; dates may be Python's.
        steps: changed steps, by name: `{"enabled": False}`, `{"op_kwargs": {…}}`.
        log_level: INFO or DEBUG.
        definition: the job's etag that you saw; another version is then refused.
        reason: why, for the run's record.
        idempotency_key: makes a launch from another process the same launch; made here when left out.

    Raises:
        JobBusyError: a run of the job is in flight; its `run_id` says which.
        InvalidError: a value does not fit; a detail for each.
        JobChangedError: `definition` is no longer the job's version.
    """
    body = _launch(overrides, params=params, steps=steps, log_level=log_level, definition=definition, reason=reason)
    headers = {"Idempotency-Key": idempotency_key or secrets.token_urlsafe(18)}
    path = f"{V1}/jobs/{path_part(job_id)}/runs"
    return Call("POST", path, record(wire.Run), body=body, headers=headers, is_repeatable=True)


def replay(
    run_id: str,
    overrides: Overrides | None = None,
    *,
    from_step: str | None = None,
    only: Only | None = None,
    params: Mapping[str, Any] | None = None,
    steps: Mapping[str, Mapping[str, Any]] | None = None,
    log_level: wire.LogLevel | None = None,
    definition: str | None = None,
    reason: str | None = None,
    idempotency_key: str | None = None,
) -> Call[wire.Run]:
    """Run an ended run again, with its values, under today's definition; the new run as it was accepted.

    Steps that are left out keep the output that they had. Everything else is as for `launch`.

    Args:
        run_id: the run.
        overrides: what the replay changes, as the answers of its form make it.
        from_step: begin with this step.
        only: `failed`: what did not succeed; `skipped`: what was skipped.

    Raises:
        JobBusyError: a run of the job is in flight, or this one is.
        JobChangedError: a step or parameter is gone, or a value no longer fits; a detail for each.
    """
    narrowed = {"from_step": from_step, "only": only, "definition": definition, "reason": reason}
    body = _launch(overrides, params=params, steps=steps, log_level=log_level, **narrowed)
    headers = {"Idempotency-Key": idempotency_key or secrets.token_urlsafe(18)}
    path = f"{V1}/runs/{path_part(run_id)}/replay"
    return Call("POST", path, record(wire.Run), body=body, headers=headers, is_repeatable=True)


def replay_plan(
    run_id: str,
    overrides: Overrides | None = None,
    *,
    from_step: str | None = None,
    only: Only | None = None,
    params: Mapping[str, Any] | None = None,
    steps: Mapping[str, Mapping[str, Any]] | None = None,
    log_level: wire.LogLevel | None = None,
) -> Call[wire.Plan]:
    """What a replay would do and what it would keep; nothing runs."""
    body = _launch(overrides, params=params, steps=steps, log_level=log_level, from_step=from_step, only=only)
    path = f"{V1}/runs/{path_part(run_id)}/replay/plan"
    return Call("POST", path, record(wire.Plan), body=body, is_repeatable=True)


def _launch(
    overrides: Overrides | None,
    *,
    params: Mapping[str, Any] | None,
    steps: Mapping[str, Mapping[str, Any]] | None,
    **other: str | None,
) -> JsonValue:
    base = overrides or Overrides()
    changed: dict[str, Any] = dict(base.steps)
    for name, values in (steps or {}).items():
        before = base.steps[name].model_dump(exclude_unset=True) if name in base.steps else {}
        kwargs = {**before.get("op_kwargs", {}), **values.get("op_kwargs", {})}
        changed[name] = {**before, **values, **({"op_kwargs": kwargs} if kwargs else {})}
    values = {"log_level": base.log_level, "params": {**base.params, **(params or {})}, "steps": changed}
    given = {name: value for name, value in other.items() if value is not None}
    return sent(wire.Replay if {"from_step", "only"} & given.keys() else wire.Launch, _json_dates({**values, **given}))


def _json_dates(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _json_dates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_dates(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value
