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


@pytest.mark.parametrize(
    ("signature", "more", "message"),
    [
        (
            "ctx, *, full_refresh=False",
            "[steps.op_kwargs]\nfull_refesh = true\n",
            "is nothing that kwargs:main takes; did",
        ),
        ("ctx, day, limit=1", "", "needs a value for 'day'; declare it under [params]"),
        ("ctx, *, day", "[steps.op_kwargs]\nlimit = 1\n", "is nothing that kwargs:main takes"),
    ],
)
def test_what_a_function_does_not_take_is_told(jobs: Path, signature: str, more: str, message: str) -> None:
    """As its worker would say it when the step runs."""
    (jobs / "kwargs.py").write_text(f"def main({signature}): ...\n")
    (jobs / "a.toml").write_text(f'[[steps]]\nname = "A"\ntype = "python"\ncallable = "kwargs:main"\n{more}')
    entry = Catalogue(jobs).entry("a")
    assert entry.job
    assert any(message in str(problem) for problem in callable_problems(entry, jobs))


@pytest.mark.parametrize(
    "code",
    [
        "def main(ctx): ...",
        "def main(ctx, **more): ...",
        "def main(ctx, day, limit=2): ...",
        "@decorated\ndef main(ctx, other): ...",
        "def main(ctx, other): ...\nmain = wrapped(main)\ndef main(ctx, day, limit): ...",
    ],
)
def test_what_a_function_may_take_is_left_alone(jobs: Path, code: str) -> None:
    """One with nothing but a context reads what it wants; what a decorator gives is not known."""
    (jobs / "kwargs.py").write_text(f"{code}\n")
    more = "[params]\napps_id = 1\n"
    values = "[steps.op_kwargs]\nday = 1\nlimit = 1\n"
    (jobs / "a.toml").write_text(f'{more}[[steps]]\nname = "A"\ntype = "python"\ncallable = "kwargs:main"\n{values}')
    entry = Catalogue(jobs).entry("a")
    assert entry.job
    assert callable_problems(entry, jobs) == ()
