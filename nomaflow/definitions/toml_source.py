"""TOML text in: limits before a parser sees it, then values, then a record; file, line and field of each problem.

Values come from tomllib, which is nine times as fast as tomlkit; a thousand jobs would else take two seconds of every
start. Lines come from `toml_places`. Whatever a text holds, it is answered within a fifth of a second: the engine
reads them on its loop.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from nomaflow.definitions import toml_places, toml_syntax
from nomaflow.definitions.problems import Found, LocatedError, Location, Problem, dotted, sentence
from nomaflow.definitions.record import MAX_INT
from nomaflow.errors import Detail, InvalidError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

BOM = "\ufeff"
MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
"""Brackets within brackets; tomllib runs out of stack at some hundreds."""
MAX_DOTS = 16
"""In one key; a key of 20,000 parts takes tomllib six seconds."""
MAX_VALUES = 5_000
"""Keys, tables and list items together; a job of 200 steps that copy tables has some 2,500."""
MAX_PROBLEMS = 100
"""As many as anybody reads; a file of 50,000 unknown keys has no use for more."""

TOO_MANY_VALUES = (
    f"has more than {MAX_VALUES:,} keys, tables and list items; long lists belong into a file or table of their own"
)

_TYPES = {
    "bool_type": "true or false",
    "int_type": "a number",
    "float_type": "a number",
    "string_type": "text in quotes",
}


def decode(raw: bytes, file: str) -> tuple[str, tuple[Problem, ...]]:
    """Bytes as text, with a byte order mark left where it is; what is no UTF-8 is replaced and told."""
    if len(raw) > MAX_BYTES:
        return "", (Problem(file, f"is larger than {MAX_BYTES // 1024} KiB"),)
    try:
        return raw.decode(), ()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8: byte 0x{raw[error.start]:02x}; save the file as UTF-8"
        return raw.decode(errors="replace"), (Problem(file, message, line=line),)


def parse(text: str, file: str) -> tuple[dict[str, Any] | None, tuple[Problem, ...]]:
    """The values of a text, or what keeps it from being TOML."""
    text = text.removeprefix(BOM)
    if problem := _over_limit(text, file):
        return None, (problem,)
    try:
        return tomllib.loads(text), ()
    except ValueError as error:  # a TOMLDecodeError, or a number with more digits than Python reads
        message, line = toml_syntax.explain(text, error)
        return None, (Problem(file, f"is not valid TOML: {message}", line=line),)


def validate[Model: BaseModel](
    model: type[Model], data: Mapping[str, Any], text: str, file: str, more: Iterable[Found] = ()
) -> tuple[Model | None, tuple[Problem, ...]]:
    """The values as a record, or every problem with its line.

    `more` is told too where there is no record, at places that have no problem yet.
    """
    try:
        record = model.model_validate(data)
    except ValidationError as error:
        record, found = None, list(islice(_found(error, model, data), MAX_PROBLEMS))
    else:
        found = []
    known = {location for location, _ in found}
    found += [(location, message) for location, message in _unportable(data, ()) if location not in known]
    if found:
        known = {location for location, _ in found}
        found += [(location, message) for location, message in more if location not in known]
    return (None if found else record), problems_at(found, data, text, file)


def problems_at(found: Iterable[Found], data: Mapping[str, Any], text: str, file: str) -> tuple[Problem, ...]:
    """Problems at locations, with steps and schedules by their name, in the order of their lines."""
    found = [(_as_written(location, data), message) for location, message in islice(found, MAX_PROBLEMS)]
    lines = toml_places.lines(text.removeprefix(BOM), [location for location, _ in found]) if found else []
    problems = (
        Problem(file, message, path=_readable(location, data), line=line)
        for (location, message), line in zip(found, lines, strict=True)
    )
    return tuple(sorted(problems, key=lambda problem: problem.line or 0))


def invalid_error(problems: Sequence[Problem]) -> InvalidError:
    """All problems as one error: the first in the sentence, each of them in the details, to be read alone."""
    details: list[Detail] = []
    for problem in problems:
        detail: Detail = {"message": problem.sentence, "path": problem.path}
        if problem.line is not None:
            detail["line"] = problem.line
        details.append(detail)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InvalidError(f"{problems[0]}{more}", details=details)


def _over_limit(text: str, file: str) -> Problem | None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        return Problem(file, "has half a surrogate pair, which is no character", line=line)
    if size > MAX_BYTES:
        return Problem(file, f"is larger than {MAX_BYTES // 1024} KiB")
    dots = values = 0
    in_value = False
    brackets: list[str] = []
    for token in toml_syntax.tokens(text):
        match kind := text[token.start()]:
            case "[" | "{":
                brackets.append(kind)
                dots, values = 0, values + (in_value and kind == "[")
            case "]" | "}":
                if brackets:
                    brackets.pop()
                if not in_value and not brackets:  # a header; each dot of a key may make a table
                    values += 1 + dots
            case ".":
                dots += 1
            case "=":
                dots, values, in_value = 0, values + 1 + dots, True
            case ",":
                dots, values = 0, values + (brackets[-1:] == ["["])
            case "\n":
                dots, in_value = 0, in_value and bool(brackets)
        depth = len(brackets)
        if depth > MAX_DEPTH or dots > MAX_DOTS or values > MAX_VALUES:
            if depth > MAX_DEPTH:
                message = f"has more than {MAX_DEPTH} brackets within each other"
            elif dots > MAX_DOTS:
                message = f"has a key of more than {MAX_DOTS} parts"
            else:
                message = TOO_MANY_VALUES
            return Problem(file, message, line=text.count("\n", 0, token.start()) + 1)
    return None


def _found(error: ValidationError, model: type[BaseModel], data: Mapping[str, Any]) -> Iterator[Found]:
    """Each error at the place where it stands in the file; the branches of one union told as one."""
    branches: dict[Location, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        location, in_union = _place(details, data)
        cause = details.get("ctx", {}).get("error")
        if isinstance(cause, LocatedError):
            yield from (((*location, *below), message) for below, message in cause.found)
        elif details["type"].startswith("union_tag_"):
            key = str(details.get("ctx", {})["discriminator"]).strip("'")
            yield (*location, key), sentence(details, model)
        elif in_union:
            branches.setdefault(location, []).append(details)
        else:
            yield location, sentence(details, model)
    for location, alternatives in branches.items():
        other = [details for details in alternatives if details["type"] not in _TYPES]
        if other or len(alternatives) == 1:
            yield location, sentence((other or alternatives)[0], model)
        else:
            yield location, "must be " + " or ".join(dict.fromkeys(_TYPES[one["type"]] for one in alternatives))


def _place(error: ErrorDetails, data: Mapping[str, Any]) -> tuple[Location, bool]:
    """The location in the file, and whether parts behind it name a branch of a union, which is no key of the file."""
    location = _as_written(error["loc"], data)
    place: list[int | str] = []
    here: Any = data
    in_union = False
    for number, part in enumerate(location, start=1):
        if _has(here, part):
            here = here[part]
        elif not (number == len(location) and error["type"] == "missing"):
            is_tag = isinstance(here, Mapping) and part in (here.get("type"), here.get("kind"))
            in_union = not is_tag and part != "[key]"
            continue
        in_union = False
        place.append(part)
    return tuple(place), in_union


def _as_written(location: Location, data: Mapping[str, Any]) -> Location:
    """A job with one `[schedule]` is read as one with a list of schedules."""
    if location[:2] == ("schedules", 0) and "schedules" not in data:
        return ("schedule", *location[2:])
    return location


def _has(value: Any, part: int | str) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _unportable(value: Any, location: Location) -> Iterator[Found]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _unportable(item, (*location, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unportable(item, (*location, number))
    elif isinstance(value, float) and not math.isfinite(value):
        yield location, "must be a finite number"
    elif isinstance(value, int) and abs(value) > MAX_INT:
        yield location, "must lie within ±2⁵³, the largest whole number that JSON keeps exact"


def _readable(location: Location, data: Mapping[str, Any]) -> str:
    parts: list[int | str] = []
    here: Any = data
    for part in location:
        here = here[part] if _has(here, part) else None
        name = here.get("name") if isinstance(part, int) and isinstance(here, Mapping) else None
        parts.append(name if isinstance(name, str) and name else part)
    return dotted(parts)


def dates_as_text(value: Any) -> Any:
    """Dates and instants in ISO 8601, as JSON and the records carry them."""
    if isinstance(value, Mapping):
        return {key: dates_as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [dates_as_text(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value
