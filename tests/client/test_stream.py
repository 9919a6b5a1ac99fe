"""Server-sent events, whole from any cut, and across lost connections."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomaflow.client import Client, Reset
from nomaflow.client.stream import EventParser, ServerSentEvent
from nomaflow.errors import EngineUnreachableError, NotSignedInError

STREAM = (
    "retry: 1000\nid: 1.0\n\n: nothing new\n\nid: 1.1\nevent: run\ndata: {}\n\n"
    "data:one\r\ndata: two \u2028\r\n\r\nid: 1.9"
).encode()


@given(st.sets(st.integers(0, len(STREAM))))
def test_the_cuts_of_the_network_change_nothing(cuts: set[int]) -> None:
    """Events come whole however the bytes arrive; an unfinished block is no event and sets no id."""
    parser = EventParser()
    places = [0, *sorted(cuts), len(STREAM)]
    events = [event for start, end in pairwise(places) for event in parser.feed(STREAM[start:end])]
    assert events == [ServerSentEvent("run", "{}"), ServerSentEvent("message", "one\ntwo \u2028")]
    assert parser.last_id == "1.1"


def test_an_id_alone_sets_where_to_go_on() -> None:
    """The engine sends its newest cursor first, so nothing is missed before the first event."""
    parser = EventParser()
    assert not list(parser.feed(b"id: 3.7\n\n"))
    assert parser.last_id == "3.7"


def line(seq: int) -> bytes:
    """A line of a log as the engine sends it."""
    record = {"seq": seq, "ts": "2026-01-31T00:00:00Z", "level": "INFO", "text": f"line {seq}"}
    return f"id: {seq}\ndata: {json.dumps(record)}\n\n".encode()


class Connections:
    """An engine that answers each connection with the next of these; an error in them is a lost connection."""

    def __init__(self, *answers: Sequence[bytes | Exception] | httpx.Response) -> None:
        self.answers = list(answers)
        self.cursors: list[str | None] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """The next answer."""
        self.cursors.append(request.headers.get("Last-Event-ID"))
        answer = self.answers.pop(0)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, content=_sent(answer))


def _sent(parts: Sequence[bytes | Exception]) -> Iterator[bytes]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


NOT_READY = httpx.Response(503, json={"error": {"code": "not_ready", "message": "it starts"}})
NOT_SIGNED_IN = httpx.Response(401, json={"error": {"code": "not_signed_in", "message": "expired"}})


def client_of(connections: Connections) -> Client:
    """A client of it."""
    return Client("http://engine", "x", transport=httpx.MockTransport(connections))


def test_a_log_goes_on_where_it_was_lost() -> None:
    """Each line comes once: after a broken connection, a clean end, a half block and an engine that starts."""
    engine = Connections(
        [line(1), line(2), b"id: 3\ndata: {", httpx.ReadError("lost")],
        [line(3)],
        NOT_READY,
        [line(4), b'event: end\ndata: {"state": "FAILED"}\n\n'],
    )
    lines = list(client_of(engine).follow_logs("run_1"))
    assert [each.seq for each in lines] == [1, 2, 3, 4]
    assert engine.cursors == ["0", "2", "3", "3"]


def test_a_lost_connection_is_told_and_may_end_the_following() -> None:
    """Whoever watches hears of it; what the listener raises comes out."""
    lost: list[int] = []
    connections = Connections([line(1), httpx.ReadError("lost")], [line(2), b"event: end\ndata: {}\n\n"])
    assert len(list(client_of(connections).follow_logs("run_1", on_lost=lambda: lost.append(1)))) == 2
    assert lost == [1]

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        list(client_of(Connections([httpx.ReadError("lost")])).follow_logs("run_1", on_lost=stop))


def test_an_engine_that_stays_away_ends_the_patience() -> None:
    """The sentence is the one of any call."""
    engine = Connections(*[[httpx.ConnectError("refused")]] * 10)
    with pytest.raises(EngineUnreachableError, match="nothing answers at http://engine"):
        list(client_of(engine).follow_logs("run_1", patience_seconds=0.3))
    assert len(engine.cursors) == 3


def test_a_token_that_is_revoked_ends_the_stream() -> None:
    """Waiting would not help."""
    engine = Connections([line(1)], NOT_SIGNED_IN)
    lines = client_of(engine).follow_logs("run_1")
    assert next(lines).seq == 1
    with pytest.raises(NotSignedInError):
        next(lines)


def event(seq: int) -> bytes:
    """An event as the engine sends it."""
    record = {"seq": seq, "happened_at": "2026-01-31T00:00:00Z", "kind": "run", "record": {}}
    return f"id: 1.{seq}\nevent: run\ndata: {json.dumps(record)}\n\n".encode()


def test_events_are_reset_at_the_start_and_when_the_engine_says_so() -> None:
    """A connection that goes on from a cursor is no reason to read everything again."""
    engine = Connections(
        [b"id: 1.4\n\n"],
        [b"id: 1.4\n\n", event(5), httpx.ReadError("lost")],
        [event(6), b'id: 2.0\nevent: reset\ndata: {"epoch": 2}\n\n', event(1)],
    )
    events = client_of(engine).events()
    assert next(events) == Reset()
    assert [getattr(next(events), "seq", "reset") for _ in range(4)] == [5, 6, "reset", 1]
    assert engine.cursors == [None, "1.4", "1.5"]
