"""Server-sent events as the standard has them, read without the client under test."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True)
class Sent:
    """One event with data: its name, its id, and the JSON that it carries."""

    event: str
    id: str
    data: Any


async def sent(response: httpx.Response) -> AsyncGenerator[Sent]:
    """The events of a stream as they come."""
    fields: dict[str, str] = {}
    last_id = ""
    async for line in response.aiter_lines():
        name, _, value = line.partition(":")
        if line:
            fields[name] = value.removeprefix(" ")
            continue
        last_id = fields.get("id", last_id)
        if "data" in fields:
            yield Sent(fields.get("event", "message"), last_id, json.loads(fields["data"]))
        fields = {}
