"""Whether the engine lives and works, its figures, and its documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from nomaflow.api.gate import ApiIn, api_router, refusals
from nomaflow.api.metrics import CONTENT_TYPE_LATEST
from nomaflow.errors import NotFoundError, NotReadyError
from nomaflow.wire import Health

router = api_router("health")

_ASSETS = Path(fastapi_offline.__file__).parent / "static"
_ASSET_NAMES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")


@router.get("/healthz")
async def read_health() -> Health:
    """The engine's loop turns."""
    return Health(ok=True)


@router.get("/readyz", responses=refusals(503))
async def read_readiness(api: ApiIn) -> Health:
    """The engine may run jobs."""
    reasons = api.engine.not_ready()
    if reasons:
        raise NotReadyError(
            f"the engine cannot run jobs now: {reasons[0]}", details=[{"message": reason} for reason in reasons]
        )
    return Health(ok=True)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def read_metrics(api: ApiIn) -> Response:
    """Figures for Prometheus."""
    return Response(api.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/openapi.json", include_in_schema=False)
async def read_openapi(request: Request) -> JSONResponse:
    """What this API offers."""
    described: dict[str, Any] = request.app.openapi()
    return JSONResponse(described)


@router.get("/docs", include_in_schema=False)
async def read_docs() -> HTMLResponse:
    """The same as pages; everything they load comes from here, so they work without a network."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Nomaflow",
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/docs/favicon.png",
    )


@router.get("/docs/{name}", include_in_schema=False)
async def read_docs_asset(name: str) -> FileResponse:
    """One of the files behind the pages."""
    if name not in _ASSET_NAMES:
        raise NotFoundError(f"there is no file {name[:80]!r} in /docs")
    return FileResponse(_ASSETS / name)
