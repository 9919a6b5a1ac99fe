"""Parameters: inferred or declared, strict in their types."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from nomaflow.definitions.param import Param, Params

PARAMS = TypeAdapter(Params)
NAN, INF = float("nan"), float("inf")


def param(kind: str, **fields: Any) -> Param:
    return Param.model_validate({"type": kind, **fields})


GOOD: list[tuple[str, Any]] = [
    ("int", 10),
    ("int", -(2**53)),
    ("int", 2**53),
    ("float", 1.5),
    ("float", 1),
    ("float", 1.7976931348623157e308),
    ("bool", False),
    ("text", ""),
    ("text", "Ünï 😀\n"),
    ("date", "2026-02-28"),
    ("date", "${yesterday}"),
    ("datetime", "2026-01-31T02:30:00Z"),
    ("datetime", "2026-01-31T02:30:00+02:00"),
    ("connector", "jde"),
    ("secret", "api-token"),
    ("json", {"a": [1, 2.5, None, True, "x"]}),
    ("json", "text"),
]

BAD: list[tuple[str, Any, str]] = [
    ("int", True, "must be a whole number, not True"),
    ("int", "10", "must be a whole number, not '10'"),
    ("int", 1.0, "must be a whole number, not 1.0"),
    ("int", [1], "must be a whole number, not [1]"),
    ("int", 2**53 + 1, "must lie within ±2⁵³"),
    ("int", -(2**53) - 1, "must lie within ±2⁵³"),
    ("int", 10**400, "must lie within ±2⁵³"),
    ("float", True, "must be a number, not True"),
    ("float", "1.5", "must be a number, not '1.5'"),
    ("float", NAN, "must be a finite number"),
    ("float", INF, "must be a finite number"),
    ("float", -INF, "must be a finite number"),
    ("float", 10**400, "must be a finite number"),
    ("bool", 1, "must be true or false, not 1"),
    ("bool", "true", "must be true or false, not 'true'"),
    ("text", 1, "must be text, not 1"),
    ("text", ["a"], "must be text, not ['a']"),
    ("text", "a\0b", "has a NUL character"),
    ("text", "\ud800", "has half a surrogate pair, which is no character"),
    ("text", "x" * 65_537, "is longer than 65536 characters"),
    ("date", "2026-02-30", "must be a date like 2026-01-31 or ${yesterday}, not '2026-02-30'"),
    ("date", "20260131", "must be a date like 2026-01-31"),
    ("date", "2026-W05-6", "must be a date like 2026-01-31"),
    ("date", "0000-01-01", "must be a date like 2026-01-31"),
    ("date", "2026-01-31T00:00:00Z", "must be a date like 2026-01-31"),
    ("date", "${env:DAY}", "must be a date like 2026-01-31"),
    ("date", 20260131, "must be text, not 20260131"),
    ("datetime", "2026-01-31T02:30:00", "needs a time zone, as in 2026-01-31T02:30:00Z"),
    ("datetime", "2026-01-31T24:00:00Z", "must be an instant like 2026-01-31T02:30:00Z"),
    ("datetime", "2026-02-30T00:00:00Z", "must be an instant like 2026-01-31T02:30:00Z"),
    ("connector", "", "must be a name of 1 to 64 characters"),
    ("connector", "x" * 65, "must be a name of 1 to 64 characters"),
    ("secret", 1, "must be text, not 1"),
    ("json", [NAN], "must be a finite number"),
    ("json", {"a": 2**53 + 1}, "must lie within ±2⁵³"),
    ("json", {"a\0": 1}, "has a NUL character"),
    ("json", [["\udfff"]], "has half a surrogate pair, which is no character"),
    ("json", ["x" * 70_000], "is longer than 65536 characters"),
    ("json", ["x" * 60_000] * 2, "is longer than 65536 characters of JSON"),
]


@pytest.mark.parametrize(("kind", "value"), GOOD)
def test_a_value_of_its_type_is_taken_as_it_is(kind: str, value: Any) -> None:
    """Nothing is coerced."""
    assert param(kind).check(value) is value
    assert param(kind, default=value).default == value


@pytest.mark.parametrize(("kind", "value", "message"), BAD)
def test_a_value_of_another_type_is_refused(kind: str, value: Any, message: str) -> None:
    """The message is the rest of a sentence that begins with the name; a saved value is held to the same."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is checked below
        param(kind).check(value)
    assert str(caught.value).startswith(message)
    with pytest.raises(ValidationError):
        param(kind, default=value)


def test_deep_json_is_refused() -> None:
    """No value is nested deeper than a request may be."""
    value: Any = 1
    for _ in range(2000):
        value = [value]
    with pytest.raises(ValueError, match="is nested deeper than 32 levels"):
        param("json").check(value)


def test_null_is_for_nullable_ones() -> None:
    """Null is a value only where the declaration says so."""
    assert param("int", nullable=True).check(None) is None
    with pytest.raises(ValueError, match="must not be null"):
        param("int").check(None)


def test_bounds_and_choices_hold() -> None:
    """For the saved value and for every other."""
    bounded = param("int", min=1, max=5)
    assert [bounded.check(value) for value in (1, 5)] == [1, 5]
    with pytest.raises(ValueError, match="must be at least 1, not 0"):
        bounded.check(0)
    with pytest.raises(ValueError, match="must be at most 5, not 6"):
        bounded.check(6)
    choice = param("choice", choices=[1, "two"])
    assert choice.check("two") == "two"
    others: list[Any] = [True, "1", 2, None, [1]]
    for other in others:
        with pytest.raises(ValueError, match=r"must (be one of 1, 'two', not|not be null)"):
            choice.check(other)
    with pytest.raises(ValidationError, match="of type choice must list its `choices`"):
        param("choice", default=1)
    with pytest.raises(ValidationError, match="has a `default` that must be at most 5, not 6"):
        param("int", max=5, default=6)


@pytest.mark.parametrize(
    ("name", "value", "kind", "default"),
    [
        ("n", True, "bool", True),
        ("n", 10, "int", 10),
        ("n", 1.5, "float", 1.5),
        ("n", "text", "text", "text"),
        ("n", date(2026, 1, 31), "date", "2026-01-31"),
        ("n", datetime(2026, 1, 31, tzinfo=UTC), "datetime", "2026-01-31T00:00:00+00:00"),
        ("n", [1, 2], "json", [1, 2]),
        ("connector", "jde", "connector", "jde"),
        ("target_connector", "jde", "connector", "jde"),
        ("connectors", "jde", "text", "jde"),
        ("target_connector", 5, "int", 5),
        ("n", {"type": "secret", "default": "name"}, "secret", "name"),
        ("target_connector", {"type": "text", "default": "x"}, "text", "x"),
    ],
)
def test_a_plain_value_has_its_own_type(name: str, value: Any, kind: str, default: Any) -> None:
    """A table with `type` is a declaration; `connector` and `*_connector` pick a connector."""
    (read,) = PARAMS.validate_python({name: value}).values()
    assert (read.type, read.default) == (kind, default)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n": {"a": 1}}, '"n" is a table without `type`; write { type = "json", default = { … } } for a mapping'),
        ({"n": {"type": "number"}}, "'int', 'float', 'bool'"),
        ({"n": {"type": "int", "defualt": 1}}, "Extra inputs are not permitted"),
        ({"n": {"type": "int", "required": 1}}, "valid boolean"),
        ({"1n": 1}, "String should match pattern"),
        ({"a.b": 1}, "String should match pattern"),
        ({"n" * 65: 1}, "String should match pattern"),
        ({f"n{number}": 1 for number in range(201)}, "at most 200 items"),
    ],
)
def test_a_bad_declaration_is_refused(params: dict[str, Any], message: str) -> None:
    """Unknown keys and types, names that are no identifiers, too many of them."""
    with pytest.raises(ValidationError) as caught:
        PARAMS.validate_python(params)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "has_value"),
    [({"default": 1}, True), ({}, True), ({"required": True}, False), ({"required": True, "nullable": True}, True),
     ({"required": True, "default": 1}, True)],
)  # fmt: skip
def test_a_required_one_without_a_value_has_to_be_asked_for(fields: dict[str, Any], has_value: bool) -> None:
    """A run can start without asking for every other."""
    assert param("int", **fields).has_value is has_value


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_a_value_is_taken_or_refused_with_a_sentence(value: Any) -> None:
    """Whatever arrives, nothing but a ValueError comes out."""
    for kind in ("int", "float", "bool", "text", "date", "datetime", "connector", "json", "secret"):
        try:
            taken = param(kind).check(value)
        except ValueError:
            continue
        assert taken is value
