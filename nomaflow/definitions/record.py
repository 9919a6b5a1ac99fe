"""What every definition is made of: a frozen record that takes known keys of the right type and nothing else."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

MAX_INT = 2**53
"""The largest whole number that every JSON reader keeps exact."""

JOB_ID_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
MAX_TEXT = 65_536
MAX_DEPTH = 32
"""How deep values are nested at most; the API takes no deeper body either."""

LogLevel = Literal["INFO", "DEBUG"]

_ALLOWED: dict[str, str] = {}


def spelled(pattern: str, allowed: str, *, max_length: int | None = None) -> StringConstraints:
    """A pattern for a text, and the words that tell a person what it allows."""
    _ALLOWED[pattern] = allowed
    return StringConstraints(pattern=pattern, max_length=max_length)


def allowed_by(pattern: str) -> str:
    """What `spelled` was given for the pattern; the pattern itself where there are no words for it."""
    return _ALLOWED.get(pattern, f"text of the form {pattern}")


JobId = Annotated[str, spelled(JOB_ID_PATTERN, "1 to 64 of a-z, 0-9, `-` and `_`, with a letter or digit first")]
Name = Annotated[
    str,
    spelled(
        r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
        "1 to 64 of A-Z, a-z, 0-9, `_`, `-` and `.`, with a letter or digit first",
    ),
]
Tag = Annotated[
    str, spelled(r"^[\w.:/-]{1,64}$", "1 to 64 letters, digits, `_`, `.`, `:`, `/` and `-`, without spaces")
]
ParamName = Annotated[
    str, spelled(r"^[A-Za-z_][A-Za-z0-9_]{0,63}$", "1 to 64 of A-Z, a-z, 0-9 and `_`, with no digit first")
]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
NonEmpty = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


def _portable(value: float) -> float:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    if isinstance(value, int) and abs(value) > MAX_INT:
        raise ValueError("must lie within ±2⁵³, the largest whole number that JSON keeps exact")
    return value


WholeNumber = Annotated[int, AfterValidator(_portable)]
Number = Annotated[int | float, AfterValidator(_portable)]
Seconds = Annotated[int | float, AfterValidator(_portable), Field(gt=0, le=31 * 86_400)]


class Record(BaseModel):
    """A definition as a person writes it: strict types, no unknown keys, never changed after it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
