"""What is wrong with a definition: every problem with its file, line and field, and a suggestion for a near miss."""

from __future__ import annotations

import difflib
import heapq
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from nomaflow.definitions.record import allowed_by

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_SENTENCES = {
    "missing": "is required",
    "extra_forbidden": "is not a known key",
    "bool_type": "must be true or false, without quotes",
    "int_type": "must be a whole number, without quotes",
    "float_type": "must be a number, without quotes",
    "string_type": "must be text in quotes",
    "date_type": "must be a date like 2026-01-31, without quotes",
    "datetime_type": "must be an instant like 2026-01-31T02:30:00Z, without quotes",
    "list_type": "must be a list in square brackets",
    "tuple_type": "must be a list in square brackets",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
}

_SYNONYMS = {
    "args": ("argv", "op_kwargs"),
    "at": ("cron",),
    "auth": ("connector",),
    "bash": ("shell",),
    "cmd": ("argv",),
    "command": ("argv",),
    "copy": ("sql_copy",),
    "data": ("body",),
    "cron": ("schedules",),
    "database": ("connector", "sql"),
    "duckdb": ("sql",),
    "endpoint": ("url",),
    "expect": ("expected_statuses",),
    "every": ("cron",),
    "func": ("callable",),
    "function": ("callable",),
    "interval": ("cron",),
    "json": ("body",),
    "kwargs": ("op_kwargs",),
    "module": ("callable",),
    "params": ("query",),
    "payload": ("body",),
    "postgres": ("sql",),
    "postgresql": ("sql",),
    "sqlite": ("sql",),
    "retries": ("attempts", "retry"),
    "script": ("callable", "argv"),
    "sql": ("query", "sql_query"),
    "statement": ("query",),
    "status": ("expected_statuses",),
    "time": ("cron",),
    "timeout": ("timeout_seconds",),
    "tz": ("timezone",),
    "uri": ("url",),
    "verb": ("method",),
    "workdir": ("cwd",),
}
"""What other schedulers call it, and what it is called here, wherever that is known."""

type Location = tuple[int | str, ...]
"""Keys and list positions, as they stand in the file."""

type Found = tuple[Location, str]
"""A problem: where it is, and the rest of a sentence that begins with that field."""


class LocatedError(ValueError):
    """What is wrong in several places below the record that raises it."""

    def __init__(self, found: list[Found]) -> None:
        super().__init__("\n".join(message for _, message in found))
        self.found = found


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in one file.

    `path` is the field as in `steps.F0004.timeout_seconds` (steps by their name where they have one); `line` counts
    from 1 and is None where no line can be named, as for a missing file.
    """

    file: str
    message: str
    path: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.sentence}"

    @property
    def sentence(self) -> str:
        """The message with its field, to be read without the file's name."""
        return f"{self.path or 'the file'} {self.message}"


def near_miss(word: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?`, or nothing where no known word is near."""
    known = sorted(known)
    close = [name for name in _SYNONYMS.get(word.lower(), ()) if name in known]
    close = close or difflib.get_close_matches(word, _likely(word, known), n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""


def _likely(word: str, known: list[str]) -> list[str]:
    """The few that share most letters with the word: to compare it with 200 long names takes 50 milliseconds."""
    if len(known) <= 5:
        return known
    letters = Counter(word)
    shared = {name: (letters & Counter(name)).total() / (len(word) + len(name) or 1) for name in known}
    return heapq.nlargest(5, known, key=shared.__getitem__)


def sentence(error: ErrorDetails, root: type[BaseModel]) -> str:
    """One pydantic error as the rest of a sentence that begins with the field's name."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        *parents, key = error["loc"]
        return _SENTENCES[kind] + near_miss(str(key), known_keys(root, parents))
    if kind in _SENTENCES:
        return _SENTENCES[kind]
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error" or kind == "enum":
        choices = str(context["expected"])
        return f"must be one of {choices}" + near_miss(str(error["input"]), re.findall(r"'([^']*)'", choices))
    if kind == "string_pattern_mismatch":
        return f"must be {allowed_by(context['pattern'])}"
    if kind == "union_tag_invalid":
        tags = str(context["expected_tags"])
        tag = str(context["tag"])[:80]
        return f"must be one of {tags}, not {tag!r}" + near_miss(tag, tags.replace("'", "").split(", "))
    if kind == "union_tag_not_found":
        tags = ", ".join(repr(tag) for model in records_at(root, error["loc"]) for tag in _tags(model))
        return f"is required: one of {tags}"
    if kind in ("too_short", "string_too_short"):
        return "must not be empty"
    message = error["msg"].replace("Input should ", "must ")
    return message[0].lower() + message[1:]


def known_keys(root: type[BaseModel], location: Iterable[int | str]) -> set[str]:
    """The keys that the record at `location` below `root` takes, as they are written."""
    records = records_at(root, location)
    return {field.alias or name for model in records for name, field in model.model_fields.items()}


def records_at(root: type[BaseModel], location: Iterable[int | str]) -> list[type[BaseModel]]:
    """The records that may stand at `location` below `root`."""
    candidates = {root}
    for part in location:
        if isinstance(part, int):
            continue
        inner = [model.model_fields[part].annotation for model in candidates if part in model.model_fields]
        # A discriminated union puts the tag, which is no key of the file, into the location.
        tagged = {model for model in candidates if part in _tags(model)}
        # A part that is no field is the name of an entry, as of a connector.
        below = {model for annotation in inner for model in _models(annotation)}
        candidates = tagged or (below if inner else candidates)
    return sorted(candidates, key=lambda model: model.__name__)


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    for name in ("type", "kind"):
        if name in model.model_fields:
            return get_args(model.model_fields[name].annotation)
    return ()


def _models(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    annotation = getattr(annotation, "__value__", annotation)
    return {model for argument in get_args(annotation) for model in _models(argument)}


def dotted(location: Iterable[Any]) -> str:
    """A location as one path; list positions in brackets."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else str(part)
    return text
