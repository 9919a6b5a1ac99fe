"""The HTTP application: all routes, one gate, one shape of errors."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import trio
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from nomaflow.access.accounts import Access
from nomaflow.api import backups, connectors, events, health, jobs, logs, not_built, people, runs, schedules
from nomaflow.api.faults import Outermost, add_fault_handlers
from nomaflow.api.gate import Api, ApiRoute
from nomaflow.api.metrics import Metrics
from nomaflow.api.port import Engine
from nomaflow.seams import Seams

TITLE, VERSION = "Nomaflow", "1"
_SUBJECTS = (health, jobs, schedules, runs, logs, events, connectors, people, backups, not_built)


def create_app(
    engine: Engine, access: Access, seams: Seams, *, stopping: trio.Event, metrics: Metrics | None = None
) -> FastAPI:
    """The app over an engine. It runs under trio only.

    Args:
        engine: every verb goes there.
        access: who may do what.
        seams: randomness, for the references of faults.
        stopping: set it when the engine stops: the streams end, so that a shutdown does not wait for them.
        metrics: where requests are counted; whoever ends runs counts them there too.

    Raises:
        LookupError: a route without an entry in the policy.
    """
    metrics = metrics or Metrics()
    _observe(engine, metrics)
    app = FastAPI(title=TITLE, version=VERSION, openapi_url=None, docs_url=None, redoc_url=None)
    app.router.redirect_slashes = False
    for subject in _SUBJECTS:
        app.router.routes.extend(subject.router.routes)
    check_gated(app.router.routes)
    app.state.api = Api(engine, access, metrics, stopping)
    add_fault_handlers(app)
    app.add_middleware(Outermost, metrics=metrics, token=seams.token)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def check_gated(routes: Iterable[BaseRoute]) -> None:
    """Refuse routes that have come in beside the gate.

    Raises:
        LookupError: one has.
    """
    for route in routes:
        if not isinstance(route, ApiRoute):
            raise LookupError(f"the route {getattr(route, 'path', route)} has no gate; make it with api_router()")


def _described(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        described = get_openapi(
            title=TITLE,
            version=VERSION,
            summary="Jobs, their runs and their logs.",
            routes=app.router.routes,
            separate_input_output_schemas=True,
        )
        schemes = described.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["bearer"] = {"type": "http", "scheme": "bearer"}
        _correct_media_types(described)
        app.openapi_schema = described
    return app.openapi_schema


def _correct_media_types(described: dict[str, Any]) -> None:
    """Errors are JSON, also where the answer itself is a stream or a text, of which FastAPI would have them too."""
    for operations in described["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if int(status) >= HTTPStatus.BAD_REQUEST and (content := response.get("content")):
                    response["content"] = {"application/json": next(iter(content.values()))}


def _observe(engine: Engine, metrics: Metrics) -> None:
    metrics.observe("nomaflow_ready", "1 when the engine may run jobs", lambda: float(not engine.not_ready()))
    metrics.observe(
        "nomaflow_active_runs",
        "Runs in flight",
        lambda: float(sum(len(card.active_runs) for card in engine.cards())),
    )
