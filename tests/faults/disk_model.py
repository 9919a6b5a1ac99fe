"""A disk that loses its power: what may be on it then, from what programs wrote and what they waited for.

What a file holds and which names a folder has are two things: each is certain from its own fsync on, and until then any
part of it may be there or not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath


@dataclass
class File:
    """`written` came after the last fsync: (position, bytes), or (size, None) where it was cut or made longer."""

    now: bytearray = field(default_factory=bytearray)
    safe: bytes = b""
    written: list[tuple[int, bytes | None]] = field(default_factory=list)


@dataclass
class Folder:
    """`changed` came after the last fsync: each a set of names that change at one stroke, None where one goes."""

    now: dict[str, File | Folder] = field(default_factory=dict)
    safe: dict[str, File | Folder] = field(default_factory=dict)
    changed: list[dict[str, File | Folder | None]] = field(default_factory=list)


class Disk:
    """What programs see, and what is certain."""

    def __init__(self) -> None:
        self.root = Folder()

    def open(self, path: str, *, make: bool, cut: bool) -> None:
        """Open a file."""
        folder, name = self._place(path)
        if name not in folder.now and make:
            self._change(folder, {name: File()})
        if cut and isinstance(file := folder.now.get(name), File):
            self.cut(path, 0) if file.now else None

    def write(self, path: str, position: int, data: bytes) -> None:
        """Write some bytes."""
        file = self.file(path)
        file.now.extend(bytes(max(0, position - len(file.now))))
        file.now[position : position + len(data)] = data
        file.written.append((position, data))

    def cut(self, path: str, size: int) -> None:
        """Give a file another size."""
        file = self.file(path)
        del file.now[size:]
        file.now.extend(bytes(size - len(file.now)))
        file.written.append((size, None))

    def sync(self, path: str) -> None:
        """Make what a file holds, or which names a folder has, certain."""
        found = self._find(path)
        if isinstance(found, File):
            found.safe = bytes(found.now)
            found.written.clear()
        else:
            found.safe = dict(found.now)
            found.changed.clear()

    def make_folder(self, path: str) -> None:
        """Make one."""
        folder, name = self._place(path)
        self._change(folder, {name: Folder()})

    def remove(self, path: str) -> None:
        """Delete a name."""
        folder, name = self._place(path)
        self._change(folder, {name: None})

    def rename(self, old: str, new: str) -> None:
        """Move a name; at one stroke where it stays in its folder."""
        (old_folder, old_name), (new_folder, new_name) = self._place(old), self._place(new)
        found = old_folder.now[old_name]
        if old_folder is new_folder:
            self._change(old_folder, {old_name: None, new_name: found})
        else:
            self._change(new_folder, {new_name: found})
            self._change(old_folder, {old_name: None})

    def link(self, old: str, new: str) -> None:
        """Give a file another name too."""
        folder, name = self._place(new)
        self._change(folder, {name: self.file(old)})

    def file(self, path: str) -> File:
        """The file of a name."""
        found = self._find(path)
        assert isinstance(found, File), path
        return found

    def _find(self, path: str) -> File | Folder:
        found: File | Folder = self.root
        for part in PurePosixPath(path).parts:
            assert isinstance(found, Folder), path
            found = found.now[part]
        return found

    def _place(self, path: str) -> tuple[Folder, str]:
        parent = PurePosixPath(path).parent
        folder = self.root if parent == PurePosixPath() else self._find(str(parent))
        assert isinstance(folder, Folder), path
        return folder, PurePosixPath(path).name

    def _change(self, folder: Folder, names: dict[str, File | Folder | None]) -> None:
        folder.changed.append(names)
        _apply(folder.now, names)


def _apply(names: dict[str, File | Folder], change: dict[str, File | Folder | None]) -> None:
    for name, found in change.items():
        if found is None:
            names.pop(name, None)
        else:
            names[name] = found


Keep = Callable[[File, random.Random], bytes]
Names = Callable[[Folder, random.Random], dict[str, File | Folder]]


def all_bytes(file: File, draw: random.Random) -> bytes:
    """As programs saw it."""
    return bytes(file.now)


def safe_bytes(file: File, draw: random.Random) -> bytes:
    """Up to its last fsync."""
    return file.safe


def some_pages(size: int) -> Keep:
    """What was written is there or not, page by page; a file is as long as the last page that is there."""

    def keep(file: File, draw: random.Random) -> bytes:
        content = bytearray(file.safe)
        for position, data in file.written:
            if data is None:
                if draw.random() < 0.5:
                    _resize(content, position)
                continue
            for begin in range(0, len(data), size):
                if draw.random() < 0.5:
                    _put(content, position + begin, data[begin : begin + size])
        return bytes(content)

    return keep


def zero_tail(file: File, draw: random.Random) -> bytes:
    """The file has its length, and where it grew since its last fsync there are zeros."""
    content = bytearray(file.now)
    content[len(file.safe) :] = bytes(max(0, len(file.now) - len(file.safe)))
    return bytes(content)


def cut_last_write(file: File, draw: random.Random) -> bytes:
    """Of the last write only the first bytes are there."""
    content = bytearray(file.safe)
    for number, (position, data) in enumerate(file.written):
        if data is None:
            _resize(content, position)
        elif number < len(file.written) - 1:
            _put(content, position, data)
        else:
            _put(content, position, data[: draw.randrange(len(data) + 1)])
    return bytes(content)


def all_names(folder: Folder, draw: random.Random) -> dict[str, File | Folder]:
    """As programs saw it."""
    return folder.now


def safe_names(folder: Folder, draw: random.Random) -> dict[str, File | Folder]:
    """Up to its last fsync."""
    return folder.safe


def first_names(folder: Folder, draw: random.Random) -> dict[str, File | Folder]:
    """Some of the changes since its last fsync, in order."""
    names = dict(folder.safe)
    for change in folder.changed[: draw.randrange(len(folder.changed) + 1)]:
        _apply(names, change)
    return names


def deleted_names_back(folder: Folder, draw: random.Random) -> dict[str, File | Folder]:
    """Whatever was deleted since its last fsync is there again."""
    return {**folder.safe, **folder.now}


VARIATIONS: dict[str, tuple[Keep, Names]] = {
    "everything": (all_bytes, all_names),
    "only what was synced": (safe_bytes, safe_names),
    "synced bytes, all names": (safe_bytes, all_names),
    "all bytes, synced names": (all_bytes, safe_names),
    "some pages": (some_pages(4096), first_names),
    "some pages, all names": (some_pages(4096), all_names),
    "some sectors": (some_pages(512), all_names),
    "zeros at the end": (zero_tail, all_names),
    "last write cut": (cut_last_write, all_names),
    "deleted files back": (all_bytes, deleted_names_back),
}


def write_out(disk: Disk, into: Path, variation: str, draw: random.Random) -> None:
    """Put what is on the disk after a power cut into a real folder."""
    keep, names = VARIATIONS[variation]

    def fill(folder: Folder, path: Path) -> None:
        path.mkdir()
        for name, found in names(folder, draw).items():
            if isinstance(found, Folder):
                fill(found, path / name)
            else:
                (path / name).write_bytes(keep(found, draw))

    fill(disk.root, into)


def unsynced(disk: Disk) -> Iterator[str]:
    """The names of the files that hold something that is not certain."""

    def walk(folder: Folder, path: str) -> Iterator[str]:
        for name, found in folder.now.items():
            if isinstance(found, Folder):
                yield from walk(found, f"{path}{name}/")
            elif found.written:
                yield path + name

    return walk(disk.root, "")


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


def _put(content: bytearray, position: int, data: bytes) -> None:
    content.extend(bytes(max(0, position - len(content))))
    content[position : position + len(data)] = data
