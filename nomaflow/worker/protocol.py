"""How the engine and a worker talk: frames of a 4-byte length and JSON, over the worker's stdin and stdout.

    engine → worker   {"step": spec}                           run this step
                      {"cancel": why, "grace_seconds": n?}     stop what runs, softly; harder means follow after n
                      {"answer": {"ask": n, "connector": {…}}} or {"answer": {"ask": n, "error": sentence}}
    worker → engine   {"ready": pid}                           once
                      {"log": [[ts, level, stream, text], …]}  lines since the last one
                      {"progress": {done, total, unit, text}}
                      {"ask": {"ask": n, "connector": name}}   what a step needs it asks for, so that a worker never
                                                               holds the password of a connector it does not use
                      {"server": {connector, process}}         a connection is open, by this process of its server
                      {"commits": true}                        sent before the step's first commit
                      {"stale": true}                          loaded code has changed: take a fresh worker
                      {"done": {output, rows_affected}}
                      {"failed": {type, message, traceback, retry, retry_after?, lasting?}, "rolled_back"?, "left"?}
                      {"canceled": why, "rolled_back"?, "left"?}

A step ends in exactly one of the last three. `retry` says whether another try makes sense, `lasting` why it does not.
`rolled_back` is there where it is known; `left` lists the `server` processes that may still be at work.
End of file on stdin means that the engine is gone; the worker then ends itself and all that it started.
"""

from __future__ import annotations

import codecs
import json
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

Message = dict[str, Any]

ENDS = frozenset({"done", "failed", "canceled", "stale"})

MAX_FRAME = 64 * 1024 * 1024
"""A longer frame is a broken stream, not a message."""

MAX_LINE = 65_536
"""Characters of a log line or a message; a longer one is cut there."""

_HEAD = struct.Struct("!I")


def _as_text(error: UnicodeError) -> tuple[str, int]:
    """Half a surrogate pair, as Python makes it of a file name that is no UTF-8: text that shows it."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(f"\\\\u{ord(half):04x}" for half in error.object[error.start : error.end]), error.end


codecs.register_error("nomaflow.as_text", _as_text)


class BrokenFrameError(Exception):
    """The other side sent something that is no frame."""


def pack(message: Message) -> bytes:
    """One message as a frame. What JSON does not know is sent as its text."""
    text = json.dumps(message, default=str, separators=(",", ":"), ensure_ascii=False)
    body = text.encode("utf-8", "nomaflow.as_text")
    return _HEAD.pack(len(body)) + body


def read(stream: BinaryIO) -> Message | None:
    """The next message, waiting for it; None at the end of the stream."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    (size,) = _HEAD.unpack(head)
    body = stream.read(size)
    if len(body) < size:
        return None
    message: Message = json.loads(body)
    return message


class Unpacker:
    """Bytes as they come in, messages as they are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take bytes and give back the messages that are complete with them.

        Raises:
            BrokenFrameError: the stream holds no frames.
        """
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            (size,) = _HEAD.unpack_from(self._buffer)
            if size > MAX_FRAME:
                raise BrokenFrameError(f"a frame of {size} bytes")
            end = _HEAD.size + size
            if len(self._buffer) < end:
                return
            try:
                message = json.loads(bytes(self._buffer[_HEAD.size : end]))
            except (ValueError, RecursionError) as error:
                raise BrokenFrameError(str(error)) from None
            if not isinstance(message, dict):
                raise BrokenFrameError(f"a frame that holds a {type(message).__name__}, not an object")
            del self._buffer[:end]
            yield message
