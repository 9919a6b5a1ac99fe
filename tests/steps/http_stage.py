"""What a test of the `http` step puts in the place of the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import TypeAdapter

from nomaflow.definitions.steps import Step
from nomaflow.engine.run_log import Masks
from nomaflow.steps.http import run
from nomaflow.steps.http.connection import Resolve, look_up

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)


class Told:
    """A step's context, and what the step told it."""

    def __init__(self, **connectors: Mapping[str, Any]) -> None:
        self.rolled_back: bool | Literal["unknown"] = "unknown"
        self.on_stop = ""
        self.lasting: str | None = None
        self.lines: list[str] = []
        self.debug: list[str] = []
        self.masks = Masks()
        self._connectors = connectors

    def now(self) -> datetime:
        """The wall clock."""
        return NOW

    def say(self, text: str, level: str = "INFO") -> None:
        """A line."""
        (self.debug if level == "DEBUG" else self.lines).append(self.masks.over(text))

    def connector(self, name: str) -> Mapping[str, Any]:
        """One of those that the test gave."""
        return self._connectors[name]

    def hide(self, secrets: Iterable[str]) -> None:
        """Mask these values."""
        self.masks.add(secrets)


def connector(url: str, **more: Any) -> dict[str, Any]:
    """A resolved connector of kind http that may reach loopback."""
    auth = {"type": "none", "username": None, "secret": None}
    return {"name": "api", "kind": "http", "url": url, "allow_private": True, "ca_file": None, "auth": auth, **more}


def options(**fields: Any) -> dict[str, Any]:
    """A step's options, checked and completed as those of a file are."""
    step = TypeAdapter(Step).validate_python({"name": "ask", "type": "http", **fields})
    return step.options()


async def ask(
    base: str | Mapping[str, Any],
    url: str | None = None,
    told: Told | None = None,
    *,
    resolve: Resolve = look_up,
    **more: Any,
) -> dict[str, Any]:
    """The output of a step whose connector leads there."""
    api = connector(base) if isinstance(base, str) else base
    told = told or Told()
    told._connectors = {"api": api}
    given = {"url": url} if url is not None else {}
    return await run(told, options(connector="api", **given, **more), look_up=resolve)
