"""Every verb of the API, described once: where it goes, what it sends, how its answer is read.

Nothing here sends anything. `Client` and `AsyncClient` turn each function into a method of theirs. The verbs that start
runs are in `launches`, those about when jobs fire in `schedules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict, Unpack

from pydantic import JsonValue

from nomaflow import wire
from nomaflow.client.request import V1, Call, get, items, nothing, path_part, record, sent


def jobs(*, q: str | None = None, tag: str | None = None, sort: str | None = None) -> Call[list[wire.JobCard]]:
    """Every job that you may see, the broken ones too."""
    return get("/jobs", items(wire.JobCard), q=q, tag=tag, sort=sort)


def job(job_id: str) -> Call[wire.JobDocument]:
    """A job with its text and the etag that a change needs."""
    return get(f"/jobs/{path_part(job_id)}", record(wire.JobDocument))


def create_job(
    job_id: str, *, toml: str | None = None, job: Mapping[str, JsonValue] | None = None
) -> Call[wire.JobDocument]:
    """A new job, from its TOML text or from values.

    Raises:
        InvalidError: it is not valid; a detail for each problem, with its line.
        JobExistsError: there is one of that id.
    """
    change = sent(wire.JobChange, {"id": job_id, "toml": toml, "job": None if job is None else dict(job)})
    return Call("POST", f"{V1}/jobs", record(wire.JobDocument), body=change)


def save_job(
    job_id: str, *, if_match: str, toml: str | None = None, job: Mapping[str, JsonValue] | None = None
) -> Call[wire.JobDocument]:
    """Replace a job. `if_match` is the etag of the version that you changed.

    Raises:
        InvalidError: it is not valid; a detail for each problem, with its line.
        JobChangedError: somebody else changed it in the meantime; the details hold both versions.
    """
    change = sent(wire.JobChange, {"toml": toml, "job": None if job is None else dict(job)})
    path, headers = f"{V1}/jobs/{path_part(job_id)}", {"If-Match": f'"{if_match}"'}
    return Call("PUT", path, record(wire.JobDocument), body=change, headers=headers)


def delete_job(job_id: str, *, if_match: str) -> Call[None]:
    """Delete a job's file; its runs stay. `if_match` is the etag of the version that you saw."""
    return Call("DELETE", f"{V1}/jobs/{path_part(job_id)}", nothing, headers={"If-Match": f'"{if_match}"'})


def check_job(toml: str, *, job_id: str = "unsaved") -> Call[wire.CheckResult]:
    """What saving the text would say, and when the job would fire."""
    body = sent(wire.JobText, {"id": job_id, "toml": toml})
    return Call("POST", f"{V1}/jobs/check", record(wire.CheckResult), body=body, is_repeatable=True)


def enable(job_id: str) -> Call[wire.JobCard]:
    """Let the job's schedules fire again."""
    return _toggle(job_id, {"enabled": True})


def disable(job_id: str, *, reason: str | None = None, until: datetime | None = None) -> Call[wire.JobCard]:
    """Stop the job's schedules from firing, until an instant or for good; runs in flight go on, and it can still be run
    by hand."""
    return _toggle(job_id, {"enabled": False, "reason": reason, "until": until})


def why(job_id: str) -> Call[wire.Why]:
    """Why the job does not run now, and what can be done."""
    return get(f"/jobs/{path_part(job_id)}/why", record(wire.Why))


def durations(job_id: str, *, limit: int | None = None) -> Call[list[wire.Duration]]:
    """How long the job's last runs took, newest first."""
    return get(f"/jobs/{path_part(job_id)}/durations", items(wire.Duration), limit=limit)


class RunFilter(TypedDict, total=False):
    """Which runs to list.

    `q` is a search, as in `state:failed apps_id=10 since:7d` (`nomaflow.history.search` has all its keys); `job` and
    `state` are exact; `since` and `until` bound when the run was queued; a page has at most `limit` runs, 1 to 500.
    """

    q: str | None
    job: str | None
    state: wire.RunState | str | None
    since: datetime | None
    until: datetime | None
    limit: int | None


def runs_page(*, cursor: str | None = None, **only: Unpack[RunFilter]) -> Call[wire.Page[wire.RunSummary]]:
    """One page of the runs that fit, newest first; `cursor` is the last page's `next_cursor`.

    A search in logs may answer with few runs or none, and go on behind the cursor.

    Raises:
        InvalidError: `q` is not understood; its detail names the `position` of the character.
    """
    params: dict[str, Any] = {**only, "cursor": cursor}
    return get("/runs", record(wire.Page[wire.RunSummary]), **params)


def run(run_id: str) -> Call[wire.Run]:
    """A run whole: plan, steps, artifacts, and the receipt where it was canceled."""
    return get(f"/runs/{path_part(run_id)}", record(wire.Run))


def cancel(run_id: str, *, force: bool = False, reason: str | None = None) -> Call[wire.Run]:
    """Ask a run to stop; `force` gives its steps no time to end by themselves. Twice is the same as once.

    Raises:
        RunFinishedError: it is over already.
    """
    body = sent(wire.Cancel, {"force": force, "reason": reason})
    return Call("POST", f"{V1}/runs/{path_part(run_id)}/cancel", record(wire.Run), body=body, is_repeatable=True)


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
    return get(path, record(wire.LogPage), **options)


def connectors(*, q: str | None = None, kind: str | None = None) -> Call[list[wire.ConnectorInfo]]:
    """The connectors that you may know of, without their secrets."""
    return get("/connectors", items(wire.ConnectorInfo), q=q, kind=kind)


def test_connector(name: str) -> Call[wire.ConnectorTest]:
    """Whether a connector answers."""
    return Call("POST", f"{V1}/connectors/{path_part(name)}/test", record(wire.ConnectorTest), is_repeatable=True)


def step_types() -> Call[list[wire.StepTypeInfo]]:
    """The step types with the JSON Schema of their options."""
    return get("/step-types", items(wire.StepTypeInfo))


def callables() -> Call[wire.CallableList]:
    """The functions of the jobs folder that a python step can name, with their parameters, and the files that cannot be
    read. No code is run for it."""
    return get("/callables", record(wire.CallableList))


def backups() -> Call[list[wire.BackupInfo]]:
    """The complete backups, newest first."""
    return get("/backups", items(wire.BackupInfo))


def backup() -> Call[wire.BackupInfo]:
    """Make a backup of the run store, the settings and the job files; it is opened and read before it counts. Older
    ones go that are not to be kept.

    Raises:
        NotReadyError: it could not be made.
    """
    return Call("POST", f"{V1}/backups", record(wire.BackupInfo))


def reload() -> Call[wire.ReloadResult]:
    """Let the engine read the home's files again; what changed."""
    return Call("POST", f"{V1}/reload", record(wire.ReloadResult), is_repeatable=True)


def me() -> Call[wire.Me]:
    """Who the token belongs to and what it may do."""
    return get("/me", record(wire.Me))


def sign_in(account: str | None = None, password: str | None = None, *, code: str | None = None) -> Call[wire.Session]:
    """Sign in by password, or with the code of a one-time link; `with_token` uses the session's token.

    Raises:
        NotSignedInError: wrong, or the code was used.
        TooManyRequestsError: too many tries.
    """
    body = sent(wire.SignIn, {"account": account, "password": password, "code": code})
    return Call("POST", f"{V1}/sessions", record(wire.Session), body=body)


def sign_out() -> Call[None]:
    """End the session of the token."""
    return Call("DELETE", f"{V1}/sessions", nothing)


def sign_in_link() -> Call[wire.SignInLink]:
    """A one-time code that signs you in elsewhere."""
    return Call("POST", f"{V1}/sessions/link", record(wire.SignInLink))


def health() -> Call[wire.Health]:
    """Whether the engine may run jobs; `NotReadyError` says why not."""
    return Call("GET", "/readyz", record(wire.Health), is_repeatable=True)


def _toggle(job_id: str, values: dict[str, Any]) -> Call[wire.JobCard]:
    path, body = f"{V1}/jobs/{path_part(job_id)}", sent(wire.Toggle, values)
    return Call("PATCH", path, record(wire.JobCard), body=body, is_repeatable=True)
