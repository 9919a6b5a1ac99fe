"""The step types as an editor shows them."""

from __future__ import annotations

import pytest

from nomaflow.definitions.steps import STEP_TYPES
from nomaflow.definitions.steps.described import TITLES, connectors, schema, summary


@pytest.mark.parametrize("name", STEP_TYPES)
def test_every_option_of_every_type_is_described(name: str) -> None:
    """With a title and a sentence; the type with what it does."""
    made = schema(name, STEP_TYPES[name])
    assert made["title"] == TITLES[name]
    assert summary(STEP_TYPES[name]).endswith(".")
    for option, described in made["properties"].items():
        assert described["title"], option
        assert described.get("description", "").endswith("."), f"{option} of {name} has no sentence in described.py"


def test_options_say_what_else_they_are() -> None:
    """The kind of a connector, and that SQL text is taken as it stands."""
    made = schema("sql_query", STEP_TYPES["sql_query"])["properties"]
    assert made["connector"]["connector"] == "sql"
    assert made["query"]["literal"] is True
    assert "literal" not in made["params"]
    assert list(connectors(STEP_TYPES["sql_copy"])) == [("source.connector", "sql"), ("target.connector", "sql")]
