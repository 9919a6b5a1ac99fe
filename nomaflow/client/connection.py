"""Where the engine is, who asks, and what its refusals mean. Shared by both clients; nothing here sends anything."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import ValidationError

from nomaflow import wire
from nomaflow.client.calls import Call
from nomaflow.errors import (
    Detail,
    EngineFailedError,
    EngineUnreachableError,
    InvalidError,
    NomaflowError,
    by_code,
)

DEFAULT_URL = "http://127.0.0.1:8600"
TIMEOUT = httpx.Timeout(30, connect=5)

Surface = Literal["web", "slack", "cli", "notebook", "api"]


@dataclass(frozen=True)
class Connection:
    """One engine and one person."""

    url: str
    token: str | None = field(repr=False)
    surface: Surface

    def http_options(self) -> dict[str, Any]:
        """How httpx's clients are made for it."""
        url = httpx.URL(self.url)
        return {
            "base_url": self.url,
            "timeout": TIMEOUT,
            # Proxies that the environment names are never the way to this machine itself.
            "trust_env": url.host not in ("127.0.0.1", "localhost", "::1"),
            # Reading the certificates takes longer than a whole command; without https nobody shows one, and no
            # redirect is followed to where somebody would.
            "verify": url.scheme == "https",
        }

    def headers(self) -> dict[str, str]:
        """Who asks, for every request."""
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        # A session that the bot opened is slack's by itself; nobody else may say so.
        return headers if self.surface in ("api", "slack") else {**headers, "X-Nomaflow-Surface": self.surface}

    def request(self, call: Call[Any]) -> dict[str, Any]:
        """The arguments of httpx's `request`."""
        headers = {**self.headers(), **call.headers}
        arguments: dict[str, Any] = {"method": call.method, "url": call.path, "params": call.params, "headers": headers}
        if call.body is not None:
            headers["Content-Type"] = "application/json"
            arguments["content"] = _json(call.body)
        return arguments

    def unreachable(self, error: httpx.TransportError) -> EngineUnreachableError:
        """What a failed connection means."""
        if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
            return EngineUnreachableError(f"the engine at {self.url} did not answer in time; see its log")
        return EngineUnreachableError(
            f"nothing answers at {self.url}; start the engine with `nomaflow up`, "
            f"or name another with --url or NOMAFLOW_URL"
        )


def connect(url: str | None, token: str | None, surface: Surface, home: Path) -> Connection:
    """The engine that is meant.

    Args:
        url: its address; else NOMAFLOW_URL, else port 8600 of this machine.
        token: whose; else NOMAFLOW_TOKEN, else the home's own admin token, which goes to the default address alone.
        surface: what the caller is.
        home: the folder of the engine that runs here.

    Raises:
        InvalidError: the address or the token can't be one.
    """
    url = (url or os.environ.get("NOMAFLOW_URL") or DEFAULT_URL).strip().rstrip("/")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not re.fullmatch(r"[\w.:-]+", parsed.host):
        raise InvalidError(f"{url[:200]!r} is no address of an engine; write for example {DEFAULT_URL}")
    token = (token or os.environ.get("NOMAFLOW_TOKEN") or (_admin_token(home) if url == DEFAULT_URL else "")).strip()
    if not (token.isascii() and (token.isprintable() or not token)):
        raise InvalidError("the token has characters that no token has; copy it again, or see NOMAFLOW_TOKEN")
    return Connection(url, token or None, surface)


def refusal(response: httpx.Response) -> NomaflowError:
    """An answer that is no success, as the error that the engine raised."""
    try:
        body = wire.ErrorBody.model_validate_json(response.content)
    except ValidationError:
        return EngineFailedError(
            f"{response.request.url.copy_with(query=None)} answered {response.status_code} with something "
            f"that no engine sends; is the address right?"
        )
    details: list[Detail] = [_detail(one) for one in body.error.details]
    return by_code().get(body.error.code, EngineFailedError)(body.error.message, details=details)


def _detail(detail: wire.ErrorDetail) -> Detail:
    given: Detail = detail.model_dump(exclude_none=True)  # type: ignore[assignment]  # the same keys
    return given


def _json(body: Any) -> bytes:
    try:
        return json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:  # NaN and infinity, or half a surrogate pair
        raise InvalidError("a value is no JSON: numbers must be finite, and text must be Unicode") from None


def _admin_token(home: Path) -> str:
    # The place is `nomaflow.home.Home.admin_token_file`; that module loads the database drivers' URLs with it.
    try:
        return (home / ".nomaflow" / "admin.token").read_text()
    except (OSError, UnicodeDecodeError):
        return ""
