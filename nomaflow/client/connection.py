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
from nomaflow.client.request import V1, Call
from nomaflow.errors import (
    Detail,
    EngineFailedError,
    EngineUnreachableError,
    InvalidError,
    NomaflowError,
    NotSignedInError,
    by_code,
)

DEFAULT_URL = "http://127.0.0.1:8600"
TIMEOUT = httpx.Timeout(30, connect=5)
SIGN_IN_PATH = f"{V1}/sessions"

HERE = ("127.0.0.1", "localhost", "0.0.0.0")
"""This machine, as engine and people name it; 0.0.0.0 is what an engine that all may reach listens on."""

Surface = Literal["web", "slack", "cli", "notebook", "api"]


@dataclass(frozen=True)
class Connection:
    """One engine and one person; `is_home_token` says that nobody named the token, so it is the home's own."""

    url: str
    token: str | None = field(repr=False)
    surface: Surface
    is_home_token: bool = False

    def http_options(self) -> dict[str, Any]:
        """How httpx's clients are made for it."""
        url = httpx.URL(self.url)
        return {
            "base_url": self.url,
            "timeout": TIMEOUT,
            # Proxies that the environment names are never the way to this machine itself.
            "trust_env": url.host not in (*HERE, "::1"),
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

    def refusal(self, response: httpx.Response) -> NomaflowError:
        """An answer that is no success, as the error that the engine raised."""
        error = _error(response)
        # A wrong password is refused with the same status, and that sentence stays.
        if not isinstance(error, NotSignedInError) or response.request.url.path == SIGN_IN_PATH:
            return error
        if self.token is None:
            return NotSignedInError(
                f"there is no token for {self.url}; give one with --token or NOMAFLOW_TOKEN, "
                f"or name with --home the home whose .nomaflow/admin.token is for it"
            )
        if self.is_home_token:
            return NotSignedInError(
                f"{self.url} answers, but not to this home's token: it serves another home; "
                f"use --home, --url or --token"
            )
        return error


def connect(url: str | None, token: str | None, surface: Surface, home: Path) -> Connection:
    """The engine that is meant.

    Args:
        url: its address; else NOMAFLOW_URL, else that of the engine that serves the home, else port 8600 of this
            machine.
        token: whose; else NOMAFLOW_TOKEN, else the home's own admin token, which goes to the home's engine and to the
            default address alone.
        surface: what the caller is.
        home: the folder of the engine that runs here.

    Raises:
        InvalidError: the address or the token can't be one.
    """
    home_url = _state(home, "engine.url").rstrip("/")
    url = (url or os.environ.get("NOMAFLOW_URL") or home_url or DEFAULT_URL).strip().rstrip("/")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not re.fullmatch(r"[\w.:-]+", parsed.host):
        raise InvalidError(f"{url[:200]!r} is no address of an engine; write for example {DEFAULT_URL}")
    given = (token or os.environ.get("NOMAFLOW_TOKEN") or "").strip()
    homes_own = "" if given or not _is_home(parsed, home_url) else _state(home, "admin.token")
    token = given or homes_own
    if not (token.isascii() and (token.isprintable() or not token)):
        raise InvalidError("the token has characters that no token has; copy it again, or see NOMAFLOW_TOKEN")
    return Connection(url, token or None, surface, is_home_token=bool(homes_own))


def _is_home(url: httpx.URL, home_url: str) -> bool:
    """Whether the address is the home's engine, or the default one, however this machine is named in it."""
    try:
        known = [httpx.URL(each) for each in (home_url, DEFAULT_URL) if each]
    except httpx.InvalidURL:
        return False
    return _place(url) in map(_place, known)


def _place(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, "127.0.0.1" if url.host in HERE else url.host, url.port


def _error(response: httpx.Response) -> NomaflowError:
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


def _state(home: Path, name: str) -> str:
    """What a file of the home's state says; empty where there is none."""
    # The places are those of `nomaflow.home.Home`; that module loads the database drivers' URLs with it.
    try:
        return (home / ".nomaflow" / name).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
