"""Parameters: a plain value whose type is inferred, or a table with `type` that declares one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from nomaflow.definitions import tokens
from nomaflow.definitions.record import MAX_DEPTH, MAX_INT, MAX_TEXT, Number, ParamName, Record, Text

ParamType = Literal["int", "float", "bool", "text", "date", "datetime", "choice", "connector", "json", "secret"]


class Param(Record):
    """One parameter: how it is asked for and its saved value.

    `default` is JSON: dates and instants are ISO 8601 text, or one date token such as `${yesterday}`. None means that
    there is no saved value, or that it is null where the parameter is `nullable`.
    """

    type: ParamType
    default: JsonValue = None
    label: Text = ""
    help: Text = ""
    description: Text = ""
    choices: Annotated[list[JsonValue], Field(max_length=1000)] | None = None
    min: Number | None = None
    max: Number | None = None
    required: bool = False
    nullable: bool = False
    multiline: bool = False
    locked: bool = False

    @model_validator(mode="before")
    @classmethod
    def _dates_as_text(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and isinstance(data.get("default"), date):
            return {**data, "default": data["default"].isoformat()}
        return data

    @model_validator(mode="after")
    def _fits(self) -> Param:
        if self.type == "choice" and not self.choices:
            raise ValueError("of type choice must list its `choices`")
        if self.default is not None:
            try:
                self.check(self.default)
            except ValueError as error:
                raise ValueError(f"has a `default` that {error}") from None
        return self

    @property
    def has_value(self) -> bool:
        """Whether a run can start without asking for this one."""
        return self.default is not None or self.nullable or not self.required

    @property
    def is_locked(self) -> bool:
        """Whether a launch may not change it. A secret's name is fixed: another name would show another secret."""
        return self.locked or self.type == "secret"

    def check(self, value: JsonValue) -> JsonValue:
        """The value as it is stored in a plan.

        Nothing is coerced: `"10"` is no int and `true` is no number.

        Raises:
            ValueError: the rest of a sentence that begins with the parameter's name.
        """
        if value is None:
            if not self.nullable:
                raise ValueError("must not be null")
            return None
        value = _CHECKS[self.type](value)
        if self.choices is not None and not any(same(value, choice) for choice in self.choices):
            raise ValueError(f"must be one of {', '.join(map(repr, self.choices))}, not {value!r}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.min is not None and value < self.min:
                raise ValueError(f"must be at least {self.min}, not {value}")
            if self.max is not None and value > self.max:
                raise ValueError(f"must be at most {self.max}, not {value}")
        return value


def _bool(value: JsonValue) -> JsonValue:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {value!r}")
    return value


def _int(value: JsonValue) -> JsonValue:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be a whole number, not {value!r}")
    if abs(value) > MAX_INT:
        raise ValueError("must lie within ±2⁵³")
    return value


def _float(value: JsonValue) -> JsonValue:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, not {value!r}")
    if not abs(value) <= 1.7976931348623157e308:
        raise ValueError("must be a finite number")
    return value


def _text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {value!r}")
    if len(value) > MAX_TEXT:
        raise ValueError(f"is longer than {MAX_TEXT} characters")
    if "\0" in value:
        raise ValueError("has a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("has half a surrogate pair, which is no character")
    return value


def _date(value: JsonValue) -> str:
    text = _text(value)
    try:
        # fromisoformat also reads 20260131 and 2026-W05-6; one spelling keeps equal days equal.
        valid = tokens.is_date(text) or date.fromisoformat(text).isoformat() == text
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"must be a date like 2026-01-31 or ${{yesterday}}, not {text!r}")
    return text


def _datetime(value: JsonValue) -> str:
    text = _text(value)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"must be an instant like 2026-01-31T02:30:00Z, not {text!r}") from None
    if instant.tzinfo is None:
        raise ValueError(f"needs a time zone, as in 2026-01-31T02:30:00Z, not {text!r}")
    return text


def _name(value: JsonValue) -> str:
    text = _text(value)
    if not text or len(text) > 64:
        raise ValueError(f"must be a name of 1 to 64 characters, not {text!r}")
    return text


def _json(value: JsonValue, depth: int = 1) -> JsonValue:
    if depth > MAX_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        _text(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        (_int if isinstance(value, int) else _float)(value)
    elif isinstance(value, list | dict):
        for item in [*value, *value.values()] if isinstance(value, dict) else value:
            _json(item, depth + 1)
    if depth == 1 and len(json.dumps(value)) > MAX_TEXT:
        raise ValueError(f"is longer than {MAX_TEXT} characters of JSON")
    return value


def same(one: JsonValue, other: JsonValue) -> bool:
    """Whether two values are equal as JSON: 1 and true differ, also inside lists and tables; 1 and 1.0 do not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return one == other


_CHECKS = {
    "bool": _bool,
    "int": _int,
    "float": _float,
    "text": _text,
    "date": _date,
    "datetime": _datetime,
    "choice": lambda value: value,
    "connector": _name,
    "json": _json,
    "secret": _name,
}


def is_connector_name(param: str) -> bool:
    """Whether a parameter of this name picks a connector. Seed: "Connector pickers"."""
    return param == "connector" or param.endswith("_connector")


def infer(name: str, value: Any) -> Any:
    """A plain value as a declaration; a table is one already."""
    if isinstance(value, Mapping):
        if "type" not in value:
            raise ValueError(
                f'"{name}" is a table without `type`; write {{ type = "json", default = {{ … }} }} for a mapping'
            )
        return value
    if isinstance(value, bool):
        return {"type": "bool", "default": value}
    if isinstance(value, int):
        return {"type": "int", "default": value}
    if isinstance(value, float):
        return {"type": "float", "default": value}
    if isinstance(value, datetime):
        return {"type": "datetime", "default": value}
    if isinstance(value, date):
        return {"type": "date", "default": value}
    if isinstance(value, list):
        return {"type": "json", "default": value}
    return {"type": "connector" if is_connector_name(name) else "text", "default": value}


def _infer_all(params: Any) -> Any:
    if not isinstance(params, Mapping):
        return params
    return {name: value if isinstance(value, Param) else infer(name, value) for name, value in params.items()}


Params = Annotated[dict[ParamName, Param], BeforeValidator(_infer_all), Field(max_length=200)]
