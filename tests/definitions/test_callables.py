"""Functions that python steps name and that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from nomaflow.definitions.callables import callable_problems
from nomaflow.definitions.catalogue import Catalogue

CODE = """
import sys
from os import path as found_elsewhere
sys.exit("imported")
if True:
    def inside(ctx): ...
other = inside
class Holder:
    def method(self, ctx): ...
class Derived(Holder): ...
def say_hello(ctx):
    local = 1
"""


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """A jobs folder with some Python."""
    folder = tmp_path / "jobs"
    (folder / "pack").mkdir(parents=True)
    (folder / "hello.py").write_text(CODE)
    (folder / "broken.py").write_text("x = 1\ndef main(:\n")
    (folder / "open.py").write_text("from hello import *\n")
    (folder / "pack" / "__init__.py").touch()
    (folder / "pack" / "part.py").write_text("async def main(ctx): ...\n")
    return folder


def problems(jobs: Path, target: str) -> list[str]:
    """What a check says of a step with that callable."""
    (jobs / "a.toml").write_text(f'[[steps]]\nname = "A"\ntype = "python"\ncallable = "{target}"\n')
    entry = Catalogue(jobs).entry("a")
    assert entry.job
    return [str(problem) for problem in callable_problems(entry, jobs)]


@pytest.mark.parametrize(
    "target",
    [
        *("hello:say_hello", "hello:inside", "hello:other", "hello:found_elsewhere", "hello:Holder.method"),
        *("hello:Derived.anything", "open:anything", "pack.part:main", "json:dumps", "json.nowhere:dumps"),
    ],
)
def test_what_is_there_or_may_be_is_left_alone(jobs: Path, target: str) -> None:
    """Defined anywhere in the module, brought by a base class or a star, or installed; nothing is imported."""
    assert problems(jobs, target) == []


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("hallo:main", "names a module 'hallo' that is neither in jobs/ nor installed; did you mean \"hello\"?"),
        ("pack.prt:main", "names a module 'pack.prt' that is neither in jobs/ nor installed; did you mean"),
        ("hello:say_helo", "names 'say_helo', which jobs/hello.py does not have; did you mean \"say_hello\"?"),
        ("hello:local", "names 'local', which jobs/hello.py does not have"),
        ("hello:Holder.methd", 'names Holder.methd, which jobs/hello.py does not have; did you mean "method"?'),
        ("broken:main", "names jobs/broken.py, which is not valid Python: line 2: "),
    ],
)
def test_what_is_not_there_is_told_with_its_line(jobs: Path, target: str, message: str) -> None:
    """And with what is near it."""
    [problem] = problems(jobs, target)
    assert problem.startswith(f"jobs/a.toml:4: steps.A.callable {message}")
