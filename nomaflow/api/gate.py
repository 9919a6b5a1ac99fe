"""What happens before a route's own code: who calls, may they, and is the request well-formed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast, get_args

import trio
from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute

from nomaflow.access.accounts import Access
from nomaflow.access.roles import Identity, Surface
from nomaflow.api.metrics import Metrics
from nomaflow.api.policy import Rule, rule_of
from nomaflow.api.port import Engine
from nomaflow.api.strict_json import StrictRequest
from nomaflow.definitions.problems import near_miss
from nomaflow.definitions.record import JOB_ID_PATTERN
from nomaflow.definitions.settings import RoleName
from nomaflow.engine.model import Actor
from nomaflow.errors import BadRequestError, Detail, InvalidError, NotAllowedError, NotFoundError, NotSignedInError
from nomaflow.wire import ErrorBody, Run

SURFACE_HEADER = "X-Nomaflow-Surface"
SURFACES: tuple[Surface, ...] = get_args(Surface)


@dataclass(frozen=True)
class Api:
    """What the routes are given. `stopping` ends the streams."""

    engine: Engine
    access: Access
    metrics: Metrics
    stopping: trio.Event


@dataclass(frozen=True)
class Call:
    """One admitted request: who makes it, and the run that its path names, where it names one."""

    api: Api
    identity: Identity
    run: Run | None = None

    @property
    def engine(self) -> Engine:
        """The engine."""
        return self.api.engine

    @property
    def actor(self) -> Actor:
        """The person as the engine records it."""
        return Actor(self.identity.account, self.identity.surface)

    def goes_on(self, job_id: str | None = None) -> bool:
        """Whether a stream that was begun may go on: the token still counts, and the person still sees the job."""
        return self.api.access.is_current(self.identity) and (job_id is None or self.sees_job(job_id))

    def may(self, role: RoleName, job_id: str | None = None, tags: Iterable[str] = ()) -> bool:
        """Whether the person holds the role for the job, or everywhere."""
        return self.api.access.allows(self.identity, role, job_id, tags)

    def tags(self, job_id: str) -> list[str]:
        """The job's tags; none once it is deleted, so that its runs stay with those who are granted its id."""
        try:
            return self.engine.tags(job_id)
        except NotFoundError:
            return []

    def sees_job(self, job_id: str) -> bool:
        """Whether the person may view the job and its runs."""
        return self.may("viewer") or self.may("viewer", job_id, self.tags(job_id))

    def require(self, role: RoleName, job_id: str, tags: list[str]) -> None:
        """Refuse who does not hold the role for the job.

        Raises:
            NotFoundError: the person may not even view it.
            NotAllowedError: the person may view it, and not do this.
        """
        if not self.may("viewer", job_id, tags):
            raise no_such_job(job_id)
        if not self.may(role, job_id, tags):
            raise NotAllowedError(f"this needs the role {role} for the job {job_id}, which you do not hold")


def no_such_job(job_id: str) -> NotFoundError:
    """The same words for a job that is missing and for one that the person may not know of."""
    return NotFoundError(f"there is no job {job_id[:80]!r}")


def no_such_run(run_id: str) -> NotFoundError:
    """The same words for a run that is missing and for one that the person may not know of."""
    return NotFoundError(f"there is no run {run_id[:80]!r}")


def named_run(call: Call, run_id: str) -> Run:
    """The run that the path names, which the gate has read.

    Raises:
        NotFoundError: the route's rule does not let the gate read one.
    """
    if call.run is None:
        raise no_such_run(run_id)
    return call.run


class ApiRoute(APIRoute):
    """A route that knows who may call it.

    The rule belongs to the route itself and not to the spelling of a path, so there is no second way to its code. It
    is applied before the body is read.

    Raises:
        LookupError: the policy has no rule for it.
    """

    takes_any_query: ClassVar[bool] = False

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        (method,) = options.get("methods") or {"GET"}
        self.rule = rule_of(method, path)
        options["responses"] = _gate_refusals(self.rule, method) | (options.get("responses") or {})
        if self.rule.scope not in ("open", "loopback"):
            options["openapi_extra"] = {**(options.get("openapi_extra") or {}), "security": [{"bearer": []}]}
        options["operation_id"] = endpoint.__name__
        super().__init__(path, endpoint, **options)
        flat = [*self.dependant.query_params, *(p for d in self.dependant.dependencies for p in d.query_params)]
        self.query_names = frozenset(param.alias for param in flat)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own handler behind the gate."""
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            strict.state.call = await _admit(strict, self.rule)
            if not self.takes_any_query:
                _check_query(strict, self.query_names)
            if self.body_field is not None:
                await strict.read()
            return await answer(strict)

        return handle


def api_router(subject: str) -> APIRouter:
    """A router whose routes pass the gate; `/docs` lists them under the subject."""
    # Our own reading of the body is stricter than FastAPI's, which would refuse the one without a content type.
    return APIRouter(route_class=ApiRoute, strict_content_type=False, tags=[subject])


async def _api(request: Request) -> Api:
    return cast("Api", request.app.state.api)


async def _call(request: Request) -> Call:
    return cast("Call", request.state.call)


ApiIn = Annotated[Api, Depends(_api)]
CallIn = Annotated[Call, Depends(_call)]
"""A route's parameter: the admitted request. Routes that are open to everybody take `ApiIn`."""


async def _admit(request: Request, rule: Rule) -> Call | None:
    """Apply the rule; None for somebody who needs no token."""
    api = await _api(request)
    if rule.scope == "open" or (rule.scope == "loopback" and _is_local(request)):
        return None
    call = Call(api, api.access.authenticate(bearer(request), surface(request)))
    match rule.scope:
        case "somewhere" if not api.access.allows_somewhere(call.identity, rule.role):
            raise NotAllowedError(f"this needs the role {rule.role} for some job, which you do not hold")
        case "everywhere" if not call.may(rule.role):
            raise NotAllowedError(f"this needs the role {rule.role} for all jobs, which you do not hold")
        case "job":
            return _at_job(call, request.path_params["job_id"], rule.role)
        case "run":
            return await _at_run(call, request.path_params["run_id"], rule.role)
    return call


def _at_job(call: Call, job_id: str, role: RoleName) -> Call:
    if not re.fullmatch(JOB_ID_PATTERN, job_id):
        raise no_such_job(job_id)
    try:
        tags = call.engine.tags(job_id)
    except NotFoundError:
        raise no_such_job(job_id) from None
    call.require(role, job_id, tags)
    return call


async def _at_run(call: Call, run_id: str, role: RoleName) -> Call:
    try:
        run = await call.engine.run(run_id)
    except NotFoundError:
        raise no_such_run(run_id) from None
    if not call.sees_job(run.job_id):
        raise no_such_run(run_id)
    if not call.may(role, run.job_id, call.tags(run.job_id)):
        raise NotAllowedError(f"this needs the role {role} for the job {run.job_id}, which you do not hold")
    return Call(call.api, call.identity, run=run)


def bearer(request: Request) -> str:
    """The request's token.

    Raises:
        NotSignedInError: there is none.
        BadRequestError: there are two.
    """
    given = request.headers.getlist("authorization")
    if len(given) > 1:
        raise BadRequestError("the request has the header Authorization twice")
    scheme, _, token = (given[0] if given else "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotSignedInError("sign in first: send the header Authorization: Bearer with a token")
    return token.strip()


def surface(request: Request) -> Surface | None:
    """Where the request says that it comes from; whether it may say `slack` is the session's matter.

    Raises:
        BadRequestError: it names no surface.
    """
    given = request.headers.get(SURFACE_HEADER)
    if given is None:
        return None
    if given not in SURFACES:
        raise BadRequestError(f"the header {SURFACE_HEADER} must be one of {', '.join(SURFACES)}")
    return given


def address(request: Request) -> str:
    """The network address of the caller."""
    return request.client.host if request.client else ""


def _is_local(request: Request) -> bool:
    try:
        peer = ipaddress.ip_address(address(request))
    except ValueError:
        return False
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped:
        peer = peer.ipv4_mapped
    return peer.is_loopback


def _check_query(request: Request, known: frozenset[str]) -> None:
    details: list[Detail] = []
    for name in request.query_params:
        if name not in known:
            message = f"{name[:64]} is no query parameter of this route" + near_miss(name[:64], known)
            details.append({"path": name[:64], "message": message})
        elif len(request.query_params.getlist(name)) > 1:
            details.append({"path": name, "message": f"{name} is given twice"})
    if details:
        raise InvalidError(details[0]["message"], details=details)


_MEANINGS = {
    400: "The request is malformed.",
    401: "No token, or one that is unknown, expired or revoked.",
    403: "The person may not do this.",
    404: "There is no such thing, or the person may not know of it.",
    409: "It does not go together with what is there now; the details say with what.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not JSON.",
    422: "The values do not fit; one detail for each of them.",
    428: "The request does not say which version it changes.",
    429: "Too many tries; `Retry-After` says when the next one is taken.",
    501: "Not built in this version.",
    503: "The engine cannot do this now.",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How a route describes the refusals of its own; those of the gate are described for every route."""
    return {status: {"model": ErrorBody, "description": _MEANINGS[status]} for status in statuses}


def _gate_refusals(rule: Rule, method: str) -> dict[int | str, dict[str, Any]]:
    statuses = {400, 422}
    if rule.scope != "open":
        statuses |= {401}
    if rule.scope not in ("open", "loopback"):
        statuses |= {403}
    if rule.scope in ("job", "run"):
        statuses |= {404}
    if method in ("POST", "PUT", "PATCH"):
        statuses |= {413, 415}
    if method != "GET":
        statuses |= {503}
    return refusals(*sorted(statuses))
