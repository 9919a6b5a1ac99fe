"""JSON bodies, read strictly: what two readers could understand in two ways is refused."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import trio
from pydantic import JsonValue
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from nomaflow.definitions import json_text
from nomaflow.errors import BadRequestError, InvalidError, TooLargeError, UnsupportedMediaError

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
ARRIVES_WITHIN_SECONDS = 30.0


class StrictRequest(Request):
    """A request whose JSON body is read once, strictly, before anything else looks at it."""

    _value: dict[str, JsonValue]
    canonical = b""
    """The body in one spelling: the same for bodies that mean the same."""

    async def read(self) -> None:
        """Take the body in. No body and no content type at all is an empty object.

        Raises:
            TooLargeError: more than 1 MiB.
            UnsupportedMediaError: said to be something else than JSON.
            BadRequestError: not JSON as this program takes it, or it did not arrive in time.
            InvalidError: JSON, but no object.
        """
        body = await _bytes(self)
        if body or "content-type" in self.headers:
            _check_media_type(self.headers)
            value = parse(body)
        else:
            value = {}
        if not isinstance(value, dict):
            message = "the body must be a JSON object, as in {}"
            raise InvalidError(message, details=[{"path": "", "message": "must be a JSON object"}])
        self._value, self.canonical = value, _canonical(value)

    async def body(self) -> bytes:
        """The body in its one spelling."""
        return self.canonical

    async def json(self) -> Any:
        """The body's object."""
        return self._value


def parse(body: bytes) -> JsonValue:
    """A JSON text: UTF-8 without a mark, no key twice, finite numbers, at most 32 deep, nothing after it.

    Raises:
        BadRequestError: it is something else.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequestError("the body is not UTF-8") from None
    if text.startswith("\ufeff"):
        raise BadRequestError("the body begins with a byte order mark; send plain UTF-8")
    if not text.strip():
        raise BadRequestError("the body is empty; send a JSON object, as in {}")
    try:
        value: JsonValue = json_text.parsed(text, "the body", max_depth=MAX_DEPTH)
    except json_text.JsonTextError as error:
        raise BadRequestError(str(error)) from None
    return value


async def _bytes(request: Request) -> bytes:
    too_large = TooLargeError(f"the body is larger than {MAX_BYTES // 1024} KiB")
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length[:20]) > MAX_BYTES:
        raise too_large
    body = bytearray()
    with trio.move_on_after(ARRIVES_WITHIN_SECONDS):
        try:
            async with aclosing(request.stream()) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise too_large
        except ClientDisconnect:
            raise BadRequestError("the connection ended before the body did") from None
        return bytes(body)
    raise BadRequestError(f"the body did not arrive within {ARRIVES_WITHIN_SECONDS:g} s")


def _check_media_type(headers: Headers) -> None:
    media_type, *parameters = [part.strip().lower() for part in headers.get("content-type", "").split(";")]
    plain = all(parameter.replace('"', "") in ("", "charset=utf-8") for parameter in parameters)
    if media_type != "application/json" or not plain:
        raise UnsupportedMediaError("send the body as JSON in UTF-8, with the header Content-Type: application/json")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaError("send the body uncompressed, without the header Content-Encoding")


def _canonical(value: JsonValue) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadRequestError("the body holds half of a surrogate pair, which is no text") from None
