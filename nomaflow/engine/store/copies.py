"""Copies of an open store, made by a child process: this one must not open the store's files itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO

from nomaflow.engine.store.file import StoreError

_PROGRAM = Path(__file__).with_name("copying.py")


class Copy:
    """A copy that is being made in a new folder. The file itself is there when this returns; then `take_log`.

    No checkpoint may begin before the copy is `done`.

    Raises:
        StoreError: it cannot be made.
    """

    def __init__(self, database: Path, folder: Path, note: str | None = None) -> None:
        self.folder = folder
        command = [sys.executable, "-I", "-S", str(_PROGRAM), str(database.absolute()), str(folder.absolute())]
        try:
            self._child = subprocess.Popen(
                command if note is None else [*command, note],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={},
                bufsize=0,  # else a close would try once more to write to a child that is gone
                start_new_session=True,
            )
        except OSError as error:
            raise StoreError(f"no process can be started to copy the store: {error.strerror}") from None
        self._expect("database")

    def take_log(self) -> None:
        """Add the write-ahead log: what is committed by now. The copy is whole and durable then.

        Raises:
            StoreError: it cannot be copied.
        """
        self._go_on()
        self._expect("log")

    def done(self) -> None:
        """Let the child end."""
        self._go_on()
        self._end()

    def give_up(self) -> None:
        """Let the child end wherever it is; what it made stays."""
        self._child.kill()
        self._end()

    @property
    def pid(self) -> int:
        """The child."""
        return self._child.pid

    def _go_on(self) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(b"\n")
        except OSError as error:
            raise StoreError(f"the store could not be copied: {error.strerror}") from None

    def _expect(self, word: str) -> None:
        if _of(self._child.stdout).readline().strip() != word.encode():
            said = _of(self._child.stderr).read().decode(errors="replace").strip()
            self.give_up()
            raise StoreError(f"the store could not be copied: {said.rpartition('\n')[2] or 'the copying was killed'}")

    def _end(self) -> None:
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            _of(pipe).close()
        self._child.wait()


def _of(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
