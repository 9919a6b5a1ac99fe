"""JSON is read strictly, and what is wrong is told in words."""

from __future__ import annotations

from typing import Any

import pytest

from nomaflow.definitions.json_text import JsonSyntaxError, JsonTextError, parsed


@pytest.mark.parametrize(
    ("text", "expected"),
    [('{"a": [1, 2.5, null, true, "ü"]}', {"a": [1, 2.5, None, True, "ü"]}), ("[[]]", [[]]), (" 7 ", 7)],
)
def test_json_is_read(text: str, expected: Any) -> None:
    """Any value, at most as deep as may be."""
    assert parsed(text, "the text", max_depth=2) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is not JSON: Expecting value at line 1, column 1"),
        ("[1] 2", "the text is not JSON: Extra data at line 1, column 5"),
        ("[NaN]", "the text holds NaN, which is no JSON number"),
        ("[-Infinity]", "the text holds -Infinity, which is no JSON number"),
        ("[1e999]", "the number 1e999 in the text is too large"),
        ("1" * 5000, "the text holds a number with too many digits"),
        ('[{"a": 1, "a": 1}]', "the text has the key 'a' twice in one object"),
        ('[[{"a": 1}]]', "the text is nested deeper than 2 levels"),
        ("[" * 100_000, "the text is nested deeper than 2 levels"),
    ],
)
def test_anything_else_is_refused(text: str, message: str) -> None:
    """One sentence says why, with what the caller calls the text."""
    with pytest.raises(JsonTextError) as caught:
        parsed(text, "the text", max_depth=2)
    assert str(caught.value) == message
    assert isinstance(caught.value, JsonSyntaxError) == ("not JSON" in message)


def test_keys_may_repeat_in_what_others_have_written() -> None:
    """The last one counts, as for most readers."""
    assert parsed('{"a": 1, "a": 2}', "the text", max_depth=2, keys_may_repeat=True) == {"a": 2}
