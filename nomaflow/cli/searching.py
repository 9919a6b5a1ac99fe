"""Searches as they are typed in a shell: a leading minus, where an error points, and what to try when nothing fits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nomaflow.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from nomaflow.client import Client

SEARCHES = ("runs", "jobs")

# `-tag:etl` and `-apps_id=10`; an option has two dashes, or is a single letter.
_TERM_LEFT_OUT = re.compile(r"-\w[\w.-]*\s*(?::|=|!=|<|>)")

_BLANKS = dict.fromkeys(range(0x20), " ")


def with_terms_last(argv: Sequence[str]) -> list[str]:
    """The command line with `-tag:etl` behind `--`, so that it is not taken for options."""
    if not argv or argv[0] not in SEARCHES or "--" in argv:
        return list(argv)
    terms = [argument for argument in argv if _TERM_LEFT_OUT.match(argument)]
    return [*(argument for argument in argv if argument not in terms), "--", *terms] if terms else list(argv)


def query_of(words: Sequence[str] | None) -> str | None:
    """What was typed, as one search."""
    return " ".join(words) if words else None


@contextmanager
def pointing(query: str | None) -> Iterator[None]:
    """An error of the search shows the search, and points at the character."""
    from rich.cells import cell_len

    try:
        yield
    except InvalidError as error:
        position = next((detail["position"] for detail in error.details if "position" in detail), None)
        if query is None or position is None:
            raise
        query = query.translate(_BLANKS)
        caret = " " * cell_len(query[: position - 1]) + "^"
        raise InvalidError(error.message, details=[{"message": query}, {"message": caret}]) from None


def check_jobs_named(client: Client, query: str) -> None:
    """Complain of a job that there is not, where a search finds nothing.

    Raises:
        NotFoundError: names the job, and the nearest one that there is.
    """
    from nomaflow.definitions.problems import near_miss
    from nomaflow.history.search import parse
    from nomaflow.history.search_terms import Names
    from nomaflow.seams import utc_now

    named = [
        value.text
        for term in parse(query, now=utc_now(), timezone="UTC").terms
        if isinstance(term, Names) and term.key == "job" and not term.is_negated
        for value in term.values
        if len(value.pieces) == 1
    ]
    known = [card.id for card in client.jobs()] if named else []
    for name in named:
        if name.lower() not in known:
            hint = near_miss(name, known) or "; `job:*part*` finds those whose id has that part"
            raise NotFoundError(f"there is no job {name!r}{hint}")
