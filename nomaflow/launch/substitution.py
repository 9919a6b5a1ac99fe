"""`${…}` in a step's options, put in when the step starts: one pass, fixed words, nothing computed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from nomaflow.definitions.tokens import DATES, TOKEN


class SubstitutionError(Exception):
    """A `${…}` has nothing to stand for; the message says which and why."""


def substitute(
    options: Mapping[str, Any],
    *,
    literal: frozenset[str],
    kwargs: Mapping[str, Any],
    outputs: Mapping[str, Mapping[str, Any]],
    context: Mapping[str, str],
    environment: Callable[[str], str | None],
) -> dict[str, Any]:
    """The options with every token replaced.

    A value that is one token as a whole keeps the type of what it stands for; inside other text it becomes text. What
    is put in is never looked at again, so a value cannot smuggle in another token.

    Args:
        options: the step's options.
        literal: options that stay as they are, such as SQL text.
        kwargs: `${kw:x}`.
        outputs: `${out:step.field}`, by step and field.
        context: `${ctx:run_id}` and its like; also the resolved date tokens.
        environment: `${env:X}`; None where there is no such variable.

    Raises:
        SubstitutionError: an unknown parameter, step output or environment variable.
    """

    def look_up(word: str) -> Any:
        if word in DATES:
            return context[word]
        kind, _, name = word.partition(":")
        if kind == "kw":
            return _get(kwargs, name, f"no parameter {name!r}")
        if kind == "ctx":
            return _get(context, name, f"nothing named {name!r} in the run's context")
        if kind == "out":
            step, _, field = name.partition(".")
            output = _get(outputs, step, f"no earlier step {step!r} with an output")
            return _get(output, field, f"no field {field!r} in the output of {step!r}")
        if kind != "env":
            raise SubstitutionError(f"${{{word}}} is no known token")
        return _variable(name, environment)

    def _get(values: Mapping[str, Any], name: str, missing: str) -> Any:
        if name not in values:
            raise SubstitutionError(f"there is {missing}")
        return values[name]

    def put_in(value: Any, where: str) -> Any:
        if where in literal:
            return value
        if isinstance(value, str):
            whole = TOKEN.fullmatch(value)
            return look_up(whole[1]) if whole else TOKEN.sub(lambda match: _text(look_up(match[1])), value)
        if isinstance(value, Mapping):
            return {key: put_in(item, f"{where}.{key}") for key, item in value.items()}
        if isinstance(value, list):
            return [put_in(item, where) for item in value]
        return value

    return {name: put_in(value, name) for name, value in options.items()}


def put_in_environment(text: str, environment: Callable[[str], str | None]) -> str:
    """The text with every `${env:X}` replaced; other tokens stay.

    Raises:
        SubstitutionError: there is no such variable.
    """

    def look_up(match: re.Match[str]) -> str:
        kind, _, name = match[1].partition(":")
        return _variable(name, environment) if kind == "env" else match[0]

    return TOKEN.sub(look_up, text)


def _variable(name: str, environment: Callable[[str], str | None]) -> str:
    value = environment(name)
    if value is None:
        raise SubstitutionError(f"${{env:{name}}}: the environment of the engine has no variable {name!r}")
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
