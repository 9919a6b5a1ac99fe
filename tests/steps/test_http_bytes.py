"""Whatever bytes a service sends, the `http` step ends in an answer or in an error of its own."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress

import h11
import trio
import trio.testing
from hypothesis import example, given
from hypothesis import strategies as st

from nomaflow.steps.http import answer
from nomaflow.steps.http.connection import Answer
from nomaflow.steps.http.errors import AnswerError, AnswerLostError

MAX_BYTES = 2000

HEADS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 404\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n",
        b"HTTP/2 200\r\n",
        b"HTTP/1.1 999 \xff\r\n",
        b"",
    ]
)
FIELDS = st.lists(
    st.sampled_from(
        [
            b"Content-Length: 5\r\n",
            b"Content-Length: 5, 5\r\n",
            b"Content-Length: " + b"9" * 5000 + b"\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: gzip\r\n",
            b"Content-Type: text/plain; charset=\xff\r\n",
            b" folded: x\r\n",
            b"no colon\r\n",
            b"X: \x00\r\n",
        ]
    ),
    max_size=3,
).map(b"".join)
BODIES = st.one_of(
    st.binary(max_size=100),
    st.sampled_from([b"5\r\nhello\r\n0\r\n\r\n", b"fffffffffffffffffffffffff\r\n", b"-1\r\n", b"x" * 5000]),
)


async def read(data: bytes) -> int:
    """The size of the body that these bytes have."""
    client, server = trio.testing.memory_stream_pair()
    protocol = h11.Connection(h11.CLIENT)
    for event in (h11.Request(method="GET", target="/", headers=[("Host", "a")]), h11.EndOfMessage()):
        protocol.send(event)
    await server.send_all(data)
    await server.aclose()
    got = Answer("a", client, protocol, MAX_BYTES)
    await got.head()
    body = answer.Body("", max_bytes=MAX_BYTES, keeps_all=True)
    while piece := await got.piece():
        body.take(piece)
    assert 100 <= got.status <= 999
    return body.size


@given(head=HEADS, fields=FIELDS, end=st.sampled_from([b"\r\n", b""]), body=BODIES)
@example(b"HTTP/1.1 200 OK\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n", b"5\r\nhello\r\n0\r\n\r\n")
def test_no_answer_breaks_the_step(head: bytes, fields: bytes, end: bytes, body: bytes) -> None:
    """It is one in HTTP, or it is none."""
    with suppress(AnswerLostError, AnswerError):
        assert trio.run(read, head + fields + end + body) <= MAX_BYTES


@given(
    encoding=st.sampled_from(["gzip", "x-gzip", "deflate", "", "br"]),
    data=st.one_of(
        st.binary(max_size=200),
        st.builds(gzip.compress, st.binary(max_size=3000)),
        st.builds(zlib.compress, st.binary(max_size=3000)),
        st.builds(lambda one, two: gzip.compress(one) + two, st.binary(max_size=99), st.binary(max_size=99)),
    ),
    cut=st.integers(0, 300),
)
def test_no_encoding_breaks_the_step(encoding: str, data: bytes, cut: int) -> None:
    """However it is cut into pieces, a body is what it was, or an error; and never larger than it may be."""
    with suppress(AnswerError):
        body = answer.Body(encoding, max_bytes=MAX_BYTES, keeps_all=True)
        for piece in (data[:cut], data[cut:]):
            body.take(piece)
            assert len(body.kept) <= MAX_BYTES
        body.end()
        if encoding in ("gzip", "x-gzip"):
            assert bytes(body.kept) == (gzip.decompress(data) if data else b"")


@given(data=st.one_of(st.binary(max_size=100), st.text(max_size=100).map(str.encode)), kind=st.text(max_size=50))
def test_no_text_breaks_the_step(data: bytes, kind: str) -> None:
    """A preview is text that UTF-8 can hold; JSON is JSON or an error."""
    body = answer.Body("", max_bytes=MAX_BYTES, keeps_all=True)
    body.take(data)
    answer.preview(body, kind).encode()
    with suppress(AnswerError):
        answer.read_json(body, kind)
