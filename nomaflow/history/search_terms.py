"""What a search is made of: terms that must all hold, each as it was written and as it is meant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

NameKey = Literal["job", "tag", "step", "failed", "skipped", "schedule", "by"]
RunKey = Literal["run", "replay", "parent"]
BoundKey = Literal["since", "until"]
MeasureKey = Literal["dur", "late", "rows"]
FlagKey = Literal["enabled", "problem"]
Order = Literal["<", "<=", ">", ">="]


@dataclass(frozen=True)
class Value:
    """A text to look for. Case never matters; outside quotes `*` stands for any text."""

    text: str
    is_quoted: bool = False

    def __str__(self) -> str:
        if not self.is_quoted:
            return self.text
        return '"' + self.text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The text between the stars, in small letters; a single piece has none."""
        text = self.text.lower()
        return (text,) if self.is_quoted else tuple(text.split("*"))

    def is_all_of(self, text: str | None) -> bool:
        """Whether it is the whole text."""
        if text is None:
            return False
        text = text.lower()
        first, *more = self.pieces
        if not more:
            return text == first
        *middle, last = more
        if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
            return False
        return _follow_each_other(middle, text[len(first) : len(text) - len(last)])

    def is_in(self, text: str | None) -> bool:
        """Whether some part of the text is it."""
        return text is not None and _follow_each_other(self.pieces, text.lower())


def _follow_each_other(pieces: tuple[str, ...] | list[str], text: str) -> bool:
    """Whether the pieces stand in the text one after the other. The first place for each is as good as any."""
    start = 0
    for piece in pieces:
        found = text.find(piece, start)
        if found < 0:
            return False
        start = found + len(piece)
    return True


@dataclass(frozen=True)
class Names:
    """`job:a,b*`: one of these names."""

    key: NameKey
    values: tuple[Value, ...]
    is_negated: bool = False

    def __str__(self) -> str:
        return f"{self.key}:{_joined(self.values)}"


@dataclass(frozen=True)
class Runs:
    """`run:4XQ2`: a run, by its id or the end of it. `replay:*` is any replay: `digits` has an empty text for it."""

    key: RunKey
    values: tuple[Value, ...]
    digits: tuple[str, ...]
    is_negated: bool = False

    def __str__(self) -> str:
        return f"{self.key}:{_joined(self.values)}"


@dataclass(frozen=True)
class States:
    """`state:failed,canceled`. `states` are the stored names; for jobs also NEVER, for those without a run."""

    values: tuple[Value, ...]
    states: frozenset[str]
    is_negated: bool = False

    def __str__(self) -> str:
        return f"state:{_joined(self.values)}"


@dataclass(frozen=True)
class Bound:
    """`since:7d`, `until:2026-11-01`: queued from this instant on, or before it."""

    key: BoundKey
    value: Value
    instant: datetime
    is_negated: bool = False

    def __str__(self) -> str:
        return f"{self.key}:{self.value}"


@dataclass(frozen=True)
class Measure:
    """`dur>5m`, `rows<=1000`: `amount` is in seconds for `dur` and `late`."""

    key: MeasureKey
    order: Order
    value: Value
    amount: float
    is_negated: bool = False

    def __str__(self) -> str:
        return f"{self.key}{self.order}{self.value}"

    def holds(self, amount: float | None) -> bool:
        """Whether the amount is on the right side; one that is not known never is."""
        if amount is None:
            return False
        if self.order.startswith("<"):
            return amount < self.amount or (self.order == "<=" and amount == self.amount)
        return amount > self.amount or (self.order == ">=" and amount == self.amount)


@dataclass(frozen=True)
class Param:
    """`apps_id=10,20`: some step ran with one of these values; `!=`: with the parameter, and none of these values.

    `is_marked`: written `param.apps_id`, as a name must be that is also a key.
    """

    name: str
    values: tuple[Value, ...]
    is_other: bool = False
    is_marked: bool = False
    is_negated: bool = False

    def __str__(self) -> str:
        return f"{'param.' if self.is_marked else ''}{self.name}{'!=' if self.is_other else '='}{_joined(self.values)}"


@dataclass(frozen=True)
class Text:
    """`text:"no space"`, or with `is_word` a word without a key."""

    values: tuple[Value, ...]
    is_word: bool = False
    is_negated: bool = False

    def __str__(self) -> str:
        return _joined(self.values) if self.is_word else f"text:{_joined(self.values)}"


@dataclass(frozen=True)
class Flag:
    """`enabled:yes`, `problem:no`: something that a job is or is not."""

    key: FlagKey
    value: Value
    is_on: bool
    is_negated: bool = False

    def __str__(self) -> str:
        return f"{self.key}:{self.value}"


type Term = Names | Runs | States | Bound | Measure | Param | Text | Flag


@dataclass(frozen=True)
class Search:
    """All terms hold for what is found; without terms that is everything. As text, it can be parsed again."""

    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        return " ".join(f"-{term}" if term.is_negated else str(term) for term in self.terms)


def _joined(values: tuple[Value, ...]) -> str:
    return ",".join(map(str, values))
