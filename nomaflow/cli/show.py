"""How things look: times as one says them, states in their colour, tables that keep ids whole."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

UNBOUND = 100_000
NARROWEST = 8
NARROWEST_FOLD = 20
"""A sentence is folded into lines of at least so many characters."""

STATE_STYLES = {
    "QUEUED": "yellow",
    "RUNNING": "blue",
    "CANCELING": "magenta",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "CANCELED": "bright_black",
    "PENDING": "bright_black",
    "Skipped": "bright_black",
    "override": "yellow",
    "FIRED": "green",
    "SKIPPED": "yellow",
    "MISSED": "red",
    "COALESCED": "bright_black",
}

# A log line or a server's message may hold escape sequences that clear the screen or retitle the window.
_HIDDEN = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_SHOWN = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _HIDDEN if code != 0x09}


def shown(text: str) -> str:
    """Text with its control characters made visible; no line ends in it either."""
    return text.translate(_SHOWN)


def is_watched() -> bool:
    """Whether the output is for a terminal, and not for another program."""
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def console() -> Console:
    """The terminal, as wide as it is; elsewhere nothing is cut."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, width=None if is_watched() else UNBOUND)


class Listing:
    """Rows under headings, each of them one line however narrow the terminal, unless its last cell is folded.

    Args:
        columns: the headings.
        whole: columns that are never cut, so that what they show can be typed again; others are cut with `…`.
        optional: columns that are left out where there is no room for them, the first one first.
        folds: the last column's sentences are folded below each other, and not cut.
    """

    def __init__(
        self, *columns: str, whole: Sequence[str] = (), optional: Sequence[str] = (), folds: bool = False
    ) -> None:
        self._columns, self._whole, self._optional, self._folds = columns, whole, optional, folds
        self._rows: list[tuple[str | Text, ...]] = []
        self._parts: dict[int, Text] = {}

    def add(self, *cells: str | Text) -> None:
        """One row, a cell for each column."""
        self._rows.append(cells)

    def begin(self, title: Text) -> None:
        """A title over the rows that follow; the first one stands in the place of the headings."""
        self._parts[len(self._rows)] = title

    def print(self) -> None:
        """Print it, as wide as the terminal."""
        from rich.text import Text

        target = console()
        widths = self._widths(target.width)
        if not self._parts:
            self._print_row([Text(name, style="bold") for name in self._columns], widths, target)
        for number, cells in enumerate(self._rows):
            if number in self._parts:
                target.print(self._parts[number], soft_wrap=True)
            self._print_row(cells, widths, target)

    def _print_row(self, cells: Sequence[str | Text], widths: Sequence[int | None], target: Console) -> None:
        from rich.text import Text

        line, rest, start = Text(), list[Text](), 0
        for position, (width, cell) in enumerate(zip(widths, cells, strict=True)):
            if width is None:
                continue
            text = cell.copy() if isinstance(cell, Text) else Text(cell)
            if self._folds and position == len(cells) - 1 and text.cell_len > width >= NARROWEST_FOLD:
                text, *rest = text.wrap(target, width)
                start = line.cell_len
            text.truncate(width, overflow="ellipsis", pad=True)
            line.append_text(text).append("  ")
        for each in [line, *(Text(" " * start).append_text(more) for more in rest)]:
            each.rstrip()
            target.print(each, soft_wrap=True)

    def _widths(self, available: int) -> list[int | None]:
        """Each column's width; None for those that are left out."""
        from rich.cells import cell_len

        headings = [] if self._parts else [self._columns]
        natural = {
            name: max(cell_len(str(row[index])) for row in [*headings, *self._rows])
            for index, name in enumerate(self._columns)
        }
        least = {name: width if name in self._whole else min(width, NARROWEST) for name, width in natural.items()}
        for name in self._optional:
            if sum(least.values()) + 2 * (len(least) - 1) > available:
                del least[name]
        widths = {name: natural[name] for name in least}
        # The widest gives way first, column by column; where all are at their least, the line runs over the edge.
        over = sum(widths.values()) + 2 * (len(widths) - 1) - available
        while over > 0 and (cut := [name for name in widths if widths[name] > least[name]]):
            widest = max(cut, key=lambda name: widths[name])
            widths[widest] -= 1
            over -= 1
        return [widths.get(name) for name in self._columns]


def folded(text: str, to: TextIO | None = None, *, indent: str = "") -> str:
    """A sentence for a terminal, folded between words; unchanged where nobody watches."""
    to = to or sys.stdout
    if not to.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return textwrap.fill(
        *(text, width),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
    )


def state_text(state: str) -> Text:
    """A state in its colour."""
    from rich.text import Text

    return Text(state, style=STATE_STYLES.get(state, ""))


def why_skipped(reason: str | None) -> str:
    """The reason of a step, for a row that says Skipped already."""
    return (reason or "").removeprefix("skipped: ")


def duration(seconds: float) -> str:
    """A length of time: two units at most."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller_size, smaller in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def relative(instant: datetime | None, now: datetime) -> str:
    """`in 14 m`, `14 h ago`; nothing where there is no instant."""
    if instant is None:
        return ""
    seconds = (instant - now).total_seconds()
    distance = abs(seconds)
    for size, unit in ((2 * 86_400, "d"), (3600, "h"), (60, "m")):
        if distance >= size:
            text = f"{int(distance // (86_400 if unit == 'd' else size))} {unit}"
            break
    else:
        text = f"{int(distance)} s"
    return f"in {text}" if seconds > 0 else f"{text} ago"


def stamp(instant: datetime) -> str:
    """An instant in local time: of the day alone where somebody watches, else with date and offset."""
    local = instant.astimezone()
    return local.strftime("%H:%M:%S.%f")[:-3] if sys.stdout.isatty() else local.isoformat(timespec="milliseconds")


def local_time(instant: datetime | None) -> str:
    """An instant of any day, in local time with its offset; nothing where there is no instant."""
    return instant.astimezone().isoformat(sep=" ", timespec="seconds") if instant else ""


def count(number: int, noun: str) -> str:
    """`1,200 rows`, `1 row`."""
    return f"{number:,} {noun if number != 1 else noun.removesuffix('s')}"
