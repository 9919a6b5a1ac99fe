"""The functions of a jobs folder, read off their source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nomaflow.definitions.functions import Functions, Parameter

CODE = """
import sys
sys.exit("imported")


def load(ctx, day: date, *, limit: int = 10, target_connector: str = "x", ratio: Optional[float] = None, **_):
    \'\'\'Load a day.

    More of it.
    \'\'\'


async def later(ctx: StepContext): ...
def _own(ctx): ...
def julian(day): ...
def nothing(): ...
class Holder:
    def method(self, ctx): ...
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A jobs folder."""
    folder = tmp_path / "jobs"
    (folder / "pack" / "__pycache__").mkdir(parents=True)
    (folder / "one.py").write_text(CODE)
    (folder / "pack" / "__init__.py").write_text("def top(context): ...\n")
    (folder / "pack" / "part.py").write_text("def inner(anything: nomaflow.StepContext): ...\n")
    (folder / "pack" / "__pycache__" / "part.py").write_text("def inner(ctx): ...\n")
    (folder / "not-a-module.py").write_text("def inner(ctx): ...\n")
    return folder


def test_functions_with_a_context_are_found_and_nothing_is_run(root: Path) -> None:
    """In modules and packages; with their place, their docstring's first line, and whether they are async."""
    functions, unreadable = Functions(root).all()
    assert unreadable == []
    assert [each.callable for each in functions] == ["one:later", "one:load", "pack.part:inner", "pack:top"]
    load = functions[1]
    assert (load.file, load.line, load.is_async, load.takes_all) == ("jobs/one.py", 6, False, True)
    assert load.description == "Load a day."
    assert functions[0].is_async


def parameter(root: Path, text: str) -> Parameter:
    """The first parameter of a function with that signature."""
    (root / "two.py").write_text(f"def main(ctx, {text}): ...\n")
    functions, _ = Functions(root).all()
    return next(each for each in functions if each.callable == "two:main").parameters[0]


@pytest.mark.parametrize(
    ("text", "kind", "default", "shown"),
    [
        ("a: int", "int", None, None),
        ("a: int = 5", "int", 5, "5"),
        ("a=5", "int", 5, "5"),
        ("a=True", "bool", True, "True"),
        ("a='x'", "text", "x", "'x'"),
        ("a: 'date'", "date", None, None),
        ("a: dt.datetime", "datetime", None, None),
        ("a: date = date(2026, 1, 1)", "date", None, "date(2026, 1, 1)"),
        ("a: Sequence[str] = ('x',)", "json", ["x"], "('x',)"),
        ("a: dict[str, int] = {}", "json", {}, "{}"),
        ("a: Thing", None, None, None),
        ("a: int | str", None, None, None),
        ("connector", "connector", None, None),
        ("target_connector: str", "connector", None, None),
        ("a=float('nan')", None, None, "float('nan')"),
    ],
)
def test_a_parameter_is_what_a_form_would_ask_for(root: Path, text: str, kind: str, default: Any, shown: str) -> None:
    """By its annotation, else its default, else its name."""
    found = parameter(root, text)
    assert (found.type, found.default, found.default_text) == (kind, default, shown)
    assert found.required is (shown is None)


@pytest.mark.parametrize("text", ["a: int | None = 1", "a: Optional[int]", "a: int = None"])
def test_what_may_be_none_may_be_null(root: Path, text: str) -> None:
    """Whichever way it is written."""
    assert parameter(root, text).nullable
    assert parameter(root, text).type == "int"


def test_a_file_that_is_no_python_hides_no_other(root: Path) -> None:
    """It is named with its line, until it is mended."""
    functions = Functions(root)
    (root / "bad.py").write_text("x = 1\ndef main(:\n")
    (root / "worse.py").write_bytes(b"\xff\xfe\x00")
    found, unreadable = functions.all()
    assert len(found) == 4
    assert [(each.file, each.line) for each in unreadable] == [
        ("jobs/bad.py", 2),
        ("jobs/worse.py", unreadable[1].line),
    ]
    assert unreadable[0].message.startswith("is not valid Python: ")
    (root / "bad.py").write_text("def main(ctx): ...\n")
    (root / "worse.py").unlink()
    found, unreadable = functions.all()
    assert ("bad:main" in [each.callable for each in found], unreadable) == (True, [])
