"""Pages of runs: newest first, of all that fit a search.

What lies in the rows of runs is asked for at once: reading newest first, DuckDB stops when the page is full, and to
find one run in a million takes some 10 ms. Steps and log lines are many more, so a search that looks into them goes
span by span, from the newest runs back, until the page is full. Of logs, a page reads a bounded number of lines only:
it may come back with few runs or none, and says where to go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nomaflow.engine.change import Row
from nomaflow.engine.rows import RUN_COLUMNS
from nomaflow.engine.store.conditions import Around, Condition, Span, all_of, condition, is_deep, one_of, reads_lines
from nomaflow.engine.store.connection import Reader
from nomaflow.history.search import Search

SPAN_RUNS = 4_000
"""How many runs the first span has; each following one has eight times as many, and the last one all that are left."""

MAX_SPAN_RUNS = 32_000

LINES_A_PAGE = 2_000_000
"""How many log lines are read for one page, about; 40 ms."""

_END = 2**63 - 1
_RUNS = f"SELECT {', '.join(RUN_COLUMNS)} FROM run"


@dataclass(frozen=True)
class Found:
    """Rows of runs in the order of `RUN_COLUMNS`, newest first; runs of numbers below `unread` were not looked at."""

    rows: list[Row]
    unread: int | None


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
        shallow = [condition(term, around, _ALL) for term in search.terms if not is_deep(term)]
        if jobs is not None:
            shallow.append(one_of("job_id", jobs))
        deep = [term for term in search.terms if is_deep(term)]
        end, left_out, wanted = _END if before is None else before, set(without), limit + len(without)
        if not deep:
            numbers = self._newest(shallow, Span(0, end), wanted + 1)
            return self._page(numbers, left_out, limit, unread=0)
        numbers, lines, size = [], 0, SPAN_RUNS
        while (span := self._span(shallow, end, size, is_bounded=reads_lines(search))) is not None:
            fits = [*shallow, *(condition(term, around, span) for term in deep)]
            numbers += self._newest(fits, span, wanted + 1 - len(numbers))
            end, size = span.first, size * 8
            if len(numbers) > wanted:
                break
            if reads_lines(search):
                lines += self._count_lines(span)
                if lines >= LINES_A_PAGE:
                    return self._page(numbers, left_out, limit, unread=end)
        return self._page(numbers, left_out, limit, unread=0)

    def _page(self, numbers: list[int], left_out: set[int], limit: int, *, unread: int) -> Found:
        kept = [number for number in numbers if number not in left_out]
        if len(kept) > limit:
            kept, unread = kept[:limit], kept[limit - 1]
        if not kept:
            return Found([], unread or None)
        # In a list that is bound as one, DuckDB looks for each run by itself.
        places = ", ".join("?" * len(kept))
        return Found(self._all(f"{_RUNS} WHERE id IN ({places}) ORDER BY id DESC", kept), unread or None)

    def _span(self, shallow: list[Condition], end: int, size: int, *, is_bounded: bool) -> Span | None:
        """The next runs to look at, from the newest one on that may fit; None where there is none."""
        newest = self._newest(shallow, Span(0, end), 1)
        if not newest:
            return None
        end = newest[0] + 1
        if size > MAX_SPAN_RUNS and not is_bounded:
            return Span(0, end)
        oldest = self._newest([], Span(0, end), 1, offset=min(size, MAX_SPAN_RUNS) - 1)
        return Span(oldest[0] if oldest else 0, end)

    def _newest(self, fits: list[Condition], span: Span, limit: int, *, offset: int = 0) -> list[int]:
        where = all_of([*_within("id", span), *fits])
        sql = f"SELECT id FROM run WHERE {where.sql} ORDER BY id DESC LIMIT ? OFFSET ?"
        return [number for (number,) in self._all(sql, [*where.values, limit, offset])]

    def _count_lines(self, span: Span) -> int:
        where = all_of(_within("run_id", span))
        number: int = self._one(f"SELECT count(*) FROM log_line WHERE {where.sql}", where.values)[0]
        return number


_ALL = Span(0, _END)


def _within(column: str, span: Span) -> list[Condition]:
    bounds = [Condition(f"{column} < ?", (span.end,))] if span.end < _END else []
    if span.first > 0:
        bounds.append(Condition(f"{column} >= ?", (span.first,)))
    return bounds
