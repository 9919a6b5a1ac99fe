"""The log of one run while it is in flight: numbered, masked, capped, and read live."""

from __future__ import annotations

import base64
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from urllib.parse import quote, quote_plus

import trio

from nomaflow.wire import LogLine

HEAD_LINES = 50_000
"""Lines that are stored as they come; of what follows only the newest `TAIL_LINES` are, when the run ends."""

TAIL_LINES = 5_000
HEAD_CHARACTERS = 48 * 1024 * 1024
TAIL_CHARACTERS = 8 * 1024 * 1024
"""The same caps for logs of few and very long lines."""

KEPT_FOR_FOLLOWERS = 2_000
MASK = "••••"

MIN_LINE = 8
"""A line of a secret with at least so many characters is one by itself: what is printed comes line by line."""

MIN_ANYWHERE = 4
"""A secret with fewer characters is masked as a word only: everywhere, it would leave nothing of the log."""

# What would move the cursor, hide or turn text around in a terminal or a page, and half a surrogate pair, which no
# UTF-8 can hold. Tab and line feed stay.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class NewestLines:
    """The last lines, at most so many, and so many characters of them."""

    def __init__(self, lines: int, characters: int) -> None:
        self.kept: deque[LogLine] = deque()
        self._lines, self._characters = lines, characters
        self._held = 0

    def add(self, line: LogLine) -> None:
        """Keep one more, and forget the oldest where there is no room."""
        self.kept.append(line)
        self._held += len(line.text)
        while len(self.kept) > self._lines or (self._held > self._characters and len(self.kept) > 1):
            self._held -= len(self.kept.popleft().text)


class Masks:
    """Values that must not be shown."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def add(self, secrets: Iterable[str]) -> None:
        """Mask these too, each longer line of them, and other spellings."""
        given = [secret for secret in secrets if secret]
        lines = [line for secret in given for line in secret.splitlines() if len(line) >= MIN_LINE]
        spelled = (one for secret in {*given, *lines} for one in spellings(secret))
        self._secrets = sorted({*self._secrets, *given, *lines, *spelled})

    def over(self, text: str) -> str:
        """The text without the secrets; where they overlap, without all that any of them covers."""
        spans = sorted(span for secret in self._secrets if secret in text for span in _spans(secret, text))
        shown, end = "", 0
        for start, stop in spans:
            if start >= end:
                shown += text[end:start] + MASK
            end = max(end, stop)
        return shown + text[end:]


class RunLog:
    """Takes lines as they come and gives back which of them to store; `seq` is the number of the newest.

    Args:
        seq: how many an earlier engine took; they are in the store.
    """

    def __init__(self, seq: int = 0) -> None:
        self.seq = seq
        self.ended = False
        self._newest = NewestLines(KEPT_FOR_FOLLOWERS, TAIL_CHARACTERS)
        self._tail = NewestLines(TAIL_LINES, TAIL_CHARACTERS)
        self._head_lines, self._head_characters = seq, 0
        self._masks = Masks()
        self._news = trio.Event()

    def hide(self, secrets: Iterable[str]) -> None:
        """Mask these values from now on."""
        self._masks.add(secrets)

    def masked(self, text: str) -> str:
        """The text without the run's secrets."""
        return self._masks.over(text)

    def take(
        self, at: float, level: str, text: str, *, step: str | None = None, attempt: int = 0, stream: str = "log"
    ) -> list[LogLine]:
        """Add one line (`at` in seconds since 1970); the lines to store now."""
        self.seq += 1
        line = LogLine.model_construct(
            seq=self.seq,
            ts=datetime.fromtimestamp(at, UTC),
            level=level if level in _LEVELS else "ERROR" if level == "CRITICAL" else "INFO",
            step=step,
            attempt=attempt,
            stream=stream,
            text=_CONTROL.sub(_shown, self.masked(text)),
        )
        self._newest.add(line)
        self._wake()
        room = self._head_lines < HEAD_LINES and self._head_characters + len(line.text) <= HEAD_CHARACTERS
        if room and self._head_lines == self.seq - 1:
            self._head_lines += 1
            self._head_characters += len(line.text)
            return [line]
        self._tail.add(line)
        return []

    def end(self) -> None:
        """No line will follow, and the run's end is on disk: followers may go."""
        self.ended = True
        self._wake()

    def rest(self) -> list[LogLine]:
        """What is left to store when the run ends."""
        left = list(self._tail.kept)
        dropped = self.seq - self._head_lines - len(left)
        if left and dropped > 0:
            first = left[0]
            note = (
                f"… {dropped} lines are left out here: this log keeps its first {self._head_lines} "
                f"and its last {len(left)}"
            )
            left.insert(0, first.model_copy(update={"seq": first.seq - 1, "level": "WARNING", "text": note}))
        return left

    def newest(self) -> list[LogLine]:
        """The lines in memory."""
        return list(self._newest.kept)

    def keeps_all(self) -> bool:
        """Whether every line so far was given to be stored."""
        return self._head_lines == self.seq

    def after(self, seq: int) -> Sequence[LogLine] | None:
        """The lines after a number; None where some of them are no longer in memory."""
        kept = self._newest.kept
        if kept and kept[0].seq > seq + 1:
            return None
        if not kept:
            return [] if seq >= self.seq else None
        # Each line that is kept has its number, without a gap.
        return list(islice(kept, max(0, seq + 1 - kept[0].seq), None))

    async def wait_beyond(self, seq: int) -> None:
        """Return when there is a line after that one, or none will come."""
        while self.seq <= seq and not self.ended:
            await self._news.wait()

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()


def spellings(secret: str) -> set[str]:
    """How a secret looks in an address, in JSON, in a driver's text of keywords and in base64.

    In base64 it begins at any of three places of a group, since other bytes may stand before it (`user:password`);
    what they have a part in is left out. Spellings of short secrets would be short themselves, and hide other text.
    """
    data = secret.encode(errors="surrogatepass")
    escaped = {quote(data, safe=""), quote(data), quote_plus(data), json.dumps(secret)[1:-1]}
    escaped |= {json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1], secret.replace("}", "}}")}
    for before, first in ((0, 0), (1, 2), (2, 3)):
        whole = base64.b64encode(b"\0" * before + data)[first : (before + len(data)) * 8 // 6].decode()
        escaped |= {whole, whole.replace("+", "-").replace("/", "_")} if len(whole) >= MIN_LINE else set()
    return escaped - {secret}


def _spans(secret: str, text: str) -> Iterator[tuple[int, int]]:
    start = text.find(secret)
    while start >= 0:
        stop = start + len(secret)
        beside = text[max(0, start - 1) : start], text[stop : stop + 1]
        if len(secret) >= MIN_ANYWHERE or not any(character.isalnum() for character in beside):
            yield start, stop
        start = text.find(secret, start + 1)


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
