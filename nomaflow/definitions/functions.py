"""The functions of the jobs folder that a python step can name, read off their source. Nothing is imported."""

from __future__ import annotations

import ast
import json
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nomaflow.definitions.param import ParamType, is_connector_name

MAX_FILES = 2000
MAX_BYTES = 1024 * 1024
"""What is read of a folder: more than anybody writes by hand."""

MAX_SHOWN = 200

_TYPES: dict[str, ParamType] = {
    "int": "int",
    "float": "float",
    "bool": "bool",
    "str": "text",
    "date": "date",
    "datetime": "datetime",
    "dict": "json",
    "list": "json",
    "tuple": "json",
    "Mapping": "json",
    "Sequence": "json",
    "Iterable": "json",
}


@dataclass(frozen=True)
class Parameter:
    """A parameter behind the context.

    `type` is what a form would ask for, None where the annotation says nothing of it. `default` is the default where it
    is JSON, and `default_text` how it is written; both are None where there is none, and the parameter is then
    `required`.
    """

    name: str
    annotation: str | None
    type: ParamType | None
    required: bool
    nullable: bool
    default: Any
    default_text: str | None


@dataclass(frozen=True)
class Function:
    """A function of a module: `callable` is how a step names it, `description` its docstring's first line."""

    callable: str
    file: str
    line: int
    is_async: bool
    description: str
    parameters: tuple[Parameter, ...]
    takes_all: bool

    @property
    def names(self) -> frozenset[str]:
        """The parameters' names."""
        return frozenset(parameter.name for parameter in self.parameters)


@dataclass(frozen=True)
class Unreadable:
    """A file that cannot be read as Python; its functions are not known."""

    file: str
    line: int | None
    message: str


class Functions:
    """Every function below an import root; a file is read again when it has changed."""

    def __init__(self, import_root: Path) -> None:
        self._root = import_root
        self._known: dict[Path, tuple[tuple[int, int], list[Function] | Unreadable]] = {}

    def all(self) -> tuple[list[Function], list[Unreadable]]:
        """The functions that take a context, by their names, and the files that cannot be read."""
        functions: list[Function] = []
        unreadable: list[Unreadable] = []
        known: dict[Path, tuple[tuple[int, int], list[Function] | Unreadable]] = {}
        for path in _files(self._root):
            try:
                stamp = (path.stat().st_mtime_ns, path.stat().st_size)
            except OSError:
                continue  # it has just gone
            before = self._known.get(path)
            found = before[1] if before is not None and before[0] == stamp else _read(self._root, path)
            known[path] = (stamp, found)
            if isinstance(found, Unreadable):
                unreadable.append(found)
            else:
                functions += found
        self._known = known
        return sorted(functions, key=lambda each: each.callable), unreadable


def parsed(source: Path) -> ast.Module:
    """A file's syntax tree.

    Raises:
        SyntaxError: it is no valid Python.
        OSError, ValueError, RecursionError, MemoryError: it cannot be read as Python.
    """
    if source.stat().st_size > MAX_BYTES:
        raise ValueError(f"it is longer than {MAX_BYTES // 1024} KiB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are about the code's style, and the step shows them when it runs
        return ast.parse(source.read_bytes(), filename=source.name)


def described(node: ast.FunctionDef | ast.AsyncFunctionDef, module: str, file: str) -> Function | None:
    """A function as its definition has it; None where it takes nothing that could be a context."""
    before, after = node.args.posonlyargs, node.args.args
    positional = [*before, *after]
    if not positional:
        return None
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(node.args.defaults))
    pairs = list(zip(positional, [*defaults, *node.args.defaults], strict=True))[max(1, len(before)) :]
    pairs += zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    doc = (ast.get_docstring(node) or "").strip().partition("\n")[0]
    return Function(
        callable=f"{module}:{node.name}",
        file=file,
        line=node.lineno,
        is_async=isinstance(node, ast.AsyncFunctionDef),
        description=doc,
        parameters=tuple(_parameter(argument, default) for argument, default in pairs),
        takes_all=node.args.kwarg is not None,
    )


def _files(root: Path) -> Iterator[Path]:
    count = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name.isidentifier() and name != "__pycache__")
        for name in sorted(names):
            if name.endswith(".py") and name[:-3].isidentifier():
                count += 1
                if count > MAX_FILES:
                    return
                yield Path(folder, name)


def _read(root: Path, path: Path) -> list[Function] | Unreadable:
    file = f"{root.name}/{path.relative_to(root).as_posix()}"
    try:
        tree = parsed(path)
    except SyntaxError as error:
        return Unreadable(file, error.lineno, f"is not valid Python: {error.msg}")
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        return Unreadable(file, None, f"cannot be read as Python: {error}")
    parts = path.relative_to(root).with_suffix("").parts
    module = ".".join(part for part in parts if part != "__init__")
    nodes = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [
        function
        for node in nodes
        if module and not node.name.startswith("_") and _takes_context(node)
        if (function := described(node, module, file)) is not None
    ]


def _takes_context(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = next(iter([*node.args.posonlyargs, *node.args.args]), None)
    if first is None:
        return False
    annotation = ast.unparse(first.annotation) if first.annotation is not None else ""
    return first.arg in ("ctx", "context") or annotation.strip("'\"").endswith("StepContext")


def _parameter(argument: ast.arg, default: ast.expr | None) -> Parameter:
    annotation = ast.unparse(argument.annotation).strip("'\"")[:MAX_SHOWN] if argument.annotation is not None else None
    value = _json_value(default)
    kind, nullable = _type(annotation, value)
    if is_connector_name(argument.arg) and kind in (None, "text"):
        kind = "connector"
    return Parameter(
        name=argument.arg,
        annotation=annotation,
        type=kind,
        required=default is None,
        nullable=nullable or (isinstance(default, ast.Constant) and default.value is None),
        default=value,
        default_text=ast.unparse(default)[:MAX_SHOWN] if default is not None else None,
    )


def _json_value(default: ast.expr | None) -> Any:
    """A default as JSON; None where it is something else."""
    if default is None:
        return None
    try:
        value = ast.literal_eval(default)
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _type(annotation: str | None, default: Any) -> tuple[ParamType | None, bool]:
    """What an annotation, or else the default, says of a value; and whether it may be None."""
    if annotation is None:
        kinds: dict[type, ParamType] = {
            bool: "bool",
            int: "int",
            float: "float",
            str: "text",
            list: "json",
            dict: "json",
        }
        return kinds.get(type(default)), False
    if annotation.startswith("Optional["):
        annotation = f"{annotation[9:-1]} | None"
    options = [part.strip() for part in annotation.split("|")]
    rest = [part for part in options if part != "None"]
    if len(rest) != 1:
        return None, len(rest) < len(options)
    name = rest[0].partition("[")[0].rpartition(".")[2]
    return _TYPES.get(name), len(rest) < len(options)
