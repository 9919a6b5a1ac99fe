"""Routes of the contract whose feature is not part of this version: they say so, to those who might call them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from fastapi import APIRouter

from nomaflow.api.gate import ApiRoute, refusals
from nomaflow.api.policy import V1
from nomaflow.errors import NotBuiltError

_FEATURES: dict[str, tuple[str, ...]] = {
    "The history of a job's definitions": (
        "GET /jobs/{job_id}/history",
        "POST /jobs/{job_id}/history/{etag}/restore",
    ),
    "Comparing two runs": ("GET /runs/{run_id}/compare/{other}",),
    "Artifacts of runs": ("GET /runs/{run_id}/artifacts/{name}",),
    "SQL over the run history": ("POST /query",),
    "The snapshot of the run history": ("GET /snapshot",),
    "Personal access tokens": ("GET /tokens", "POST /tokens", "DELETE /tokens"),
    "Linking Slack people to accounts here": ("GET /slack/links", "POST /slack/links", "DELETE /slack/links"),
    "Sessions that the Slack bot opens for others": ("POST /sessions/act-for",),
    "The audit trail": ("GET /audit",),
    "Incidents": ("GET /incidents", "POST /incidents/{incident_id}/snooze"),
    "Alert routes and their deliveries": ("GET /alerts/routes", "GET /alerts/deliveries", "POST /alerts/test"),
    "Watching jobs": ("GET /watches", "POST /watches", "DELETE /watches"),
    "Saved views": ("GET /views", "POST /views", "DELETE /views"),
}


class NotBuiltRoute(ApiRoute):
    """A route without code: whatever query it gets, the answer is the same."""

    takes_any_query: ClassVar[bool] = True


router = APIRouter(route_class=NotBuiltRoute, tags=["not built yet"])


def _answer(feature: str, name: str) -> Callable[[], Awaitable[None]]:
    async def not_built() -> None:
        raise NotBuiltError(f"{feature}: not built in this version")

    not_built.__name__ = name
    not_built.__doc__ = f"{feature}: not built in this version."
    return not_built


def _parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]


for _feature, _routes in _FEATURES.items():
    for _route in _routes:
        _method, _path = _route.split(" ")
        router.add_api_route(
            V1 + _path,
            _answer(_feature, re.sub(r"\W+", "_", _route.lower()).strip("_")),
            methods=[_method],
            responses=refusals(501),
            openapi_extra={"parameters": _parameters(_path)},
        )
