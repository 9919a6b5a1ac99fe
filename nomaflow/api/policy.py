"""Who may call what: one table for all routes. A route without an entry here cannot be made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nomaflow.definitions.settings import RoleName

V1 = "/api/v1"

Scope = Literal["open", "loopback", "signed in", "somewhere", "everywhere", "job", "run"]


@dataclass(frozen=True)
class Rule:
    """What a caller needs.

    open: nothing. loopback: to sit on this machine, or a token. signed in: a token. somewhere: the role for any job at
    all (the route looks closer). everywhere: the role without limits. job, run: the role for the job that the path
    names, or whose run it names; who may not even view that job is told that there is none.
    """

    scope: Scope
    role: RoleName = "viewer"


_OPEN = Rule("open")
_LOOPBACK = Rule("loopback")
_SIGNED_IN = Rule("signed in")
_ADMIN = Rule("everywhere", "admin")
_SEES_ALL = Rule("everywhere", "viewer")


def _job(role: RoleName) -> Rule:
    return Rule("job", role)


def _run(role: RoleName) -> Rule:
    return Rule("run", role)


RULES: dict[str, Rule] = {
    "GET /healthz": _LOOPBACK,
    "GET /readyz": _LOOPBACK,
    "GET /metrics": _LOOPBACK,
    "GET /docs": _LOOPBACK,
    "GET /docs/{name}": _LOOPBACK,
    "GET /openapi.json": _LOOPBACK,
    # Jobs.
    f"GET {V1}/jobs": _SIGNED_IN,  # the ones that the person may view
    f"POST {V1}/jobs": Rule("somewhere", "editor"),  # the route checks the new id
    f"POST {V1}/jobs/check": Rule("somewhere", "editor"),
    f"GET {V1}/jobs/{{job_id}}": _job("viewer"),
    f"PUT {V1}/jobs/{{job_id}}": _job("editor"),
    f"DELETE {V1}/jobs/{{job_id}}": _job("editor"),
    f"PATCH {V1}/jobs/{{job_id}}": _job("operator"),
    f"GET {V1}/jobs/{{job_id}}/form": _job("viewer"),
    f"POST {V1}/jobs/{{job_id}}/plan": _job("operator"),
    f"POST {V1}/jobs/{{job_id}}/runs": _job("operator"),
    f"GET {V1}/jobs/{{job_id}}/why": _job("viewer"),
    f"GET {V1}/jobs/{{job_id}}/durations": _job("viewer"),
    f"GET {V1}/jobs/{{job_id}}/history": _job("viewer"),
    f"POST {V1}/jobs/{{job_id}}/history/{{etag}}/restore": _job("editor"),
    f"POST {V1}/jobs/{{job_id}}/skips": _job("operator"),
    f"DELETE {V1}/jobs/{{job_id}}/skips": _job("operator"),
    f"POST {V1}/reload": _ADMIN,
    # Runs.
    f"GET {V1}/runs": _SIGNED_IN,  # those of the jobs that the person may view
    f"GET {V1}/runs/{{run_id}}": _run("viewer"),
    f"GET {V1}/runs/{{run_id}}/compare/{{other}}": _run("viewer"),
    f"POST {V1}/runs/{{run_id}}/cancel": _run("operator"),
    f"POST {V1}/runs/{{run_id}}/replay": _run("operator"),
    f"POST {V1}/runs/{{run_id}}/replay/plan": _run("operator"),
    f"GET {V1}/runs/{{run_id}}/logs": _run("viewer"),
    f"GET {V1}/runs/{{run_id}}/logs/stream": _run("viewer"),
    f"GET {V1}/runs/{{run_id}}/logs.txt": _run("viewer"),
    f"GET {V1}/runs/{{run_id}}/artifacts/{{name}}": _run("viewer"),
    f"GET {V1}/events": _SIGNED_IN,  # those of the jobs that the person may view
    # When.
    f"GET {V1}/schedule": _SIGNED_IN,  # the fires of the jobs that the person may view
    f"POST {V1}/schedule/preview": _SIGNED_IN,
    f"POST {V1}/schedule/what-if": _SIGNED_IN,  # the route asks for viewer of the job that the body names
    # Connectors and step types.
    f"GET {V1}/connectors": _SIGNED_IN,  # those that the person, or a job that the person may view, uses
    f"POST {V1}/connectors/{{name}}/test": _SIGNED_IN,  # the engine checks the grant
    f"GET {V1}/step-types": _SIGNED_IN,
    f"GET {V1}/callables": Rule("somewhere", "editor"),
    # People.
    f"GET {V1}/me": _SIGNED_IN,
    f"POST {V1}/sessions": _OPEN,
    f"DELETE {V1}/sessions": _SIGNED_IN,
    f"POST {V1}/sessions/link": _SIGNED_IN,
    f"POST {V1}/sessions/act-for": _ADMIN,
    f"GET {V1}/tokens": _SIGNED_IN,
    f"POST {V1}/tokens": _SIGNED_IN,
    f"DELETE {V1}/tokens": _SIGNED_IN,
    f"GET {V1}/slack/links": _SIGNED_IN,
    f"POST {V1}/slack/links": _SIGNED_IN,
    f"DELETE {V1}/slack/links": _SIGNED_IN,
    f"GET {V1}/audit": _ADMIN,
    # The whole history at once.
    f"GET {V1}/backups": _ADMIN,
    f"POST {V1}/backups": _ADMIN,
    f"POST {V1}/query": _SEES_ALL,
    f"GET {V1}/snapshot": _SEES_ALL,
    # Alerts and views.
    f"GET {V1}/incidents": _SIGNED_IN,
    f"POST {V1}/incidents/{{incident_id}}/snooze": _SIGNED_IN,
    f"GET {V1}/alerts/routes": _SIGNED_IN,
    f"GET {V1}/alerts/deliveries": _SIGNED_IN,
    f"POST {V1}/alerts/test": _ADMIN,
    f"GET {V1}/watches": _SIGNED_IN,
    f"POST {V1}/watches": _SIGNED_IN,
    f"DELETE {V1}/watches": _SIGNED_IN,
    f"GET {V1}/views": _SIGNED_IN,
    f"POST {V1}/views": _SIGNED_IN,
    f"DELETE {V1}/views": _SIGNED_IN,
}


def rule_of(method: str, path: str) -> Rule:
    """The rule of a route, by its method and its path as it is declared.

    Raises:
        LookupError: the table has none.
    """
    key = f"{method} {path}"
    if key not in RULES:
        raise LookupError(f"nomaflow.api.policy has no rule for {key}; say there who may call it")
    return RULES[key]
