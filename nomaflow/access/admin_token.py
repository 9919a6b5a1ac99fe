"""The admin token: how the owner of a home signs in before there are accounts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nomaflow.errors import InvalidError

if TYPE_CHECKING:
    from nomaflow.seams import Seams

FILE_NAME = "admin.token"
ADMIN_PREFIX = "nfa_"
MIN_LENGTH = 32


def ensure_admin_token(state_dir: Path, seams: Seams) -> str:
    """The home's admin token; made at the first start, in a file that only the owner can read.

    Raises:
        InvalidError: the file holds something that is too short to be safe.
    """
    path = state_dir / FILE_NAME
    try:
        token = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return _make(path, seams)
    if len(token) < MIN_LENGTH:
        raise InvalidError(
            f"the admin token in {path} has fewer than {MIN_LENGTH} characters; delete the file to get a new one"
        )
    path.chmod(0o600)
    return token


def _make(path: Path, seams: Seams) -> str:
    token = ADMIN_PREFIX + seams.token()
    # Renamed into place when it is whole, so that a crash leaves no empty file behind.
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return token
