"""The live stream of everything that changes."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated

from fastapi import Header, Query
from starlette.responses import Response

from nomaflow.api.event_stream import EventStream, closing, frame
from nomaflow.api.gate import Call, CallIn, api_router
from nomaflow.api.jobs import for_person
from nomaflow.api.policy import V1
from nomaflow.api.port import Cursor, Reset
from nomaflow.errors import BadRequestError, NotFoundError
from nomaflow.wire import Event

router = api_router("events")


@router.get(
    f"{V1}/events",
    status_code=200,
    response_class=EventStream,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Events as they come."}},
)
async def stream_events(
    call: CallIn,
    after: Annotated[str | None, Query(max_length=64)] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """The events after a cursor (`Last-Event-ID`, else `after`, else the newest one), then new ones as they come.

    An event's id is its cursor, its name its kind. A cursor that is too old is answered by one event `reset`: read
    everything again and go on from there.
    """
    given = last_event_id or after
    cursor = call.engine.cursor if given is None else _cursor(given)
    return EventStream(
        _frames(call, cursor),
        stopping=call.api.stopping,
        may_go_on=call.goes_on,
    )


def _cursor(given: str) -> Cursor:
    parts = re.fullmatch(r"([0-9]{1,18})\.([0-9]{1,18})", given)
    if parts is None:
        raise BadRequestError("the event cursor must be the id of an event, like 3.1204")
    return Cursor(epoch=int(parts[1]), seq=int(parts[2]))


async def _frames(call: Call, cursor: Cursor) -> AsyncIterator[bytes]:
    # The id alone sets where the client goes on from, should the connection end before the first event.
    yield f"retry: 1000\nid: {_id(cursor)}\n\n".encode()
    async with closing(call.engine.follow_events(cursor)) as events:
        async for event in events:
            if isinstance(event, Reset):
                cursor = event.cursor
                yield frame(json.dumps(asdict(cursor)), event="reset", event_id=_id(cursor))
                continue
            cursor = Cursor(call.engine.cursor.epoch, event.seq)
            if _sees(call, event):
                yield frame(_for_person(call, event).model_dump_json(), event=event.kind, event_id=_id(cursor))


def _id(cursor: Cursor) -> str:
    return f"{cursor.epoch}.{cursor.seq}"


def _sees(call: Call, event: Event) -> bool:
    if event.job_id is None:
        return call.may("viewer")
    return call.sees_job(event.job_id) or call.may("viewer", event.job_id, event.gone_tags)


def _for_person(call: Call, event: Event) -> Event:
    """A card in an event says what this person may do, as it does on its own route."""
    if event.kind != "job" or event.job_id is None or "can" not in event.record:
        return event
    try:
        can = for_person(call, call.engine.card(event.job_id)).can
    except NotFoundError:
        return event
    return event.model_copy(update={"record": {**event.record, "can": can.model_dump()}})
