"""Files that people and the engine both write: read only what is safe to read, replaced whole or not at all."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from nomaflow.definitions.toml_source import MAX_BYTES
from nomaflow.errors import NotReadyError


def etag(raw: bytes) -> str:
    """The version of a file: the first 32 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(raw).hexdigest()[:32]


def read(path: Path) -> bytes:
    """The bytes of a regular file, one more than the limit at most.

    Never waits, as reading a FIFO would, and follows no link out of the folder.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it must not or cannot be read; the rest of a sentence that begins with its name.
    """
    try:
        _check(path.lstat(), path)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            _check(os.fstat(file.fileno()), path)
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None


def _check(status: os.stat_result, path: Path) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise ValueError("is a symbolic link; put the file itself there")
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is no regular file; move it away")
    if status.st_mode & stat.S_IWOTH:
        raise ValueError(f"may be written by everybody on this machine; run `chmod o-w {path.name}`")
    if status.st_uid not in (0, os.geteuid(), path.parent.stat().st_uid):
        raise ValueError("belongs to another user of this machine; `chown` it to the owner of its folder")


def write(path: Path, raw: bytes, token: Callable[[], str]) -> None:
    """Replace or make a file; after a crash it holds the old bytes or the new ones.

    The old file's mode and owner stay.

    Raises:
        NotReadyError: the disk does not take it; nothing has changed.
    """
    temporary = path.with_name(f".{path.name}.{token()}")
    try:
        old = path.lstat() if path.exists() else None
        mode = stat.S_IMODE(old.st_mode) if old else 0o644
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            with open(descriptor, "wb") as file:
                if old:
                    os.fchmod(file.fileno(), mode)
                    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()) and os.geteuid() == 0:
                        os.fchown(file.fileno(), old.st_uid, old.st_gid)
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise NotReadyError(f"{path.name} could not be saved: {error.strerror}; nothing was changed") from None


def remove(path: Path) -> None:
    """Delete a file for good.

    Raises:
        NotReadyError: the disk does not allow it.
    """
    try:
        path.unlink()
        _sync_folder(path.parent)
    except OSError as error:
        raise NotReadyError(f"{path.name} could not be deleted: {error.strerror}") from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
