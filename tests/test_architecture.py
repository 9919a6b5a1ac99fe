"""The rules of the house that no other tool checks; ruff and import-linter hold the rest (pyproject.toml)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for package in ("nomaflow", "bot", "dashboards") for path in (ROOT / package).rglob("*.py"))

MAX_LINES = 400

# Steps and workers meet the real world, and the sample draws its data from a seed of its own.
MAY_ASK_THE_WORLD = ("nomaflow/seams.py", "nomaflow/worker/", "nomaflow/steps/", "nomaflow/sample")

WORLDLY = re.compile(
    r"time\.time(_ns)?|datetime\.datetime\.(now|utcnow|today)|datetime\.date\.today|uuid\.uuid[1-8]|random\.\w+"
)


def calls_of_the_world(source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every use of the wall clock, of randomness and of random ids."""
    names: dict[str, str] = {}
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            first, *rest = ast.unparse(node).split(".")
            dotted = ".".join([names.get(first, first), *rest])
            if first in names and WORLDLY.fullmatch(dotted):
                yield node.lineno, dotted


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short(path: Path) -> None:
    """A module has one subject, so it needs no more than 400 lines."""
    assert len(path.read_text().splitlines()) <= MAX_LINES


def test_a_test_says_its_rule() -> None:
    """Each test has a docstring: one sentence with the rule that it holds."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert not silent, silent


def test_only_the_seams_ask_the_clock_and_the_dice() -> None:
    """What the engine decides depends on the time and the ids that it is given, so that tests can give them."""
    found = [
        f"{name}:{line} uses {what}"
        for path in MODULES
        if not (name := path.relative_to(ROOT).as_posix()).startswith(MAY_ASK_THE_WORLD)
        for line, what in calls_of_the_world(path.read_text())
    ]
    assert not found, found


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "from time import time_ns as now\nnow()",
        "import datetime as dt\ndt.datetime.now(dt.UTC)",
        "from datetime import datetime\nclock = datetime.now",
        "from datetime import date\ndate.today()",
        "from uuid import uuid4\nuuid4()",
        "import random\nrandom.Random(1)",
        "from random import choice\nchoice([])",
    ],
)
def test_a_use_of_the_world_is_seen(source: str) -> None:
    """The check above sees a use through any spelling of the import."""
    assert len(list(calls_of_the_world(source))) == 1


def modules_loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after the statement."""
    script = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_is_light() -> None:
    """`import nomaflow` in a notebook or a front end loads nothing of the engine."""
    assert not modules_loaded_by("import nomaflow") & {"trio", "duckdb", "fastapi", "panel", "sqlalchemy"}


def test_a_worker_is_light() -> None:
    """A worker loads what its step needs when it runs the step, and pydantic never."""
    loaded = modules_loaded_by("import nomaflow.worker.main")
    assert not loaded & {"pydantic", "trio", "duckdb", "fastapi", "httpx", "sqlalchemy", "pyarrow"}


def test_the_lock_file_names_no_address() -> None:
    """The lock file holds versions and hashes; where they come from is the machine's own setting."""
    assert not re.search(r"://|--(extra-)?index-url|--find-links|file:|/", (ROOT / "requirements.lock").read_text())
