"""Where the things of a TOML text stand, however they are written."""

from __future__ import annotations

import tomllib

import pytest

from nomaflow.definitions.problems import Location
from nomaflow.definitions.toml_places import lines, places

TEXT = """\
# [params] = "no"
description = '''
tags = [ "no" ]
'''  # = [[steps]]
"log_level" = "IN=FO"
tags = [ # one, two
  "a,b",

  # three
  "c", ["d",
  "e"],
]
retry.attempts = 2
'retry'  . "wait_s\\u0065conds" = 3

[params.day] # ]
type = "date"
[ params . "a.b" ]
x = { y = 1, z = { "q#" = [1, {w = "}"}] } }
[[steps]]
name = "A"
  [steps.op_kwargs]
  n = 1
  [[steps.inner]]
  m = 1
  [[steps.inner]]
  m = 2
[[steps]]
name = "B"
[[steps.inner]]
m = 3"""

PLACES: dict[Location, int | None] = {
    ("description",): 2,
    ("log_level",): 5,
    ("tags",): 6,
    ("tags", 0): 7,
    ("tags", 1): 10,
    ("tags", 2): 10,
    ("tags", 2, 1): 11,
    ("tags", 3): 6,
    ("retry",): 13,
    ("retry", "attempts"): 13,
    ("retry", "wait_seconds"): 14,
    ("retry", "missing"): 13,
    ("params",): 16,
    ("params", "day"): 16,
    ("params", "day", "type"): 17,
    ("params", "a.b"): 18,
    ("params", "a.b", "x", "z", "q#", 1, "w"): 19,
    ("steps",): 20,
    ("steps", 0): 20,
    ("steps", 0, "name"): 21,
    ("steps", 0, "op_kwargs", "n"): 23,
    ("steps", 0, "inner", 1, "m"): 27,
    ("steps", 1): 28,
    ("steps", 1, "argv"): 28,
    ("steps", 1, "inner", 0, "m"): 31,
    ("missing",): None,
    (): None,
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("location", PLACES)
def test_a_location_has_the_line_that_a_person_would_point_at(location: Location, end: str) -> None:
    """Its own, or that of the nearest thing around it; none where nothing of it is written."""
    text = TEXT.replace("\n", end)
    tomllib.loads(text)
    assert lines(text, [location]) == [PLACES[location]]


def test_every_value_has_a_place_and_every_place_a_value() -> None:
    """What is found is what tomllib reads: nothing is missing, and nothing within strings or comments is found."""

    def all_of(value: object, location: Location) -> set[Location]:
        found = {location} if location else set()
        if isinstance(value, dict):
            return found.union(*(all_of(item, (*location, key)) for key, item in value.items()))
        if isinstance(value, list):
            return found.union(*(all_of(item, (*location, number)) for number, item in enumerate(value)))
        return found

    found = {place.location[:length] for place in places(TEXT) for length in range(1, len(place.location) + 1)}
    assert found == all_of(tomllib.loads(TEXT), ())


@pytest.mark.parametrize("text", ["", "]", "}", ",", "=", "[", "[[", "x = [", "x = {", "[]", "x = ]", '"', "= 1\n[a"])
def test_a_text_that_is_no_toml_is_no_crash(text: str) -> None:
    """Nobody asks for the places of one; a place that is wrong is then all that comes of it."""
    lines(text, [("x",)])
