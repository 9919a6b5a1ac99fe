"""Pages of runs: newest first, of all that fit a search.

What lies in the rows of runs is asked for at once: reading newest first, DuckDB stops when the page is full, and to
find one run in a million takes some 10 ms. Steps and log lines are many more, so a search that looks into them begins
with a span of the newest runs, which often fills the page; then steps are looked at all at once, and lines span by
span. Of those a page reads a bounded number only: it may come back with few runs or none, and says where to go on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nomaflow.engine.change import Row
from nomaflow.engine.rows import RUN_COLUMNS
from nomaflow.engine.store.conditions import Around, Condition, Span, all_of, condition, is_deep, one_of, reads_lines
from nomaflow.engine.store.connection import Reader
from nomaflow.history.search import Search

SPAN_RUNS = 4_000
"""How many of the newest runs are looked at first."""

LINES_A_PAGE = 500_000
"""How many log lines are read for one page, about: what takes 20 ms."""

_RUNS = f"SELECT {', '.join(RUN_COLUMNS)} FROM run"


@dataclass(frozen=True)
class Found:
    """Rows of runs in the order of `RUN_COLUMNS`, newest first; runs of numbers below `unread` were not looked at."""

    rows: list[Row]
    unread: int | None


@dataclass(frozen=True)
class _Asked:
    """The terms that rows of runs answer, those that steps and lines of a span answer, and how many runs to find."""

    of_runs: list[Condition]
    of_span: Callable[[Span], list[Condition]]
    wanted: int

    def within(self, span: Span) -> list[Condition]:
        """All of them."""
        return [*self.of_runs, *self.of_span(span)]


class Searching(Reader):
    """The searches of a store."""

    def search(
        self,
        search: Search,
        around: Around,
        *,
        jobs: Iterable[str] | None,
        without: Sequence[int],
        before: int | None,
        limit: int,
    ) -> Found:
        """A page of the runs that fit.

        Args:
            search: what they must be.
            around: what its terms mean beside what they say.
            jobs: only runs of these; None for all.
            without: never these runs.
            before: only runs with a lower number.
            limit: how many at most.
        """
        of_runs = [condition(term, around, Span()) for term in search.terms if not is_deep(term)]
        if jobs is not None:
            of_runs.append(one_of("job_id", jobs))
        deep = [term for term in search.terms if is_deep(term)]
        wanted = limit + len(without) + 1
        asked = _Asked(of_runs, lambda span: [condition(term, around, span) for term in deep], wanted)
        older, unread = Span() if before is None else Span(end=before), 0
        if not deep:
            numbers = self._newest(of_runs, older, wanted)
        elif not reads_lines(search):
            numbers = self._by_steps(asked, older)
        else:
            numbers, unread = self._by_lines(asked, older)
        kept = [number for number in numbers if number not in set(without)]
        if len(kept) > limit:
            kept, unread = kept[:limit], kept[limit - 1]
        return Found(self._rows(kept), unread or None)

    def _by_steps(self, asked: _Asked, older: Span) -> list[int]:
        """The runs that fit: among the newest ones, then among some more, then among all that are left."""
        numbers: list[int] = []
        if newest := self._newest(asked.of_runs, older, 1):
            older = Span(end=newest[0] + 1)
            width = self._width(older)
            for reach in (width, 8 * width, older.end):
                span = older.newest(reach)
                # What lies outside is ruled out by the run's own number.
                steps_of = span if span.first else Span()
                numbers += self._newest(asked.within(steps_of), span, asked.wanted - len(numbers))
                older = Span(end=span.first)
                if len(numbers) == asked.wanted or not span.first:
                    break
        return numbers

    def _by_lines(self, asked: _Asked, older: Span) -> tuple[list[int], int]:
        """The runs that fit, and below which number none was looked at; 0 for none."""
        numbers, lines, width = list[int](), 0, 0
        # Beyond the newest run that no other term rules out, there is nothing to read.
        while newest := self._newest(asked.of_runs, older, 1):
            older = Span(end=newest[0] + 1)
            span, read = self._readable(older, width or self._width(older), LINES_A_PAGE - lines)
            numbers += self._newest(asked.within(span), span, asked.wanted - len(numbers))
            if len(numbers) == asked.wanted:
                break
            lines += read
            if lines >= LINES_A_PAGE:
                return numbers, span.first
            width = math.ceil((span.end - span.first) * min(8, (LINES_A_PAGE - lines) / max(read, 1)))
            older = Span(end=span.first)
        return numbers, 0

    def _readable(self, older: Span, width: int, lines: int) -> tuple[Span, int]:
        """The newest span, at most so wide, with about so many log lines at most, and how many it has.

        One hour has a thousand times the lines of the hour before it.
        """
        at_most = max(lines, LINES_A_PAGE // 4)
        while (read := self._count_lines(span := older.newest(width))) > 2 * at_most and width > 1:
            width = max(width * at_most // read, 1)
        return span, read

    def _width(self, older: Span) -> int:
        """How far back the span reaches that is looked at first."""
        oldest = self._newest([], older, 1, offset=SPAN_RUNS - 1)
        return older.end - oldest[0] if oldest else older.end

    def _newest(self, fits: list[Condition], span: Span, limit: int, *, offset: int = 0) -> list[int]:
        where = all_of([*span.holds("id"), *fits])
        sql = f"SELECT id FROM run WHERE {where.sql} ORDER BY id DESC LIMIT ? OFFSET ?"
        return [number for (number,) in self._all(sql, [*where.values, limit, offset])]

    def _rows(self, numbers: list[int]) -> list[Row]:
        if not numbers:
            return []
        # Whole rows are read last: DuckDB would read all columns of what it looks through.
        places = ", ".join("?" * len(numbers))
        return self._all(f"{_RUNS} WHERE id IN ({places}) ORDER BY id DESC", numbers)

    def _count_lines(self, span: Span) -> int:
        where = all_of(span.holds("run_id"))
        number: int = self._one(f"SELECT count(*) FROM log_line WHERE {where.sql}", where.values)[0]
        return number
