"""Whether a service answers: one request to a connector's url, and one sentence about what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import trio

from nomaflow.steps.http import run
from nomaflow.steps.http.connection import Resolve, look_up
from nomaflow.steps.http.errors import ConnectTimeoutError, TooLargeError

MAX_BYTES = 65_536


class _Probe:
    """A step that no run has."""

    rolled_back: bool | Literal["unknown"] = True
    on_stop = ""
    lasting: str | None = None

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._spec = spec

    def now(self) -> datetime:
        """Any instant: nobody waits for what a service wishes."""
        return datetime(1970, 1, 1, tzinfo=UTC)

    def say(self, text: str, level: str = "INFO") -> None:
        """Nobody reads it."""

    def connector(self, name: str) -> Mapping[str, Any]:
        """The one that is tried."""
        return self._spec

    def hide(self, secrets: Iterable[str]) -> None:
        """Whoever shows the sentence hides them."""


async def probe(spec: Mapping[str, Any], seconds: float, *, look_up: Resolve = look_up) -> tuple[bool, str]:
    """Ask for the connector's url with its `auth`.

    Any answer but a refusal will do: what a service has at the beginning of its paths is its own affair.

    Args:
        spec: the connector, with its secret.
        seconds: how long it may take.
        look_up: the resolver.

    Returns:
        Whether it answers, and a sentence.
    """
    name = str(spec["name"])
    try:
        with trio.fail_after(seconds):
            status = await _status(spec, seconds, look_up)
    except (trio.TooSlowError, ConnectTimeoutError):
        return False, f"{name} did not answer within {seconds:g} s"
    except TooLargeError:
        return True, f"{name} answers"
    except Exception as error:
        return False, f"{name} cannot be asked: {str(error).partition(chr(10))[0]}"
    if status in (401, 403):
        signed = spec["auth"]["type"] != "none"
        why = "what its `auth` signs with" if signed else "a request without `auth`"
        return False, f"{name} refuses {why}: it answers {status}"
    if status < 500 and status != 429:
        return True, f"{name} answers" + ("" if status < 300 else f", with {status} for its url")
    return False, f"{name} answers {status}: it cannot serve now"


async def _status(spec: Mapping[str, Any], seconds: float, look_up: Resolve) -> int:
    options: dict[str, Any] = {
        "connector": spec["name"],
        "url": None,
        "method": "GET",
        "headers": {},
        "query": {},
        "body": None,
        "form": None,
        "expected_statuses": ["1xx", "2xx", "3xx", "4xx", "5xx"],
        "outputs": {},
        "idempotent": True,
        "max_bytes": MAX_BYTES,
        "max_redirects": 0,
        "connect_timeout_seconds": seconds,
    }
    output = await run(_Probe(spec), options, look_up=look_up)
    return int(output["status"])
