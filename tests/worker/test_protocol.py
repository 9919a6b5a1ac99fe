"""Frames: whole again however the bytes arrive, and nothing else is taken for one."""

from __future__ import annotations

import io
import json
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.worker.protocol import MAX_FRAME, BrokenFrameError, Unpacker, pack, read

_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc😀"), inner, max_size=3),
    max_leaves=8,
)
messages = st.lists(st.dictionaries(st.text("abc", min_size=1), _json, max_size=3), max_size=5)


@given(sent=messages, data=st.data())
def test_messages_are_whole_however_the_bytes_are_cut(sent: list[dict[str, Any]], data: st.DataObject) -> None:
    """For any messages and any cuts, they come out as they went in, each as soon as its last byte is there."""
    stream = b"".join(map(pack, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    unpacker, got = Unpacker(), list[dict[str, Any]]()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += unpacker.feed(stream[start:end])
        complete = 0
        while len(b"".join(map(pack, sent[: complete + 1]))) <= end and complete < len(sent):
            complete += 1
        assert len(got) == complete
    assert got == sent


def test_bytes_may_come_one_by_one() -> None:
    """A frame is given back with its last byte."""
    unpacker = Unpacker()
    *early, last = [list(unpacker.feed(bytes([byte]))) for byte in pack({"a": 1})]
    assert (any(early), last) == (False, [{"a": 1}])


@given(messages)
def test_a_stream_is_read_message_by_message(sent: list[dict[str, Any]]) -> None:
    """The blocking reader of the worker's side sees the same, and then the end."""
    stream = io.BytesIO(b"".join(map(pack, sent)))
    assert [read(stream) for _ in sent] == sent
    assert read(stream) is None


@pytest.mark.parametrize("length", range(1, 9))
def test_a_stream_that_ends_within_a_frame_has_ended(length: int) -> None:
    """An engine that dies while it writes is gone like any other."""
    frame = pack({"a": 1})
    assert len(frame) > length
    assert read(io.BytesIO(frame[:length])) is None


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!I", MAX_FRAME + 1),
        b"Fatal Python error",
        struct.pack("!I", 3) + b"{a}",
        struct.pack("!I", 2) + b"\xff\xff",
        struct.pack("!I", 0),
        struct.pack("!I", 2) + b"[]",
        struct.pack("!I", 4) + b"null",
        struct.pack("!I", 400_000) + b"[" * 200_000 + b"]" * 200_000,
    ],
    ids=["too long", "text", "no JSON", "no UTF-8", "empty", "list", "null", "deep"],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    """And not taken for a message that a later byte could complete."""
    with pytest.raises(BrokenFrameError):
        list(Unpacker().feed(data))


def test_messages_before_a_broken_frame_are_given_back() -> None:
    """What was well said before is heard."""
    messages = Unpacker().feed(pack({"a": 1}) + struct.pack("!I", 2) + b"xx")
    assert next(messages) == {"a": 1}
    with pytest.raises(BrokenFrameError):
        next(messages)


@pytest.mark.parametrize(
    ("text", "expected"), [("\udcff", "\\udcff"), ("a\ud83d", "a\\ud83d"), ("😀", "😀"), ("\\ud800", "\\ud800")]
)
def test_half_a_surrogate_pair_travels_as_text(text: str, expected: str) -> None:
    """A file name that is no UTF-8 becomes text that shows it, in keys and values; other text stays."""
    assert list(Unpacker().feed(pack({text: [text]}))) == [{expected: [expected]}]


def test_what_json_does_not_know_is_sent_as_text() -> None:
    """An instant, a path, any object."""
    sent = pack({"now": datetime(2026, 3, 1, tzinfo=UTC)})
    assert json.loads(sent[4:]) == {"now": "2026-03-01 00:00:00+00:00"}
