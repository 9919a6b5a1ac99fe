"""Server-sent events: read whole from any cut of the bytes, and followed across lost connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pydantic import ValidationError

from nomaflow import wire
from nomaflow.client.request import V1, path_part
from nomaflow.errors import EngineFailedError, EngineUnreachableError, NomaflowError

SILENCE_SECONDS = 45.0
"""The engine sends a comment every 15 s; a connection that is silent three times as long is dead."""

MAX_DELAY_SECONDS = 5.0

type OnLost = Callable[[], None]


def ignore_loss() -> None:
    """A lost connection is nothing to tell: it is taken up again."""


@dataclass(frozen=True)
class Reset:
    """What was seen before may be out of date: read everything again, then go on with the events that follow."""


@dataclass(frozen=True)
class ServerSentEvent:
    """One event: its name and its text."""

    event: str
    data: str


class EventParser:
    """Bytes in, events out.

    Only CR and LF end a line here. httpx's own lines end at U+2028 and others too, which JSON text may hold. `last_id`
    is the id of the newest block that came whole, with an event in it or not.
    """

    def __init__(self) -> None:
        self._rest = b""
        self.last_id = ""
        self._event, self._id = "", ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """The events that the bytes complete."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            event = self._line(line.removesuffix(b"\r").decode(errors="replace"))
            if event:
                yield event

    def _line(self, line: str) -> ServerSentEvent | None:
        event = None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id":
                self._id = value
            case "" if not line:
                self.last_id = self._id
                if self._data:
                    event = ServerSentEvent(self._event or "message", "\n".join(self._data))
                self._event, self._data = "", []
        return event


@dataclass
class Following[T]:
    """One stream as it is followed: where it stands, and what a lost connection means.

    Args:
        path: the route.
        read: an event as what the caller gets.
        cursor: where to go on; empty begins where the route begins by itself.
        patience_seconds: how long the engine may be away, at a stretch, before the stream gives up.
        opening: what the caller gets whenever the stream begins without a cursor.
        on_lost: told of each lost connection.
    """

    path: str
    read: Callable[[ServerSentEvent], T]
    cursor: str = ""
    patience_seconds: float = 60
    opening: T | None = None
    on_lost: OnLost = ignore_loss
    is_over: bool = False
    _parser: EventParser = field(default_factory=EventParser)
    _delay_seconds: float = 0.1
    _away_seconds: float = 0

    def headers(self) -> dict[str, str]:
        """For the next connection."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        return {**headers, "Last-Event-ID": self.cursor} if self.cursor else headers

    def connected(self) -> Iterator[T]:
        """Begin anew, on a fresh connection."""
        self._parser = EventParser()
        if not self.cursor and self.opening is not None:
            yield self.opening

    def feed(self, chunk: bytes) -> Iterator[T]:
        """What the bytes bring."""
        self._delay_seconds, self._away_seconds = 0.1, 0
        for event in self._parser.feed(chunk):
            if event.event == "end":
                self.is_over = True
                return
            # Before the caller has the item: whoever goes on after a lost connection must not get it twice.
            self.cursor = self._parser.last_id or self.cursor
            yield self.read(event)
        self.cursor = self._parser.last_id or self.cursor

    def lost(self, error: NomaflowError | None) -> float:
        """How many seconds to wait before the next connection.

        Raises:
            EngineUnreachableError: the engine was away for longer than the caller has patience.
        """
        if self._away_seconds >= self.patience_seconds:
            raise error or EngineUnreachableError("the engine ends every connection at once; ask it for its log")
        self.on_lost()
        delay = min(self._delay_seconds, MAX_DELAY_SECONDS)
        self._delay_seconds *= 2
        self._away_seconds += delay
        return delay


def follow_logs(
    run_id: str, *, after: int = 0, patience_seconds: float = 60, on_lost: OnLost = ignore_loss
) -> Following[wire.LogLine]:
    """The lines of a run's log from a number on, as they come; ends when the run has ended and all were given."""

    def read(event: ServerSentEvent) -> wire.LogLine:
        return _read(wire.LogLine, event.data)

    path = f"{V1}/runs/{path_part(run_id)}/logs/stream"
    return Following(path, read, cursor=str(after), patience_seconds=patience_seconds, on_lost=on_lost)


def follow_events(*, after: str = "", patience_seconds: float = float("inf")) -> Following[wire.Event | Reset]:
    """What happens from now on, or from a cursor on, for ever.

    The first item is a `Reset`, as is every one where something may have been missed: whoever reads the lists again at
    each of them, and then applies the events, is never out of date.
    """

    def read(event: ServerSentEvent) -> wire.Event | Reset:
        return Reset() if event.event == "reset" else _read(wire.Event, event.data)

    return Following(f"{V1}/events", read, cursor=after, patience_seconds=patience_seconds, opening=Reset())


def _read[T: (wire.LogLine, wire.Event)](model: type[T], data: str) -> T:
    try:
        return model.model_validate_json(data)
    except ValidationError:
        raise EngineFailedError(
            "the engine's stream holds something that this client cannot read; are both of the same version?"
        ) from None
