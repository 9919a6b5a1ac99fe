"""One request to the API, as a value, and how its answer is read. Nothing here sends anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from nomaflow import wire
from nomaflow.definitions.problems import dotted
from nomaflow.errors import Detail, EngineFailedError, InvalidError

V1 = "/api/v1"


@dataclass(frozen=True)
class Call[T]:
    """One request, and how its answer becomes a value.

    `is_repeatable` says that sending it twice does the same as once, so a lost answer may be asked for again.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    read: Callable[[bytes], T]
    params: Mapping[str, str] = field(default_factory=dict)
    body: JsonValue = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = False


def get[T](path: str, read: Callable[[bytes], T], **params: str | int | datetime | None) -> Call[T]:
    """A GET below `/api/v1`; parameters that are None are left out."""
    given = {name: _param(value) for name, value in params.items() if value is not None}
    return Call("GET", V1 + path, read, params=given, is_repeatable=True)


def _param(value: str | int | datetime) -> str:
    return wire.iso(value.astimezone(UTC)) if isinstance(value, datetime) else str(value)


def path_part(name: str) -> str:
    """A name as one part of a path, whatever it holds; "." and ".." would be resolved away."""
    return quote(name, safe="").replace(".", "%2E") if name.strip(".") == "" else quote(name, safe="")


def sent(model: type[BaseModel], values: Mapping[str, Any]) -> JsonValue:
    """The values as the engine takes them, without those that were left out.

    Raises:
        InvalidError: a value is none that JSON or the record takes.
    """
    try:
        checked = model.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        details: list[Detail] = [{"path": dotted(one["loc"]), "message": one["msg"]} for one in error.errors()]
        raise InvalidError(f"{details[0]['path']}: {details[0]['message']}", details=details) from None
    body: JsonValue = checked.model_dump(mode="json", exclude_unset=True)
    return body


def record[T: BaseModel](model: type[T]) -> Callable[[bytes], T]:
    """How an answer of one record is read."""
    return lambda content: _read(TypeAdapter(model), content)


def items[T: BaseModel](model: type[T]) -> Callable[[bytes], list[T]]:
    """How the answer of a list that is complete is read."""
    return lambda content: _read(TypeAdapter(wire.Page[model]), content).items  # type: ignore[valid-type]


def _read[T](adapter: TypeAdapter[T], content: bytes) -> T:
    try:
        return adapter.validate_json(content)
    except ValidationError as error:
        place = dotted(error.errors()[0]["loc"])
        raise EngineFailedError(
            f"the engine sent something that this client cannot read (at {place or 'the start'}); "
            f"are both of the same version?"
        ) from None


def nothing(_content: bytes) -> None:
    """How an answer without a body is read."""
    return
