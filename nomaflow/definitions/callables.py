"""Whether the functions that python steps name are there, as far as their source tells, and take what they are given.

Nothing is imported: a module may do anything when it is loaded, and the worker loads it when the step runs. Python
files change without a reload of the jobs, so a function that is missing makes no job unreadable; it is told where a
person asks for a check.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nomaflow.definitions import toml_source
from nomaflow.definitions.functions import Function, described, parsed
from nomaflow.definitions.job import Job
from nomaflow.definitions.problems import Found, Location, Problem, near_miss
from nomaflow.definitions.steps.python import Python

if TYPE_CHECKING:
    from nomaflow.definitions.catalogue import Entry


def callable_problems(entry: Entry, import_root: Path) -> tuple[Problem, ...]:
    """Each python step of a readable job whose function is not there or takes other values, with the line of it.

    A module that is installed, instead of lying below the import root, is taken to be as it should.
    """
    if entry.job is None:
        return ()
    found = list(unfit_callables(entry.job, import_root))
    file = f"{entry.path.parent.name}/{entry.path.name}"
    data, _ = toml_source.parse(entry.text, file)
    return toml_source.problems_at(found, data or {}, entry.text, file)


def unfit_callables(job: Job, import_root: Path) -> Iterator[Found]:
    """The same as places in the job, each with the rest of a sentence that begins with its field."""
    trees: dict[Path, ast.Module] = {}
    for number, step in enumerate(job.steps):
        if not isinstance(step, Python):
            continue
        where = ("steps", number)
        if message := _missing(step.callable, import_root, trees):
            yield (*where, "callable"), message
        elif function := _function(step.callable, import_root, trees):
            yield from _unfit_values(job, step, function, where)


def _function(target: str, import_root: Path, trees: Mapping[Path, ast.Module]) -> Function | None:
    """The function, where it stands in its module as one."""
    module, _, name = target.partition(":")
    source = _source(import_root, module)
    tree = trees.get(source) if source is not None else None
    for node in reversed(tree.body) if tree is not None else ():
        # What a decorator gives may take anything.
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name and not node.decorator_list:
            return described(node, module, "")
    return None


def _unfit_values(job: Job, step: Python, function: Function, where: Location) -> Iterator[Found]:
    """What the step gives that the function does not take, and what it does not give: a worker says the same."""
    if function.parameters and not function.takes_all:
        for name in step.op_kwargs:
            if name not in function.names:
                hint = near_miss(name, function.names)
                yield (*where, "op_kwargs", name), f"is nothing that {step.callable} takes{hint}"
    given = {**job.params, **step.op_kwargs}
    for parameter in function.parameters:
        if parameter.required and parameter.name not in given:
            mend = "declare it under [params] or [steps.op_kwargs], or give it a default"
            yield (*where, "callable"), f"needs a value for {parameter.name!r}; {mend}"


def _missing(target: str, import_root: Path, trees: dict[Path, ast.Module]) -> str | None:
    module, _, function = target.partition(":")
    source = _source(import_root, module)
    if source is None:
        return None if _is_installed(module, import_root) else _no_module(import_root, module)
    place = f"{import_root.name}/{source.relative_to(import_root).as_posix()}"
    try:
        tree = trees.get(source) or trees.setdefault(source, parsed(source))
    except SyntaxError as error:
        return f"names {place}, which is not valid Python: line {error.lineno}: {error.msg}"
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        return f"names {place}, which cannot be read as Python: {error}"
    name, _, attribute = function.partition(".")
    names = _names(tree.body)
    if names is None or (name in names and not attribute):
        return None
    if name not in names:
        return f"names {name!r}, which {place} does not have{near_miss(name, names)}"
    return _no_method(tree, place, name, attribute)


def _no_method(tree: ast.Module, place: str, name: str, attribute: str) -> str | None:
    """What the class lacks; nothing where bases or decorators may bring it."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name and not node.bases and not node.decorator_list:
            names = _names(node.body)
            first = attribute.partition(".")[0]
            if names is not None and first not in names:
                return f"names {name}.{first}, which {place} does not have{near_miss(first, names)}"
    return None


def _source(import_root: Path, module: str) -> Path | None:
    """The file of a module below the import root."""
    path = import_root.joinpath(*module.split("."))
    for candidate in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if candidate.is_file():
            return candidate
    return None


def _is_installed(module: str, import_root: Path) -> bool:
    """Whether the module may come from elsewhere. Only its first part is looked for: that loads nothing."""
    top = module.partition(".")[0]
    if any((import_root / name).exists() for name in (top, f"{top}.py")):
        return False
    try:
        return importlib.util.find_spec(top) is not None
    except ValueError:  # a module that was made by hand and has no spec
        return True


def _no_module(import_root: Path, module: str) -> str:
    hint = near_miss(module, _modules(import_root))
    return f"names a module {module!r} that is neither in {import_root.name}/ nor installed{hint}"


def _modules(import_root: Path) -> Iterator[str]:
    for pattern in ("*.py", "*/*.py"):
        for path in import_root.glob(pattern):
            parts = path.relative_to(import_root).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__")


def _names(body: list[ast.stmt]) -> set[str] | None:
    """What the statements define; None where that cannot be told, as after `from x import *`."""
    names: set[str] = set()
    waiting: list[ast.AST] = [*body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        waiting += ast.iter_child_nodes(node)
    return None if names & {"*", "__getattr__"} else names
