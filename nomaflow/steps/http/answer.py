"""What comes back: its body within bounds, its JSON and what of it is wanted, and what its status means."""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from nomaflow.definitions import json_text
from nomaflow.steps.http.errors import AnswerError, TooLargeError

PREVIEW_BYTES = 65_536

MAX_DEPTH = 64
"""How deep an answer's JSON is nested at most."""

MAX_OUTPUTS = 1024 * 1024
"""Characters of JSON that a step's outputs may have: they are kept with the run. More belongs in a table."""

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_GATEWAY = frozenset({502, 504})
_HALVES = re.compile("[\ud800-\udfff]")


class Body:
    """Takes an answer's bytes as they come, decodes them, and keeps as many as are wanted.

    Args:
        encoding: the header Content-Encoding.
        max_bytes: how many the decoded body may have.
        keeps_all: whether the whole body is wanted, or only what a preview shows.

    Raises:
        AnswerError: the encoding is none that was asked for.
    """

    def __init__(self, encoding: str, *, max_bytes: int, keeps_all: bool) -> None:
        self.size = 0
        self.kept = bytearray()
        self._max, self._keep = max_bytes, max_bytes if keeps_all else PREVIEW_BYTES
        self._decoder: Any = None
        self._encoding = encoding.strip().lower()
        if self._encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise AnswerError(f"the answer is encoded as {encoding[:40]!r}, which was not asked for")

    def take(self, data: bytes) -> None:
        """Some bytes as they came over the wire.

        Raises:
            AnswerError: they are not encoded as was said.
            TooLargeError: there are too many.
        """
        if self._encoding in ("", "identity"):
            self._add(data)
            return
        try:
            while data:
                if self._decoder is None or self._decoder.eof:
                    self._decoder = self._new_decoder(data)
                # A byte more than may come is enough to know.
                self._add(self._decoder.decompress(data, self._max - self.size + 1))
                data = self._decoder.unconsumed_tail or self._decoder.unused_data
        except zlib.error as error:
            raise AnswerError(f"the answer is not encoded as {self._encoding}: {error}") from None

    def end(self) -> None:
        """No byte follows.

        Raises:
            AnswerError: some are missing.
        """
        if self._decoder is not None and not self._decoder.eof:
            raise AnswerError(f"the answer ends in the middle of its {self._encoding}")

    def _add(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._max:
            raise too_large(self._max)
        if room := self._keep - len(self.kept):
            self.kept += data[:room]

    def _new_decoder(self, data: bytes) -> Any:
        if self._encoding != "deflate":
            return zlib.decompressobj(zlib.MAX_WBITS | 16)
        # Both are called deflate: a zlib stream, which begins with such a byte, and what is inside of one.
        return zlib.decompressobj(zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS)


def too_large(max_bytes: int) -> TooLargeError:
    """The error of an answer with more bytes than that."""
    return TooLargeError(f"the answer has more than {max_bytes:,} bytes; ask for less, or raise max_bytes")


def charset(content_type: str) -> str | None:
    """The charset that the header names, if Python knows it as one of text."""
    match = re.search(r"charset\s*=\s*\"?([A-Za-z0-9._-]{1,40})", content_type, re.IGNORECASE)
    if match is None:
        return None
    try:
        found = codecs.lookup(match[1])
    except (LookupError, ValueError):
        return None
    return found.name if found._is_text_encoding else None


def preview(body: Body, content_type: str) -> str:
    """The body's first 64 KB as text, or what it is where it is none."""
    start = bytes(body.kept[:PREVIEW_BYTES])
    is_wide = (charset(content_type) or "").startswith(("utf-16", "utf-32"))
    if b"\x00" in start and not is_wide:
        return f"({body.size:,} bytes of {content_type.partition(';')[0].strip() or 'no text'})"
    decoder = codecs.getincrementaldecoder(charset(content_type) or "utf-8")("replace")
    # Cut there, the last character may be half of one.
    text = decoder.decode(start, final=body.size <= PREVIEW_BYTES)
    return _HALVES.sub("\ufffd", text).removeprefix("\ufeff")


def whole_text(value: Any) -> Any:
    """JSON without halves of surrogate pairs, which no UTF-8 can hold."""
    if isinstance(value, str):
        return _HALVES.sub("\ufffd", value)
    if isinstance(value, list):
        return [whole_text(item) for item in value]
    if isinstance(value, dict):
        return {whole_text(key): whole_text(item) for key, item in value.items()}
    return value


def read_json(body: Body, content_type: str) -> Any:
    """The body's JSON: finite numbers, at most 64 deep, nothing after it.

    Raises:
        AnswerError: it is something else.
    """
    try:
        text = body.kept.decode(charset(content_type) or "utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise AnswerError(f"the answer is not {error.encoding}, so it is no JSON") from None
    try:
        return json_text.parsed(text, "the answer's JSON", max_depth=MAX_DEPTH, keys_may_repeat=True)
    except json_text.JsonSyntaxError as error:
        kind = content_type.partition(";")[0].strip()
        of = f" but {kind}" if kind and "json" not in kind else ""
        raise AnswerError(f"the answer is not JSON{of}: {error.where}") from None
    except json_text.JsonTextError as error:
        raise AnswerError(str(error)) from None


def pick(value: Any, outputs: Mapping[str, str]) -> dict[str, Any]:
    """The parts of an answer that the step names.

    Args:
        value: the answer's JSON.
        outputs: JSON pointers (RFC 6901) by name.

    Raises:
        AnswerError: there is no such part, or it is too much to be kept.
    """
    picked = {name: whole_text(_at(value, pointer)) for name, pointer in outputs.items()}
    if (size := len(json.dumps(picked, ensure_ascii=False))) > MAX_OUTPUTS:
        raise TooLargeError(f"the step's outputs have {size:,} characters of JSON; at most {MAX_OUTPUTS:,} are kept")
    return picked


def is_expected(status: int, expected: Sequence[int | str]) -> bool:
    """Whether a step has succeeded with it; `2xx` is all of a kind."""
    return any(each in (status, f"{status // 100}xx") for each in expected)


def may_be_asked_again(status: int) -> bool:
    """Whether another try may get a better answer than this one."""
    return status in _AGAIN


def is_of_a_gateway(status: int) -> bool:
    """Whether it says that what stands before the service got no answer from it."""
    return status in _GATEWAY


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """The seconds of a header Retry-After, which holds them or an HTTP date; None of anything else."""
    text = (value or "").strip()
    if re.fullmatch("[0-9]{1,10}", text):
        return float(text)
    try:
        due_at = parsedate_to_datetime(text)
    except ValueError:
        return None
    due_at = due_at if due_at.tzinfo else due_at.replace(tzinfo=UTC)
    return max(0.0, (due_at - now).total_seconds())


def _at(value: Any, pointer: str) -> Any:
    found = value
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and re.fullmatch("0|[1-9][0-9]{0,9}", key) and int(key) < len(found):
            found = found[int(key)]
        else:
            raise AnswerError(f"the answer's JSON has nothing at {pointer}")
    return found
