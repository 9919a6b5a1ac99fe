"""The step `http`: one request, on the engine's own loop, bounded in time and in bytes.

What becomes of a request that is cut off depends on how far it was, so the step keeps that true while it works: what a
receipt may say of it, and whether another try would ask for the same thing twice.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from urllib.parse import urlencode

import trio

from nomaflow.errors import RetryAfter
from nomaflow.steps.http import answer
from nomaflow.steps.http.connection import Answer, Bounds, Resolve, exchange, look_up
from nomaflow.steps.http.errors import (
    BusyError,
    OutcomeUnknownError,
    RedirectError,
    RequestError,
    StatusError,
)
from nomaflow.steps.http.target import Target, parse, redirected, resolve

USER_AGENT = "nomaflow"

TOLD_CHARACTERS = 2000
"""What the log shows of the body of an answer that fails the step."""

IN_THREAD_BYTES = 65_536
"""An answer of so many bytes is read in a thread."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
SAFE = frozenset({"GET", "HEAD"})
"""They ask for no change."""

_TWICE = frozenset({"POST", "PATCH"})
"""Two of them may do a thing twice."""

_MASKED = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_ADDRESSES = frozenset({"location", "content-location", "refresh", "link"})
_FOR_ALL = frozenset({"accept", "accept-encoding", "accept-language", "content-type", "user-agent", "connection"})
"""Headers that another service than the one that the step names may have too."""


class Context(Protocol):
    """What the step sees and says; see `nomaflow.engine.inside.OwnStep`."""

    rolled_back: bool | Literal["unknown"]
    on_stop: str
    lasting: str | None

    def now(self) -> datetime:
        """The wall clock."""

    def say(self, text: str, level: str = "INFO") -> None:
        """A line of the run's log."""

    def connector(self, name: str) -> Mapping[str, Any]:
        """A connector with its secret."""

    def hide(self, secrets: Iterable[str]) -> None:
        """Mask these values."""


@dataclass
class Request:
    """What is sent to one address."""

    method: str
    target: Target
    headers: dict[str, str]
    content: bytes | None

    def all_headers(self) -> list[tuple[str, str]]:
        """With what every request has; a header of the step's own goes before it."""
        usual = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "gzip, deflate", "Connection": "close"}
        own = {name.lower() for name in self.headers}
        added = {name: value for name, value in usual.items() if name.lower() not in own}
        if self.content is not None:
            added["Content-Length"] = str(len(self.content))
        return [("Host", self.target.authority), *self.headers.items(), *added.items()]


async def run(ctx: Context, options: Mapping[str, Any], *, look_up: Resolve = look_up) -> dict[str, Any]:
    """Send the request and take its answer.

    Args:
        ctx: the step.
        options: as `definitions.steps.http` has them, with everything put in.
        look_up: the resolver.

    Returns:
        `status`, `elapsed_ms`, `body_preview`, and what `outputs` names.

    Raises:
        Exception: one of `errors`.
    """
    return await _Step(ctx, options, look_up).run()


class _Step:
    def __init__(self, ctx: Context, options: Mapping[str, Any], look_up: Resolve) -> None:
        self._ctx, self._options, self._look_up = ctx, options, look_up
        name = options["connector"]
        self._connector: Mapping[str, Any] = ctx.connector(name) if name is not None else {}
        if self._connector and self._connector["kind"] != "http":
            raise RequestError(f"the connector {name!r} is of kind {self._connector['kind']}; this step needs http")
        self._home = parse(self._connector["url"]) if self._connector else None
        self._repeats = options["idempotent"]

    async def run(self) -> dict[str, Any]:
        """The step, redirects included."""
        ctx = self._ctx
        ctx.rolled_back, ctx.on_stop, ctx.lasting = True, "the step ended; nothing had been sent", None
        began = trio.current_time()
        try:
            got, body = await self._follow(self._first())
            content_type = got.headers.get("content-type", "")
            elapsed_ms = round((trio.current_time() - began) * 1000, 1)
            picked = {}
            if outputs := self._options["outputs"]:
                picked = await self._picked(body, content_type, outputs)
        except Exception as error:
            # What is known to be in vain, or was answered with a wish to be asked again, says so itself.
            is_told = isinstance(error, RetryAfter | StatusError) or isinstance(getattr(error, "lasting", None), str)
            if ctx.lasting is None or is_told:
                raise
            raise OutcomeUnknownError(str(error), ctx.lasting) from error
        preview = answer.preview(body, content_type)
        return {"status": got.status, "elapsed_ms": elapsed_ms, "body_preview": preview, **picked}

    async def _picked(self, body: answer.Body, content_type: str, outputs: Mapping[str, str]) -> dict[str, Any]:
        def pick() -> dict[str, Any]:
            return answer.pick(answer.read_json(body, content_type), outputs)

        # What takes long may not hold up the other runs; a thread of its own costs more than a small answer.
        return pick() if body.size < IN_THREAD_BYTES else await trio.to_thread.run_sync(pick)

    def _first(self) -> Request:
        options = self._options
        query = [(name, _text(value)) for name, value in options["query"].items()]
        url = None if options["url"] is None else _text(options["url"])
        target = resolve(self._connector.get("url"), url, query)
        content, content_type = _content(options)
        headers = {name: _text(value) for name, value in options["headers"].items()}
        own = {name.lower() for name in headers}
        if content_type is not None and "content-type" not in own:
            headers["Content-Type"] = content_type
        if options["outputs"] and "accept" not in own:
            headers["Accept"] = "application/json"
        if (signed := self._authorization()) is not None:
            headers["Authorization"] = signed
        return Request(options["method"], target, headers, content)

    def _authorization(self) -> str | None:
        auth = self._connector.get("auth") or {"type": "none"}
        if auth["type"] == "bearer":
            return f"Bearer {auth['secret']}"
        if auth["type"] == "basic":
            pair = base64.b64encode(f"{auth['username']}:{auth['secret']}".encode()).decode()
            self._ctx.hide([pair])
            return f"Basic {pair}"
        return None

    async def _follow(self, request: Request) -> tuple[Answer, answer.Body]:
        """The answer in which the redirects end, and its body."""
        for left in range(self._options["max_redirects"], -1, -1):
            got, body = await self._ask(request)
            if answer.is_expected(got.status, self._options["expected_statuses"]):
                return got, body
            location = got.headers.get("location")
            if got.status not in REDIRECTS or location is None:
                raise self._unexpected(request, got, body)
            if not left:
                many = self._options["max_redirects"]
                where = f"more than {many} redirects" if many else f"a redirect ({got.status})"
                raise RedirectError(f"{request.target.shown} leads on by {where}, which the step does not follow")
            request = self._redirected(request, got.status, location)
        raise AssertionError("the last answer has been returned or raised")

    def _redirected(self, request: Request, status: int, location: str) -> Request:
        target = redirected(request.target, location)
        self._ctx.say(f"{status}: leads to {target.shown}")
        method, content, headers = request.method, request.content, dict(request.headers)
        if (status == 303 and method not in SAFE) or (status in (301, 302) and method == "POST"):
            method, content = "GET", None
            headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        if not target.is_of(self._home or request.target):
            if content is not None:
                raise RedirectError(
                    f"{request.target.shown} leads to another service, {target.shown}; no body goes there"
                )
            headers = {name: value for name, value in headers.items() if name.lower() in _FOR_ALL}
        return Request(method, target, headers, content)

    async def _ask(self, request: Request) -> tuple[Answer, answer.Body]:
        """Send one request; its answer, read to its end."""
        ctx, options = self._ctx, self._options
        method, target = request.method, request.target
        ctx.say(f"{method} {target.shown}")
        for name, value in request.all_headers():
            ctx.say(f"> {name}: {_shown(name, value)}", "DEBUG")
        bounds = Bounds(
            may_be_private=bool(self._home and self._connector["allow_private"] and target.is_of(self._home)),
            connect_seconds=options["connect_timeout_seconds"],
            max_bytes=options["max_bytes"],
        )
        began = trio.current_time()
        async with exchange(
            target,
            method,
            request.all_headers(),
            request.content,
            bounds=bounds,
            ca_file=self._connector.get("ca_file"),
            resolve=self._look_up,
            on_send=lambda: self._sends(request),
        ) as got:
            self._answered(request, got.status)
            for name, value in got.headers.items():
                ctx.say(f"< {name}: {_shown(name, value)}", "DEBUG")
            body = await self._body(got, method)
        seconds = trio.current_time() - began
        kind = got.headers.get("content-type", "").partition(";")[0].strip()
        of = f" of {kind}" if kind else ""
        ctx.say(f"{got.status} {got.reason} in {seconds * 1000:,.0f} ms, {body.size:,} bytes{of}")
        return got, body

    async def _body(self, got: Answer, method: str) -> answer.Body:
        options, headers = self._options, got.headers
        is_empty = method == "HEAD" or got.status in (204, 304)
        body = answer.Body(
            "" if is_empty else headers.get("content-encoding", ""),
            max_bytes=options["max_bytes"],
            keeps_all=bool(options["outputs"]),
        )
        length = headers.get("content-length", "")
        if not is_empty and length.isascii() and length.isdigit() and int(length[:20]) > options["max_bytes"]:
            raise answer.too_large(options["max_bytes"])
        while piece := await got.piece():
            body.take(piece)
        body.end()
        return body

    def _sends(self, request: Request) -> None:
        """From here on the other side may have the request."""
        ctx, method = self._ctx, request.method
        if method in SAFE:
            if ctx.lasting is None:
                ctx.on_stop = f"the connection was closed; a {method} asks for no change"
            return
        ctx.rolled_back = "unknown"
        ctx.on_stop = f"the connection was closed; what the {method} asks for may be done"
        if method in _TWICE and not self._repeats:
            ctx.lasting = (
                f"the {method} was sent, and whether it was done is unknown; `idempotent = true` lets it be tried again"
            )

    def _answered(self, request: Request, status: int) -> None:
        """The head of an answer has come."""
        ctx, method = self._ctx, request.method
        if method in SAFE:
            return
        ctx.on_stop = f"the connection was closed; the {method} had been answered with {status}"
        ctx.rolled_back = False if status < 300 else "unknown"
        if answer.may_be_asked_again(status) and not answer.is_of_a_gateway(status):
            ctx.lasting = None
        elif method in _TWICE and not self._repeats and status < 400:
            ctx.lasting = (
                f"the {method} was answered with {status}, so another may do it twice; `idempotent = true` allows it"
            )

    def _unexpected(self, request: Request, got: Answer, body: answer.Body) -> Exception:
        """The error of an answer whose status is none of the step's."""
        status = got.status
        expected = " ".join(map(str, self._options["expected_statuses"]))
        text = answer.preview(body, got.headers.get("content-type", ""))[:TOLD_CHARACTERS].strip()
        asked, told = f"{request.method} {request.target.shown}", f"{status} {got.reason}".strip()
        message = f"{asked} was answered with {told}, which is none of {expected}" + (f"\n{text}" if text else "")
        if not answer.may_be_asked_again(status):
            return StatusError(message, f"the service would answer with {status} again")
        if self._ctx.lasting is not None:
            return StatusError(message, self._ctx.lasting)
        wait = answer.retry_after_seconds(got.headers.get("retry-after"), self._ctx.now())
        if status in (429, 503) and wait is not None:
            return BusyError(wait, message)
        return StatusError(message)


def _content(options: Mapping[str, Any]) -> tuple[bytes | None, str | None]:
    """The body's bytes and what kind they are."""
    body, form = options["body"], options["form"]
    try:
        if form is not None:
            return urlencode([(name, _text(value)) for name, value in form.items()]).encode(), _FORM
        if isinstance(body, str):
            return body.encode(), "text/plain; charset=utf-8"
        if body is not None:
            text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            return text.encode(), "application/json"
    except ValueError as error:
        raise RequestError(f"the body cannot be sent: {error}") from None
    # A service may wait for the length of what it takes.
    return (b"", None) if options["method"] not in SAFE else (None, None)


_FORM = "application/x-www-form-urlencoded"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown(name: str, value: str) -> str:
    """A header's value as the log may have it; the query of an address may be a key."""
    if name.lower() in _MASKED:
        return "••••"
    address, mark, _ = value.partition("?")
    return f"{address}?…" if mark and name.lower() in _ADDRESSES else value[:1000]
