"""What a copy tells a person."""

from __future__ import annotations

from typing import Any


class CopyError(Exception):
    """The copy cannot be done as asked, or its result is not what the source holds; the target is as it was."""

    lasting: str | None = "tables and values stay as they are"


class SourceChangedError(CopyError):
    """The source gave other rows than it had counted: somebody wrote to it meanwhile."""

    lasting = None


class Misfit(ValueError):
    """A value does not fit; the text ends the sentence that begins with where it stands."""


def misfit(value: Any, wanted: str) -> Misfit:
    """That a value, which may be a secret, is not of the kind that is wanted."""
    return Misfit(f"holds {kind_of(value)} that is no {wanted}")


def kind_of(value: Any) -> str:
    """What a value is, without the value."""
    if isinstance(value, str | bytes):
        return "text" if isinstance(value, str) else "bytes"
    return f"a value of type {type(value).__name__}"
