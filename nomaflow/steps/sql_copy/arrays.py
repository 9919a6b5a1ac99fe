"""Arrow arrays out of Python values.

`pyarrow.array` does the same and loads pandas for it where that is installed, which takes a second and 40 MB. It also
cuts what is behind the point where it is asked for whole numbers; the arrays of C types that are used here do not.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate, repeat
from operator import is_not
from typing import Any

import pyarrow as pa

_MAX_INT32 = (1 << 31) - 1


def integers(values: Sequence[int | None], code: str, arrow_type: pa.DataType) -> pa.Array:
    """Whole numbers as C's type `code`, such as `q`.

    Raises:
        TypeError: a value is none.
        OverflowError: a value does not fit.
    """
    return _of_numbers(values, code, arrow_type, 0)


def floats(values: Sequence[float | None]) -> pa.Array:
    """Numbers of 64 bits."""
    return _of_numbers(values, "d", pa.float64(), 0.0)


def booleans(values: Sequence[bool | None]) -> pa.Array:
    """Truth values."""
    return _of_numbers(values, "B", pa.uint8(), 0).cast(pa.bool_())


def texts(values: Sequence[str | None]) -> pa.Array:
    """Texts.

    Raises:
        TypeError: a value is none.
        UnicodeEncodeError: a text has characters that are none.
    """
    pieces: Sequence[Any] = values
    try:
        joined, valid = "".join(pieces), None
    except TypeError:
        valid = _validity(values)
        pieces = ["" if value is None else value for value in values]
        joined = "".join(pieces)
    lengths = map(len, pieces if joined.isascii() else [piece.encode() for piece in pieces])
    return _of_pieces(joined.encode(), lengths, valid, len(pieces), pa.string(), pa.large_string())


def binaries(values: Sequence[bytes | None]) -> pa.Array:
    """Bytes."""
    pieces = [b"" if value is None else value for value in values]
    valid = _validity(values) if None in values else None
    return _of_pieces(b"".join(pieces), map(len, pieces), valid, len(pieces), pa.binary(), pa.large_binary())


def _of_numbers(values: Sequence[Any], code: str, arrow_type: pa.DataType, nothing: Any) -> pa.Array:
    valid = None
    try:
        numbers = array(code, values)
    except TypeError:
        valid = _validity(values)
        numbers = array(code, [nothing if value is None else value for value in values])
    return pa.Array.from_buffers(arrow_type, len(values), [valid, pa.py_buffer(numbers)])


def _of_pieces(data: bytes, lengths: Any, valid: Any, count: int, small: pa.DataType, large: pa.DataType) -> pa.Array:
    fits = len(data) <= _MAX_INT32
    offsets = array("i" if fits else "q", accumulate(lengths, initial=0))
    return pa.Array.from_buffers(small if fits else large, count, [valid, pa.py_buffer(offsets), pa.py_buffer(data)])


def _validity(values: Sequence[Any]) -> Any:
    """The bitmap that says which values are not NULL."""
    flags = bytes(map(is_not, values, repeat(None)))
    return pa.Array.from_buffers(pa.uint8(), len(values), [None, pa.py_buffer(flags)]).cast(pa.bool_()).buffers()[1]
