"""Pages of runs: newest first, of all that fit a search.

What stands in the rows of runs is asked for at once: to find one run in a million takes some 10 ms. Log lines are many
more, so a search that looks into them reads those of the newest runs, a bounded number a page: the page may come back
with few runs or none, and says where to go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nomaflow.engine.change import Row
from nomaflow.engine.store.conditions import Around, Condition, Span, all_of, condition, is_of_lines, one_of
from nomaflow.engine.store.connection import Reader
from nomaflow.engine.store.reading import LISTED_RUNS
from nomaflow.history.search import Search

RECENT_RUNS = 60_000
"""How many of the newest runs are asked first, about.

DuckDB reads some hundred thousand rows from the oldest to the newest, and sorts what fits: the less it reads of them at
once, the less is sorted in vain. Where conditions look at more than one column, it reads all that there are.
"""

LINES_A_PAGE = 150_000
"""How many log lines are read for one page, about: what takes some 6 ms."""

_BESIDE = 2048
"""So many rows are looked at for the one where a span begins: some may be deleted, or not quite in order."""

_GROWTH = 16
"""By how much a span of runs is made longer at once until it has so many lines.

Counting lines takes a twentieth of the time that it takes to look for text in them.
"""


@dataclass(frozen=True)
class Found:
    """Rows of runs, newest first, in the order of `RUN_COLUMNS`, without the values of those that are `NOT_LISTED`.

    Runs of numbers below `unread` were not looked at.
    """

    rows: list[Row]
    unread: int | None


@dataclass(frozen=True)
class _Place:
    """A run and where its row lies now: by that DuckDB goes to single rows, by their number through the table."""

    number: int
    row: int


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
        fits = [condition(term, around, Span()) for term in search.terms if not is_of_lines(term)]
        if jobs is not None:
            fits.append(one_of("job_id", jobs))
        of_lines = [term for term in search.terms if is_of_lines(term)]
        span, unread = Span() if before is None else Span(end=before), 0
        if of_lines:
            # Beyond the newest run that no other term rules out, there is nothing to read.
            newest = self._newest(fits, span, 1)
            if not newest:
                return Found([], None)
            span = self._span(newest[0].number + 1, LINES_A_PAGE // sum(len(term.values) for term in of_lines))
            fits += [condition(term, around, span) for term in of_lines]
            unread = span.first
        places = self._newest(fits, span, limit + len(without) + 1)
        kept = [place for place in places if place.number not in set(without)]
        if len(kept) > limit:
            kept, unread = kept[:limit], kept[limit - 1].number
        return Found(self._rows(kept), unread or None)

    def _span(self, end: int, lines: int) -> Span:
        """The newest runs below a number that have about so many lines: half to twice as many, if it can be.

        It is found by counting, as one hour may have a thousand times the lines of the hour before it.
        """
        count = self._one("SELECT count(*) FROM log_line")[0]
        if count <= lines:
            return Span(end=end)
        # The least number of all lines would take a look at all of them, where some are not checkpointed yet.
        first = self._one(f"SELECT min(run_id) FROM (SELECT run_id FROM log_line LIMIT {_BESIDE})")[0]
        last = self._one("SELECT max(id) FROM run")[0] or end
        width, may_grow = max((last - first) * lines // count, 1), True
        while True:
            span = Span(max(0, end - width), end)
            read = self._count_lines(span)
            if read > 2 * lines and width > 1:
                width, may_grow = max(width * lines // read, 1), False
            elif read < lines // 2 and may_grow and span.first > first:
                width *= min(lines // max(read, 1), _GROWTH)
            else:
                return span if span.first > first else Span(end=end)

    def _newest(self, fits: list[Condition], span: Span, limit: int) -> list[_Place]:
        if not span.first:
            recent = self._recent(span.end, RECENT_RUNS if fits else 10 * limit)
            places = self._places(fits, recent, limit)
            if len(places) == limit or not recent.first:
                return places
        return self._places(fits, span, limit)

    def _recent(self, end: int, runs: int) -> Span:
        """The newest runs below a number, about so many; rows lie in the order in which runs were made."""
        below = all_of(Span(end=end).holds("id"))
        newest = self._one(f"SELECT max(rowid) FROM run WHERE {below.sql}", below.values)[0]
        if newest is None or newest < runs:
            return Span(end=end)
        there = [newest - runs, newest - runs + _BESIDE]
        return Span(self._one("SELECT min(id) FROM run WHERE rowid BETWEEN ? AND ?", there)[0] or 0, end)

    def _places(self, fits: list[Condition], span: Span, limit: int) -> list[_Place]:
        where = all_of([*span.holds("id"), *fits])
        sql = f"SELECT id, rowid FROM run WHERE {where.sql} ORDER BY id DESC LIMIT ?"
        return [_Place(number, row) for number, row in self._all(sql, [*where.values, limit])]

    def _rows(self, places: list[_Place]) -> list[Row]:
        if not places:
            return []
        # Whole rows are read last: DuckDB would read all columns of what it looks through.
        numbers = [place.number for place in places]
        chosen = "rowid IN (SELECT unnest(?::BIGINT[]))"
        rows = self._all(f"{LISTED_RUNS} WHERE {chosen} ORDER BY id DESC", [[place.row for place in places]])
        if [row[0] for row in rows] == numbers:
            return rows
        # A checkpoint has moved rows meanwhile, to where others were deleted.
        return self._all(f"{LISTED_RUNS} WHERE id IN (SELECT unnest(?::BIGINT[])) ORDER BY id DESC", [numbers])

    def _count_lines(self, span: Span) -> int:
        where = all_of(span.holds("run_id"))
        number: int = self._one(f"SELECT count(*) FROM log_line WHERE {where.sql}", where.values)[0]
        return number
