"""The high-water mark: the number of the newest committed event, in a small file beside the store.

A store that has lost its end opens without a word: a write-ahead log that is missing, or damaged in its middle, only
looks shorter. The mark tells. It is written after each commit and synced every second, so a power cut hides at most
the loss of the last second; a kill hides nothing.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

_FORMAT = struct.Struct("<QI")


def read(path: Path) -> int | None:
    """The number; None where there is no mark, or one that was torn."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(raw) != _FORMAT.size:
        return None
    number, check = _FORMAT.unpack(raw)
    return number if check == zlib.crc32(raw[:8]) else None


class Mark:
    """The mark, open for writing. `number` is what was written last."""

    def __init__(self, path: Path, number: int) -> None:
        self.number = -1
        self.is_synced = True
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self.write(number)
            self.sync()
        except BaseException:
            self.close()
            raise

    def write(self, number: int) -> None:
        """Note that the event of this number is committed.

        Raises:
            OSError: the disk does not take it.
        """
        if number == self.number:
            return
        raw = struct.pack("<Q", number)
        os.pwrite(self._descriptor, raw + struct.pack("<I", zlib.crc32(raw)), 0)
        self.number, self.is_synced = number, False

    def sync(self) -> None:
        """Make it durable.

        Raises:
            OSError: the disk does not take it.
        """
        if not self.is_synced:
            self.is_synced = True
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
