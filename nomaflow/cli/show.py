"""How things look: times as one says them, states in their colour, tables that keep ids whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

STATE_STYLES = {
    "QUEUED": "yellow",
    "RUNNING": "blue",
    "CANCELING": "magenta",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "CANCELED": "bright_black",
    "PENDING": "bright_black",
    "Skipped": "bright_black",
}

# A log line or a server's message may hold escape sequences that clear the screen or retitle the window.
_HIDDEN = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_SHOWN = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _HIDDEN if code != 0x09}


def shown(text: str) -> str:
    """Text with its control characters made visible; no line ends in it either."""
    return text.translate(_SHOWN)


def console() -> Console:
    """Where tables go; as wide as the terminal, 80 columns elsewhere."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def table(*columns: str, whole: Sequence[str] = ()) -> Table:
    """An empty table. The columns in `whole` are never cut and never broken; others give way to them."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for name in columns:
        made.add_column(name, no_wrap=name in whole, overflow="fold")
    return made


def print_table(made: Table, whole: dict[str, int]) -> None:
    """Print it.

    Args:
        made: the table.
        whole: the columns that are never cut, with the longest text in each.
    """
    for column in made.columns:
        if (longest := whole.get(str(column.header))) is not None:
            column.min_width = max(longest, len(str(column.header)))
    target = console()
    # Narrower than its ids, a table runs over the edge rather than cut them.
    needed = sum(column.min_width or 8 for column in made.columns) + len(made.columns)
    target.width = max(target.width, needed)
    target.print(made)


def state_text(state: str) -> Text:
    """A state in its colour."""
    from rich.text import Text

    return Text(state, style=STATE_STYLES.get(state, ""))


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


def count(number: int, noun: str) -> str:
    """`1,200 rows`, `1 row`."""
    return f"{number:,} {noun if number != 1 else noun.removesuffix('s')}"
