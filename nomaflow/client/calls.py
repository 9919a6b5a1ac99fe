"""Every verb of the API, described once: where it goes, what it sends, how its answer is read.

Nothing here sends anything. `Client` and `AsyncClient` turn each function into a method of theirs.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal, TypedDict, Unpack
from urllib.parse import quote

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from nomaflow import wire
from nomaflow.definitions.problems import dotted
from nomaflow.errors import Detail, EngineFailedError, InvalidError
from nomaflow.launch.overrides import Overrides

V1 = "/api/v1"


@dataclass(frozen=True)
class Call[T]:
    """One request, and how its answer becomes a value.

    `is_repeatable` says that sending it twice does the same as once, so a lost answer may be asked for again.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    read: Callable[[bytes], T]
    params: Mapping[str, str] = field(default_factory=dict)
    body: JsonValue = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = False


def jobs(*, q: str | None = None, tag: str | None = None, sort: str | None = None) -> Call[list[wire.JobCard]]:
    """Every job that you may see, the broken ones too."""
    return _get("/jobs", _items(wire.JobCard), q=q, tag=tag, sort=sort)


def job(job_id: str) -> Call[wire.JobDocument]:
    """A job with its text and the etag that a change needs."""
    return _get(f"/jobs/{path_part(job_id)}", _record(wire.JobDocument))


def create_job(
    job_id: str, *, toml: str | None = None, job: Mapping[str, JsonValue] | None = None
) -> Call[wire.JobDocument]:
    """A new job, from its TOML text or from values.

    Raises:
        InvalidError: it is not valid; a detail for each problem, with its line.
        JobExistsError: there is one of that id.
    """
    change = _sent(wire.JobChange, {"id": job_id, "toml": toml, "job": None if job is None else dict(job)})
    return Call("POST", f"{V1}/jobs", _record(wire.JobDocument), body=change)


def save_job(
    job_id: str, *, if_match: str, toml: str | None = None, job: Mapping[str, JsonValue] | None = None
) -> Call[wire.JobDocument]:
    """Replace a job. `if_match` is the etag of the version that you changed.

    Raises:
        InvalidError: it is not valid; a detail for each problem, with its line.
        JobChangedError: somebody else changed it in the meantime; the details hold both versions.
    """
    change = _sent(wire.JobChange, {"toml": toml, "job": None if job is None else dict(job)})
    path, headers = f"{V1}/jobs/{path_part(job_id)}", {"If-Match": f'"{if_match}"'}
    return Call("PUT", path, _record(wire.JobDocument), body=change, headers=headers)


def delete_job(job_id: str, *, if_match: str) -> Call[None]:
    """Delete a job's file; its runs stay. `if_match` is the etag of the version that you saw."""
    return Call("DELETE", f"{V1}/jobs/{path_part(job_id)}", _nothing, headers={"If-Match": f'"{if_match}"'})


def check_job(toml: str, *, job_id: str = "unsaved") -> Call[wire.CheckResult]:
    """What saving the text would say, and when the job would fire."""
    body = _sent(wire.JobText, {"id": job_id, "toml": toml})
    return Call("POST", f"{V1}/jobs/check", _record(wire.CheckResult), body=body, is_repeatable=True)


def enable(job_id: str) -> Call[wire.JobCard]:
    """Let the job's schedules fire again."""
    return _toggle(job_id, {"enabled": True})


def disable(job_id: str, *, reason: str | None = None) -> Call[wire.JobCard]:
    """Stop the job's schedules from firing; runs in flight go on, and it can still be run by hand."""
    return _toggle(job_id, {"enabled": False, "reason": reason})


def form(job_id: str) -> Call[wire.Form]:
    """The Run-with-parameters form; `nomaflow.launch.form.overrides` makes of its answers what a launch changes."""
    return _get(f"/jobs/{path_part(job_id)}/form", _record(wire.Form))


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
    return Call("POST", f"{V1}/jobs/{path_part(job_id)}/plan", _record(wire.Plan), body=body, is_repeatable=True)


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
    return Call("POST", path, _record(wire.Run), body=body, headers=headers, is_repeatable=True)


def why(job_id: str) -> Call[wire.Why]:
    """Why the job does not run now, and what can be done."""
    return _get(f"/jobs/{path_part(job_id)}/why", _record(wire.Why))


def durations(job_id: str, *, limit: int | None = None) -> Call[list[wire.Duration]]:
    """How long the job's last runs took, newest first."""
    return _get(f"/jobs/{path_part(job_id)}/durations", _items(wire.Duration), limit=limit)


class RunFilter(TypedDict, total=False):
    """Which runs to list.

    `job` and `state` are exact; `since` and `until` bound when the run was queued; a page has `limit` runs, 1 to 500.
    """

    job: str | None
    state: wire.RunState | str | None
    since: datetime | None
    until: datetime | None
    limit: int | None


def runs_page(*, cursor: str | None = None, **only: Unpack[RunFilter]) -> Call[wire.Page[wire.RunSummary]]:
    """One page of the runs that fit, newest first; `cursor` is the last page's `next_cursor`."""
    params: dict[str, Any] = {**only, "cursor": cursor}
    return _get("/runs", _record(wire.Page[wire.RunSummary]), **params)


def run(run_id: str) -> Call[wire.Run]:
    """A run whole: plan, steps, artifacts, and the receipt where it was canceled."""
    return _get(f"/runs/{path_part(run_id)}", _record(wire.Run))


def cancel(run_id: str, *, force: bool = False, reason: str | None = None) -> Call[wire.Run]:
    """Ask a run to stop; `force` gives its steps no time to end by themselves. Twice is the same as once.

    Raises:
        RunFinishedError: it is over already.
    """
    body = _sent(wire.Cancel, {"force": force, "reason": reason})
    return Call("POST", f"{V1}/runs/{path_part(run_id)}/cancel", _record(wire.Run), body=body, is_repeatable=True)


def logs(
    run_id: str,
    *,
    after: int | None = None,
    limit: int | None = None,
    tail: int | None = None,
    level: str | None = None,
    step: str | None = None,
    q: str | None = None,
) -> Call[wire.LogPage]:
    """Lines of a run's log: those after a number, or the last `tail`; of a level and up, a step, with a text."""
    path = f"/runs/{path_part(run_id)}/logs"
    options = {"after": after, "limit": limit, "tail": tail, "level": level, "step": step, "q": q}
    return _get(path, _record(wire.LogPage), **options)


def connectors(*, q: str | None = None, kind: str | None = None) -> Call[list[wire.ConnectorInfo]]:
    """The connectors that you may know of, without their secrets."""
    return _get("/connectors", _items(wire.ConnectorInfo), q=q, kind=kind)


def test_connector(name: str) -> Call[wire.ConnectorTest]:
    """Whether a connector answers."""
    return Call("POST", f"{V1}/connectors/{path_part(name)}/test", _record(wire.ConnectorTest), is_repeatable=True)


def step_types() -> Call[list[wire.StepTypeInfo]]:
    """The step types with the JSON Schema of their options."""
    return _get("/step-types", _items(wire.StepTypeInfo))


def reload() -> Call[wire.ReloadResult]:
    """Let the engine read the home's files again; what changed."""
    return Call("POST", f"{V1}/reload", _record(wire.ReloadResult), is_repeatable=True)


def me() -> Call[wire.Me]:
    """Who the token belongs to and what it may do."""
    return _get("/me", _record(wire.Me))


def sign_in(account: str | None = None, password: str | None = None, *, code: str | None = None) -> Call[wire.Session]:
    """Sign in by password, or with the code of a one-time link; `with_token` uses the session's token.

    Raises:
        NotSignedInError: wrong, or the code was used.
        TooManyRequestsError: too many tries.
    """
    body = _sent(wire.SignIn, {"account": account, "password": password, "code": code})
    return Call("POST", f"{V1}/sessions", _record(wire.Session), body=body)


def sign_out() -> Call[None]:
    """End the session of the token."""
    return Call("DELETE", f"{V1}/sessions", _nothing)


def sign_in_link() -> Call[wire.SignInLink]:
    """A one-time code that signs you in elsewhere."""
    return Call("POST", f"{V1}/sessions/link", _record(wire.SignInLink))


def health() -> Call[wire.Health]:
    """Whether the engine may run jobs; `NotReadyError` says why not."""
    return Call("GET", "/readyz", _record(wire.Health), is_repeatable=True)


def _get[T](path: str, read: Callable[[bytes], T], **params: str | int | datetime | None) -> Call[T]:
    given = {name: _param(value) for name, value in params.items() if value is not None}
    return Call("GET", V1 + path, read, params=given, is_repeatable=True)


def _toggle(job_id: str, values: dict[str, Any]) -> Call[wire.JobCard]:
    path, body = f"{V1}/jobs/{path_part(job_id)}", _sent(wire.Toggle, values)
    return Call("PATCH", path, _record(wire.JobCard), body=body, is_repeatable=True)


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
    return _sent(wire.Launch, _json_dates({**values, **given}))


def _json_dates(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _json_dates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_dates(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def _param(value: str | int | datetime) -> str:
    return wire.iso(value.astimezone(UTC)) if isinstance(value, datetime) else str(value)


def path_part(name: str) -> str:
    """A name as one part of a path, whatever it holds; "." and ".." would be resolved away."""
    return quote(name, safe="").replace(".", "%2E") if name.strip(".") == "" else quote(name, safe="")


def _sent(model: type[BaseModel], values: Mapping[str, Any]) -> JsonValue:
    """The values as the engine takes them, without those that were left out.

    Raises:
        InvalidError: a value is none that JSON or the record takes.
    """
    try:
        sent = model.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        details: list[Detail] = [{"path": dotted(one["loc"]), "message": one["msg"]} for one in error.errors()]
        raise InvalidError(f"{details[0]['path']}: {details[0]['message']}", details=details) from None
    body: JsonValue = sent.model_dump(mode="json", exclude_unset=True)
    return body


def _record[T: BaseModel](model: type[T]) -> Callable[[bytes], T]:
    return lambda content: _read(TypeAdapter(model), content)


def _items[T: BaseModel](model: type[T]) -> Callable[[bytes], list[T]]:
    return lambda content: _read(TypeAdapter(wire.Page[model]), content).items  # type: ignore[valid-type]


def _read[T](adapter: TypeAdapter[T], content: bytes) -> T:
    try:
        return adapter.validate_json(content)
    except ValidationError as error:
        place = dotted(error.errors()[0]["loc"])
        raise EngineFailedError(
            f"the engine sent something that this client cannot read (at {place or 'the start'}); "
            f"are both of the same version?"
        ) from None


def _nothing(_content: bytes) -> None:
    return None
