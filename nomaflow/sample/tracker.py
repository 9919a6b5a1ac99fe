"""A small issue tracker on loopback, for the sample job that pulls from a web API.

It has the same issues on every machine: each is opened on its day, answered three days later and closed after ten. What
it says depends on the day alone, so a job that pulls the same days twice gets the same rows.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11
import trio

from nomaflow.definitions.connector import HttpConnector
from nomaflow.definitions.settings import Settings

CONNECTOR = "tracker"

FIRST_DAY = date(2026, 1, 1)
A_DAY = 4
"""So many issues are opened each day."""

MAX_DAYS = 366
REQUEST_SECONDS = 10.0

_PATH = re.compile(r"(/[\w.-]+)*/repos/(?P<repo>[\w-][\w.-]{0,63})/issues")
_CHANGES = ((0, "open", "new"), (3, "open", "answered"), (10, "closed", "done"))
"""After so many days an issue is in this state and has this label."""

_SUBJECTS = (
    "the import",
    "the export",
    "the price list",
    "the night run",
    "the login",
    "the label printer",
    "the report",
)
_FAULTS = (
    "is slow",
    "stops half-way",
    "shows yesterday's figures",
    "asks twice",
    "has no umlauts",
    "needs a new column",
)

log = logging.getLogger(__name__)


def issues(repo: str, since: date, now: datetime) -> Iterator[dict[str, Any]]:
    """The issues of a repository that have changed since that day, in the order of their numbers, as they are now."""
    first = max(FIRST_DAY, since - timedelta(days=_CHANGES[-1][0]))
    for day in range((now.date() - first).days + 1):
        opened_on = first + timedelta(days=day)
        for n in range(A_DAY):
            number = (opened_on - FIRST_DAY).days * A_DAY + n + 1
            at = time(hour=6 + 4 * n, minute=number % 60, tzinfo=UTC)
            opened_at = datetime.combine(opened_on, at)
            past = [each for each in _CHANGES if opened_at + timedelta(days=each[0]) <= now]
            if past and opened_on + timedelta(days=past[-1][0]) >= since:
                days, state, label = past[-1]
                yield {
                    "number": number,
                    "title": f"{repo}: {_SUBJECTS[number % 7]} {_FAULTS[number % 6]}",
                    "state": state,
                    "labels": [label],
                    "opened_at": f"{opened_at:%Y-%m-%dT%H:%M:%SZ}",
                    "updated_at": f"{opened_at + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}",
                }


async def serve(
    settings: Settings,
    now: Callable[[], datetime],
    *,
    task_status: trio.TaskStatus[int | None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer at the address of the connector `tracker`, until canceled; not at all where it leads elsewhere.

    Args:
        settings: of the home.
        now: the wall clock.
        task_status: told the port when requests are taken, or None.
    """
    port = _port(settings)
    if port is None:
        task_status.started(None)
        return
    try:
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
    except OSError as error:
        log.warning("the sample's tracker is not served: port %d: %s; the job api-pull needs it", port, error.strerror)
        task_status.started(None)
        return
    task_status.started(port)
    await trio.serve_listeners(partial(_answer, now), listeners)


def _port(settings: Settings) -> int | None:
    connector = settings.connectors.get(CONNECTOR)
    if not settings.sample.enabled or not isinstance(connector, HttpConnector):
        return None
    parts = urlsplit(connector.url)
    return parts.port if parts.scheme == "http" and parts.hostname == "127.0.0.1" else None


async def _answer(now: Callable[[], datetime], stream: trio.SocketStream) -> None:
    """Serve one connection, with one request."""
    protocol = h11.Connection(h11.SERVER)
    # Whatever is wrong with a connection ends it, and nothing else.
    try:
        with trio.move_on_after(REQUEST_SECONDS):
            request: h11.Request | None = None
            while not isinstance(event := protocol.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    protocol.receive_data(bytes(await stream.receive_some(65_536)))
                elif isinstance(event, h11.Request):
                    request = event
                elif not isinstance(event, h11.Data):
                    return
            assert request is not None, "a message begins with its head"
            status, body = _body(request.method.decode(), request.target.decode("ascii"), now())
            data = json.dumps(body).encode()
            headers = [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(data))),
                ("Connection", "close"),
            ]
            answer = h11.Response(status_code=status, reason=HTTPStatus(status).phrase, headers=headers)
            content = [h11.Data(data)] if request.method != b"HEAD" else []
            sent = [protocol.send(part) or b"" for part in (answer, *content, h11.EndOfMessage())]
            await stream.send_all(b"".join(sent))
    except Exception as error:
        log.info("the sample's tracker could not serve a request: %s", error)
    finally:
        await trio.aclose_forcefully(stream)


def _body(method: str, target: str, now: datetime) -> tuple[int, dict[str, Any]]:
    """Status and body of the answer to a request."""
    parts = urlsplit(target)
    if parts.path.strip("/") in ("", "v1") and method == "GET":
        return 200, {"ask_for": "/v1/repos/NAME/issues?since=2026-01-31"}
    asked = _PATH.fullmatch(parts.path)
    if asked is None:
        return 404, {"error": "there is nothing here; ask for /v1/repos/NAME/issues"}
    if method != "GET":
        return 405, {"error": "the sample's issues can only be read"}
    try:
        since = date.fromisoformat(parse_qs(parts.query)["since"][0])
    except (KeyError, ValueError):
        return 400, {"error": "since must be a day such as 2026-01-31"}
    if (now.date() - since).days > MAX_DAYS:
        return 400, {"error": f"since must lie within the last {MAX_DAYS} days"}
    items = list(issues(asked["repo"], since, now))
    return 200, {"repo": asked["repo"], "since": f"{since}", "items": items, "total_count": len(items)}
