"""Every answer that is not a success, in one shape; and what is done round every request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nomaflow.access.throttle import ThrottledError
from nomaflow.api.metrics import Metrics
from nomaflow.definitions.problems import dotted, sentence
from nomaflow.errors import BadRequestError, Detail, InvalidError, NomaflowError, NotFoundError, NotSignedInError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_LOG = logging.getLogger(__name__)

MAX_HEADERS, MAX_HEADER_BYTES = 100, 32 * 1024

_TOO_MANY_HEADERS = f"the request has more than {MAX_HEADERS} headers, or more than {MAX_HEADER_BYTES} bytes of them"

_SENTENCES = {
    "int_parsing": "must be a whole number",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "dataclass_type": "must be a JSON object",
    "list_type": "must be a list",
    "string_type": "must be text in quotes",
}

_BOUNDS = {
    "greater_than_equal": ("must be at least {}", "ge"),
    "less_than_equal": ("must be at most {}", "le"),
    "string_too_long": ("must have at most {} characters", "max_length"),
    "too_long": ("must have at most {} entries", "max_length"),
}


def answer(error: NomaflowError) -> Response:
    """An error as it is sent."""
    headers = {}
    if isinstance(error, NotSignedInError):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, ThrottledError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    return JSONResponse(error.body(), error.status, headers)


def add_fault_handlers(app: FastAPI) -> None:
    """Let the app answer in our shape, whoever raises."""

    async def nomaflow_error(request: Request, error: Exception) -> Response:
        return answer(cast("NomaflowError", error))

    async def unfit(request: Request, error: Exception) -> Response:
        return answer(invalid(cast("RequestValidationError", error), request.scope.get("route")))

    async def http_error(request: Request, error: Exception) -> Response:
        return _http_error(cast("HTTPException", error), request)

    app.add_exception_handler(NomaflowError, nomaflow_error)
    app.add_exception_handler(RequestValidationError, unfit)
    app.add_exception_handler(HTTPException, http_error)


def invalid(error: RequestValidationError, route: BaseRoute | None) -> InvalidError:
    """FastAPI's list of what does not fit, in plain words; paths are the body's own, or the parameter's name."""
    body = getattr(getattr(route, "body_field", None), "field_info", None)
    annotation = getattr(body, "annotation", None)
    root = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else BaseModel
    details: list[Detail] = []
    for found in error.errors():
        _place, *location = found["loc"]
        path = dotted(location)
        words = _words({**found, "loc": tuple(location)}, root)
        details.append({"path": path, "message": f"{path or 'the body'} {words}"})
    first = details[0]["message"]
    summary = first if len(details) == 1 else f"{first} (and {len(details) - 1} more)"
    return InvalidError(summary, details=details)


def _words(found: Any, root: type[BaseModel]) -> str:
    kind, context = found["type"], found.get("ctx", {})
    if kind in _SENTENCES:
        return _SENTENCES[kind]
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return words.format(context[bound])
    if kind.startswith(("datetime", "timezone")):
        return "must be an instant with its zone, like 2026-01-31T02:30:00Z"
    return sentence(cast("ErrorDetails", found), root)


def _http_error(error: HTTPException, request: Request) -> Response:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return answer(NotFoundError("there is nothing at this path; /openapi.json lists what there is"))
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        message = f"{request.method[:16]} is no method of this path; /openapi.json lists what there is"
        body = {"error": {"code": "method_not_allowed", "message": message, "details": []}}
        return JSONResponse(body, error.status_code, error.headers)
    return answer(BadRequestError("the request could not be read"))


class Outermost:
    """Round every request: count it, keep answers out of caches, and turn a fault of ours into one sentence.

    The traceback of such a fault goes to the engine's log only, under the reference that the answer names.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, token: Callable[[], str]) -> None:
        self._app, self._metrics, self._token = app, metrics, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "no-store")
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            if _has_too_many_headers(scope):
                await answer(BadRequestError(_TOO_MANY_HEADERS))(scope, receive, send_on)
            else:
                await self._app(scope, receive, send_on)
        except Exception:
            reference = self._token()[:8]
            _LOG.exception("%s %s failed, reference %s", scope["method"], _route(scope), reference)
            if not status:
                message = f"the engine failed at this; its log says why under the reference {reference}"
                await answer(NomaflowError(message))(scope, receive, send_on)
        finally:
            self._metrics.count_request(_method(scope), _route(scope), status or 499)


def _has_too_many_headers(scope: Scope) -> bool:
    headers = scope["headers"]
    return len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES


def _route(scope: Scope) -> str:
    # Only declared paths become labels, so a stranger cannot make more of them.
    return str(getattr(scope.get("route"), "path", "other"))


def _method(scope: Scope) -> str:
    method = str(scope["method"])
    return method if method in ("GET", "POST", "PUT", "PATCH", "DELETE") else "other"
