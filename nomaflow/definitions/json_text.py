"""JSON texts, read strictly: what two readers could understand in two ways is no JSON here."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, NoReturn


class JsonTextError(ValueError):
    """The text is no JSON; a sentence that begins with what the text is."""


class JsonSyntaxError(JsonTextError):
    """It is not written as JSON. `where` says what was expected, at which line and column."""

    def __init__(self, what: str, error: json.JSONDecodeError) -> None:
        self.where = f"{error.msg} at line {error.lineno}, column {error.colno}"
        super().__init__(f"{what} is not JSON: {self.where}")


def parsed(text: str, what: str, *, max_depth: int, keys_may_repeat: bool = False) -> Any:
    """The value of a JSON text: finite numbers, nested so deep at most, nothing behind it.

    Args:
        text: what is read.
        what: how errors call it, such as "the body".
        max_depth: how many lists and objects may lie in each other.
        keys_may_repeat: whether an object may have a key twice; the last one counts then.

    Raises:
        JsonTextError: it is something else.
    """

    def no_constant(name: str) -> NoReturn:
        raise JsonTextError(f"{what} holds {name}, which is no JSON number")

    def finite(number: str) -> float:
        value = float(number)
        if not math.isfinite(value):
            raise JsonTextError(f"the number {number[:32]} in {what} is too large")
        return value

    def no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(pairs)
        if len(record) < len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise JsonTextError(f"{what} has the key {twice[:64]!r} twice in one object")
        return record

    too_deep = JsonTextError(f"{what} is nested deeper than {max_depth} levels")
    of_pairs: Callable[[list[tuple[str, Any]]], dict[str, Any]] | None = None if keys_may_repeat else no_key_twice
    try:
        value = json.loads(text, object_pairs_hook=of_pairs, parse_constant=no_constant, parse_float=finite)
    except json.JSONDecodeError as error:
        raise JsonSyntaxError(what, error) from None
    except RecursionError:
        raise too_deep from None
    except JsonTextError:
        raise
    except ValueError:
        # The interpreter's own limit on the digits of a whole number.
        raise JsonTextError(f"{what} holds a number with too many digits") from None
    if _is_deeper(value, max_depth):
        raise too_deep
    return value


def _is_deeper(value: Any, max_depth: int) -> bool:
    level, depth = [value], 0
    while level := [
        inner
        for outer in level
        if isinstance(outer, dict | list)
        for inner in (outer.values() if isinstance(outer, dict) else outer)
    ]:
        depth += 1
        if depth > max_depth:
            return True
    return False
