"""`${…}` in options: one pass, fixed words, whole tokens keep their type, literal options stay."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.launch.substitution import SubstitutionError, substitute

KWARGS = {
    "n": 5,
    "flag": True,
    "none": None,
    "rows": [1, "a"],
    "text": "plain",
    "sly": "${env:SECRET}",
    "slyer": "${kw:n}",
}
ENVIRONMENT = {"SECRET": "s3cret", "EMPTY": ""}


def put_in(option: Any, literal: frozenset[str] = frozenset()) -> Any:
    return substitute(
        {"option": option},
        literal=literal,
        kwargs=KWARGS,
        outputs={"copy": {"rows_affected": 7, "last": "${env:SECRET}"}},
        context={"run_id": "run_1", "today": "2026-03-01"},
        environment=ENVIRONMENT.get,
    )["option"]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("plain", "plain"),
        ("${kw:n}", 5),
        ("${kw:flag}", True),
        ("${kw:none}", None),
        ("${kw:rows}", [1, "a"]),
        ("${out:copy.rows_affected}", 7),
        ("${env:SECRET}", "s3cret"),
        ("${env:EMPTY}", ""),
        ("${ctx:run_id}", "run_1"),
        ("${today}", "2026-03-01"),
        ("n = ${kw:n}, ${kw:flag}, ${kw:none}", "n = 5, true, null"),
        ("${kw:rows}!", '[1, "a"]!'),
        ("${kw:text}${kw:text}", "plainplain"),
        ("$n $(n) ${", "$n $(n) ${"),
        (5, 5),
        ([{"a": "${kw:n}"}, ["${kw:text}"]], [{"a": 5}, ["plain"]]),
    ],
)
def test_tokens_are_replaced(option: Any, expected: Any) -> None:
    """A token alone keeps the type of its value; within text it becomes text; lists and tables are gone through."""
    assert put_in(option) == expected


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("${kw:sly}", "${env:SECRET}"),
        ("a ${kw:sly} b", "a ${env:SECRET} b"),
        ("${kw:slyer}", "${kw:n}"),
        ("${out:copy.last}", "${env:SECRET}"),
        ("$${kw:slyer}", "$${kw:n}"),
        ("${kw:slyer}}", "${kw:n}}"),
    ],
)
def test_what_is_put_in_is_not_looked_at_again(option: str, expected: str) -> None:
    """A value that looks like a token stays a value, so nobody reads the environment with a parameter."""
    assert put_in(option) == expected


def test_a_literal_option_stays_as_it_is() -> None:
    """SQL text is never touched: its values are bound parameters."""
    text = "SELECT '${kw:n}', ${nonsense}"
    assert put_in(text, literal=frozenset({"option"})) == text


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("${kw:gone}", "there is no parameter 'gone'"),
        ("${out:gone.x}", "there is no earlier step 'gone' with an output"),
        ("${out:copy.gone}", "there is no field 'gone' in the output of 'copy'"),
        ("${ctx:gone}", "there is nothing named 'gone' in the run's context"),
        ("${env:GONE}", "${env:GONE}: the environment of the engine has no variable 'GONE'"),
        ("${gone}", "${gone} is no known token"),
        ("${}", "${} is no known token"),
    ],
)
def test_a_token_that_stands_for_nothing_is_an_error(option: str, message: str) -> None:
    """The message says which one, and what there is not."""
    with pytest.raises(SubstitutionError) as caught:
        put_in(option)
    assert str(caught.value) == message


@given(st.recursive(st.none() | st.integers() | st.text(st.characters(exclude_characters="$")), st.lists))
def test_options_without_tokens_are_left_alone(option: Any) -> None:
    """Without a `$` nothing changes."""
    assert put_in(option) == option


@given(st.text())
def test_any_value_arrives_as_it_is(value: str) -> None:
    """Whatever text a parameter holds, a whole token gives exactly that text."""
    options = substitute(
        {"a": "${kw:x}", "b": "<${kw:x}>"}, literal=frozenset(), kwargs={"x": value}, outputs={}, context={},
        environment=lambda name: None,
    )  # fmt: skip
    assert options == {"a": value, "b": f"<{value}>"}
    assert json.loads(json.dumps(options)) == options
