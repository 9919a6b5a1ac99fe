"""What a program and its children do to the files of a folder, as strace sees it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.disk_model import Disk

_TRACED = (
    "openat,write,pwrite64,fdatasync,fsync,ftruncate,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,rmdir,"
    "link,linkat,sendfile,copy_file_range"
)
_LINE = re.compile(rb"^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$", re.DOTALL)
_STRING = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_HANDLE = re.compile(rb"(-?\d+|AT_FDCWD)<([^>]*)>")


class NotInstalledError(Exception):
    """There is no strace; the message says how to get it."""


@dataclass(frozen=True)
class Call:
    """A system call that succeeded: its name, the paths of its handles, its strings, the other text, its result."""

    name: str
    handles: list[str]
    strings: list[bytes]
    text: str
    result: int


def traced(command: Sequence[str], log: Path, cwd: Path) -> Iterator[Call]:
    """Run a program to its end; its calls, in order.

    Raises:
        NotInstalledError: strace is not installed.
        CalledProcessError: the program failed.
    """
    trace = [
        "strace",
        "-f",
        "-y",
        "-xx",
        "-s",
        "16777216",
        "-e",
        f"trace={_TRACED}",
        "-e",
        "signal=none",
        "-o",
        str(log),
    ]
    try:
        subprocess.run([*trace, *command], cwd=cwd, check=True, capture_output=True)
    except FileNotFoundError:
        raise NotInstalledError("this needs strace: sudo apt-get install --no-install-recommends strace") from None
    begun: dict[bytes, bytes] = {}
    with log.open("rb") as lines:
        for line in lines:
            if (found := _LINE.match(line.rstrip(b"\n"))) is None:
                continue
            pid, resumed, name, rest = found.groups()
            if rest.endswith(b"<unfinished ...>"):
                begun[pid] = rest.removesuffix(b"<unfinished ...>")
                continue
            if resumed:
                name, rest = resumed, begun.pop(pid) + rest
            arguments, _, result = rest.rpartition(b" = ")
            number = re.match(rb"-?\d+", result)
            if number is not None and int(number[0]) >= 0:
                yield _call(name.decode(), arguments, int(number[0]))


def _call(name: str, arguments: bytes, result: int) -> Call:
    strings = [_raw(found[1]) for found in _STRING.finditer(arguments)]
    text = _STRING.sub(b"", arguments)
    handles = [_raw(found[2]).decode() for found in _HANDLE.finditer(text)]
    return Call(name, handles, strings, _HANDLE.sub(b"", text).decode(), result)


def _raw(escaped: bytes) -> bytes:
    return bytes.fromhex(escaped.replace(b"\\x", b"").decode()) if escaped.startswith(b"\\x") else escaped


@dataclass
class Replay:
    """Does to a disk model what calls did to a folder.

    A file that is not written at a position of its own is written from where the last write to it ended.
    """

    folder: Path
    disk: Disk = field(default_factory=Disk)
    said: list[str] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)

    def do(self, call: Call) -> str | None:
        """Take one call; what it was done to, None for what lies elsewhere."""
        paths = [path for path in map(self._within, self._paths(call)) if path is not None]
        if call.name == "write" and not paths:
            self.said += call.strings[0].decode(errors="replace").splitlines()
        if not paths:
            return None
        self._do(call, paths)
        return f"{call.name} {paths[0]}"

    def _do(self, call: Call, paths: list[str]) -> None:
        disk, path = self.disk, paths[0]
        match call.name:
            case "openat":
                is_new = "O_TRUNC" in call.text or "O_CREAT" in call.text
                if "O_DIRECTORY" not in call.text and is_new:
                    disk.open(path, make="O_CREAT" in call.text, cut="O_TRUNC" in call.text)
                    self.ends[path] = len(disk.file(path).now) if "O_APPEND" in call.text else 0
            case "write":
                self._append(path, call.strings[0][: call.result])
            case "pwrite64":
                disk.write(path, int(call.text.rstrip(")").rpartition(", ")[2]), call.strings[0][: call.result])
            case "sendfile" | "copy_file_range":
                target, source = paths if call.name == "sendfile" else reversed(paths)
                begin = self.ends.get(target, 0)
                self._append(target, bytes(disk.file(source).now[begin : begin + call.result]))
            case "fdatasync" | "fsync":
                disk.sync(path)
            case "ftruncate":
                disk.cut(path, int(call.text.rstrip(")").rpartition(", ")[2]))
            case "unlink" | "unlinkat" | "rmdir":
                disk.remove(path)
            case "rename" | "renameat" | "renameat2":
                disk.rename(*paths)
                self.ends = {name: end for name, end in self.ends.items() if not name.startswith(path)}
            case "mkdir" | "mkdirat":
                disk.make_folder(path)
            case "link" | "linkat":
                disk.link(*paths)

    def _append(self, path: str, data: bytes) -> None:
        begin = self.ends.get(path, 0)
        self.disk.write(path, begin, data)
        self.ends[path] = begin + len(data)

    def _paths(self, call: Call) -> list[str]:
        if call.name in ("write", "pwrite64", "fdatasync", "fsync", "ftruncate", "sendfile", "copy_file_range"):
            return call.handles
        names = [string.decode() for string in call.strings]
        if call.handles:  # names may be relative to them
            folders = call.handles * len(names) if len(call.handles) == 1 else call.handles
            return [str(Path(folder, name)) for folder, name in zip(folders, names, strict=False)]
        return names

    def _within(self, path: str) -> str | None:
        inside = path.startswith(f"{self.folder}/") and not path.endswith(" (deleted)")
        if path == str(self.folder):
            return "."
        return path.removeprefix(f"{self.folder}/") if inside else None
