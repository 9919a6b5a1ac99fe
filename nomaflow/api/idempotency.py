"""The `Idempotency-Key` header: a launch or a replay that is sent twice is made once."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import Header, Response

from nomaflow.api.gate import Call
from nomaflow.api.policy import V1
from nomaflow.api.port import Idempotency
from nomaflow.api.strict_json import StrictRequest
from nomaflow.errors import BadRequestError
from nomaflow.wire import Run

MAX_KEY = 128

IdempotencyKey = Annotated[str | None, Header()]


def idempotency(call: Call, route: str, key: str | None, request: StrictRequest) -> Idempotency | None:
    """What the engine knows the request by; None without a key.

    Args:
        call: who asks.
        route: method and path without `/api/v1`, with the ids in it.
        key: the header as it was given.
        request: its body counts by its meaning: spaces and the order of keys make no other one.

    Raises:
        BadRequestError: no such key.
    """
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise BadRequestError(f"Idempotency-Key must be 1 to {MAX_KEY} printable ASCII characters")
    body_hash = hashlib.sha256(request.canonical).hexdigest()
    return Idempotency(account=call.identity.account, route=route, key=key, body_hash=body_hash)


def accepted(run: Run, is_known: bool, response: Response) -> Run:
    """The answer to a launch: where the run is, and whether an earlier request had started it."""
    response.headers["Location"] = f"{V1}/runs/{run.id}"
    if is_known:
        response.headers["Idempotent-Replay"] = "true"
    return run
