"""A run's log: page by page, live, and as a text file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import Header, Query
from starlette.responses import Response, StreamingResponse

from nomaflow.api.event_stream import EventStream, closing, frame
from nomaflow.api.gate import Call, CallIn, api_router, named_run
from nomaflow.api.policy import V1
from nomaflow.api.port import LogQuery
from nomaflow.errors import InvalidError
from nomaflow.wire import LogLine, LogPage, iso

router = api_router("logs")

MAX_SEQ = 2**53
_PAGE = 500

After = Annotated[int, Query(ge=0, le=MAX_SEQ)]


@router.get(f"{V1}/runs/{{run_id}}/logs")
async def read_log(
    call: CallIn,
    run_id: str,
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 500,
    tail: Annotated[int | None, Query(ge=1, le=500)] = None,
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None,
    step: Annotated[str | None, Query(max_length=64)] = None,
    q: Annotated[str | None, Query(max_length=200)] = None,
) -> LogPage:
    """Some lines: after a number, or the last `tail`; `level` and worse, of one step, with a text in them."""
    if tail is not None and after:
        message = "tail counts from the end and after from the beginning; give one of them"
        raise InvalidError(message, details=[{"path": "tail", "message": message}])
    query = LogQuery(after=after, limit=limit, tail=tail, level=level, step=step, text=q)
    return await call.engine.log(run_id, query)


@router.get(
    f"{V1}/runs/{{run_id}}/logs/stream",
    status_code=200,
    response_class=EventStream,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Lines as they come."}},
)
async def stream_log(
    call: CallIn, run_id: str, after: After = 0, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """The lines as they come, each with its number as id; at the run's end one event `end`."""
    if last_event_id:
        if not last_event_id.isascii() or not last_event_id.isdigit() or int(last_event_id[:20]) > MAX_SEQ:
            raise InvalidError("Last-Event-ID must be the number of a line")
        after = int(last_event_id)
    job_id = named_run(call, run_id).job_id
    return EventStream(_frames(call, run_id, after), stopping=call.api.stopping, may_go_on=lambda: call.goes_on(job_id))


@router.get(
    f"{V1}/runs/{{run_id}}/logs.txt",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/plain": {}}, "description": "The whole log so far."}},
)
async def download_log(call: CallIn, run_id: str) -> Response:
    """The whole log so far, a line of text for each."""
    headers = {"Content-Disposition": f'attachment; filename="{run_id}.txt"'}
    return StreamingResponse(_text(call, run_id), media_type="text/plain; charset=utf-8", headers=headers)


async def _frames(call: Call, run_id: str, after: int) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    async with closing(call.engine.follow_log(run_id, after)) as lines:
        async for line in lines:
            yield frame(line.model_dump_json(), event_id=str(line.seq))
    run = await call.engine.run(run_id)
    # An engine that stops ends the lines too; then there is more to come from the next one.
    if run.state.is_terminal:
        yield frame(json.dumps({"run_id": run_id, "state": run.state}), event="end")


async def _text(call: Call, run_id: str) -> AsyncIterator[str]:
    after = 0
    while True:
        page = await call.engine.log(run_id, LogQuery(after=after, limit=_PAGE))
        if not page.lines:
            return
        yield "".join(plain(line) for line in page.lines)
        after = page.next


def plain(line: LogLine) -> str:
    """A line as text: instant, level, step, text. A line feed in it is shown: what follows could pose as a line."""
    step = f" [{line.step}]" if line.step else ""
    text = line.text.replace("\n", r"\x0a")
    return f"{iso(line.ts)} {line.level:<7}{step} {text}\n"
