"""Jobs: their cards, their text, their switch, their launches."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

import trio
from fastapi import Body, Header, Query, Response

from nomaflow.api.gate import Call, CallIn, api_router, refusals
from nomaflow.api.idempotency import IdempotencyKey, accepted, idempotency
from nomaflow.api.policy import V1
from nomaflow.api.strict_json import StrictRequest
from nomaflow.definitions.record import JOB_ID_PATTERN
from nomaflow.errors import (
    BadRequestError,
    InvalidError,
    NotAllowedError,
    PreconditionRequiredError,
)
from nomaflow.history.search import parse_jobs
from nomaflow.history.search_facts import JobFacts, finds_job
from nomaflow.wire import (
    Can,
    CheckResult,
    Duration,
    Form,
    JobCard,
    JobChange,
    JobDocument,
    JobText,
    Launch,
    Page,
    Plan,
    ReloadResult,
    Run,
    Toggle,
    Why,
)

router = api_router("jobs")

IfMatch = Annotated[str | None, Header()]


@router.get(f"{V1}/jobs")
async def list_jobs(
    call: CallIn,
    q: Annotated[str | None, Query(max_length=500)] = None,
    tag: Annotated[str | None, Query(max_length=64)] = None,
    sort: Literal["id", "last_run", "next_fire"] = "id",
) -> Page[JobCard]:
    """The cards of all jobs that the person may view; complete, so there is no next page.

    `q` is a search, as in `nightly tag:etl state:failed enabled:yes`.
    """
    cards = [card for card in call.engine.cards() if call.may("viewer", card.id, card.tags)]
    if q:
        # The parser is loaded when somebody searches for the first time.
        search = await trio.to_thread.run_sync(parse_jobs, q)
        cards = [card for card in cards if finds_job(search, _facts(card))]
    if tag:
        cards = [card for card in cards if tag in card.tags]
    cards.sort(key=lambda card: card.id)
    if sort == "last_run":
        cards.sort(key=_newest_first)
    elif sort == "next_fire":
        cards.sort(key=_soonest_first)
    return Page[JobCard](items=[for_person(call, card) for card in cards])


@router.post(f"{V1}/jobs", status_code=201, responses=refusals(409))
async def create_job(call: CallIn, change: JobChange, response: Response) -> JobDocument:
    """A new job, from its TOML text or its values."""
    if change.id is None or not re.fullmatch(JOB_ID_PATTERN, change.id):
        message = "id must be a job id: a small letter or digit, then up to 63 of a-z, 0-9, _ and -"
        raise InvalidError(message, details=[{"path": "id", "message": message}])
    # By its id alone: the tags of a job that is not there yet are the maker's own word.
    if not call.may("editor", change.id):
        raise NotAllowedError(f"this needs the role editor for jobs named {change.id}, which you do not hold")
    document = await call.engine.create_job(change, call.actor)
    response.headers["Location"] = f"{V1}/jobs/{document.id}"
    return _tagged(document, response)


@router.post(f"{V1}/jobs/check")
async def check_job(call: CallIn, text: JobText) -> CheckResult:
    """What saving the text would say; nothing is saved."""
    return await call.engine.check_job(text.id, text.toml)


@router.get(f"{V1}/jobs/{{job_id}}")
async def read_job(call: CallIn, job_id: str, response: Response) -> JobDocument:
    """A job with its text. The ETag header is what `If-Match` wants at a change."""
    return _tagged(await call.engine.job(job_id), response)


@router.put(f"{V1}/jobs/{{job_id}}", responses=refusals(409, 428))
async def save_job(
    call: CallIn, job_id: str, change: JobChange, response: Response, if_match: IfMatch = None
) -> JobDocument:
    """Change a job that is still the one that the caller saw."""
    return _tagged(await call.engine.save_job(job_id, change, etag_of(if_match, job_id), call.actor), response)


@router.delete(f"{V1}/jobs/{{job_id}}", status_code=204, responses=refusals(409, 428))
async def delete_job(call: CallIn, job_id: str, if_match: IfMatch = None) -> None:
    """Delete a job that is still the one that the caller saw; its runs stay."""
    await call.engine.delete_job(job_id, etag_of(if_match, job_id), call.actor)


@router.patch(f"{V1}/jobs/{{job_id}}", responses=refusals(409))
async def toggle_job(call: CallIn, job_id: str, toggle: Toggle, response: Response) -> JobCard:
    """Switch a job's own fires on, or off, with `until` so long; in its file and the scheduler when this answers."""
    card = await call.engine.set_enabled(job_id, toggle, call.actor)
    response.headers["ETag"] = f'"{card.etag}"'
    return for_person(call, card)


@router.get(f"{V1}/jobs/{{job_id}}/form", responses=refusals(409))
async def read_form(call: CallIn, job_id: str, replay_of: Annotated[str | None, Query(max_length=64)] = None) -> Form:
    """The Run-with-parameters form that every surface draws; with `replay_of`, the values of that run in it."""
    return call.engine.form(job_id) if replay_of is None else await call.engine.replay_form(job_id, replay_of)


@router.post(f"{V1}/jobs/{{job_id}}/plan", responses=refusals(409))
async def plan_run(call: CallIn, job_id: str, launch: Launch) -> Plan:
    """A dry launch: what would run, with which values and where each comes from."""
    return call.engine.plan(job_id, launch)


@router.post(f"{V1}/jobs/{{job_id}}/runs", status_code=202, responses=refusals(409))
async def launch_run(
    call: CallIn,
    job_id: str,
    launch: Annotated[Launch, Body()],
    request: StrictRequest,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Run:
    """Start a run; recorded when this answers. The same `Idempotency-Key` gives the same run for 24 hours."""
    known_by = idempotency(call, f"POST /jobs/{job_id}/runs", idempotency_key, request)
    run, is_known = await call.engine.launch(job_id, launch, call.actor, known_by)
    return accepted(run, is_known, response)


@router.get(f"{V1}/jobs/{{job_id}}/why")
async def explain_job(call: CallIn, job_id: str) -> Why:
    """Why the job does not run now, in one sentence, and what can be done."""
    return call.engine.why(job_id)


@router.get(f"{V1}/jobs/{{job_id}}/durations")
async def list_durations(call: CallIn, job_id: str, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> Page[Duration]:
    """How long the newest ended runs took."""
    return Page[Duration](items=await call.engine.durations(job_id, limit))


@router.post(f"{V1}/reload")
async def reload(call: CallIn) -> ReloadResult:
    """Read the home's files again."""
    return await call.engine.reload(call.actor)


def for_person(call: Call, card: JobCard) -> JobCard:
    """The card with what the person may do."""
    operates = call.may("operator", card.id, card.tags)
    can = Can(run=operates, toggle=operates, edit=call.may("editor", card.id, card.tags))
    return card.model_copy(update={"can": can})


def etag_of(if_match: str | None, job_id: str) -> str:
    """The version that the caller changes.

    Raises:
        PreconditionRequiredError: not said, or `*`, which would overwrite what the caller never saw.
        BadRequestError: not one strong tag.
    """
    if if_match is None or if_match.strip() == "*":
        raise PreconditionRequiredError(
            f"say in If-Match which version of {job_id} you change: the ETag that GET {V1}/jobs/{job_id} answers"
        )
    tag = re.fullmatch(r'"([!#-~]{1,128})"|([!#-+\--~]{1,128})', if_match.strip())
    if tag is None or if_match.startswith("W/"):
        raise BadRequestError('If-Match must be one ETag as it was answered, as in "3f8a…"')
    return tag[1] or tag[2]


def _tagged(document: JobDocument, response: Response) -> JobDocument:
    response.headers["ETag"] = f'"{document.etag}"'
    return document


def _facts(card: JobCard) -> JobFacts:
    newest = [card.last_run.state] if card.last_run else []
    return JobFacts(
        id=card.id,
        description=card.description,
        tags=card.tags,
        is_enabled=card.enabled,
        states=frozenset(state.value for state in [*newest, *(run.state for run in card.active_runs)]),
        problem=card.problem.message if card.problem else None,
    )


def _newest_first(card: JobCard) -> tuple[bool, float]:
    started_at = card.last_run.started_at if card.last_run else None
    return started_at is None, -_seconds(started_at)


def _soonest_first(card: JobCard) -> tuple[bool, float]:
    return card.next_fire_at is None, _seconds(card.next_fire_at)


def _seconds(instant: datetime | None) -> float:
    return instant.timestamp() if instant else 0.0
