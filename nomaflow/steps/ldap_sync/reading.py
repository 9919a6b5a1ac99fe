"""The entries of one answer as rows, each entry once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Protocol

from nomaflow.definitions.ldap_text import normalized_dn
from nomaflow.steps.ldap_sync.directory import Search
from nomaflow.steps.ldap_sync.errors import SyncError
from nomaflow.steps.ldap_sync.mapping import Entry, Field, value_of
from nomaflow.worker.context import Row, StepContext

NAMED = 5
"""How many entries an error names."""


class Pages(Protocol):
    """Where entries come from; a `Directory` is one."""

    def pages(self, search: Search) -> Generator[list[Entry], None, None]:
        """All entries, page by page."""


@dataclass(frozen=True)
class Reading:
    """One search and what is made of its entries."""

    ctx: StepContext
    source: Pages
    search: Search
    fields: Sequence[Field]
    separator: str

    def of(self, fields: Sequence[Field]) -> Reading:
        """The same with other fields."""
        return replace(self, fields=fields)

    def rows(self, finished: Callable[[Entry, list[Any]], Row]) -> Generator[list[Row], None, None]:
        """The rows, page by page; `finished` makes one of the values of an entry.

        Raises:
            DirectoryError: the answer is not whole.
            SyncError: an entry came twice.
            StepCanceled: the step is asked to stop.
        """
        seen: set[str] = set()
        with closing(self.source.pages(self.search)) as pages:
            for number, entries in enumerate(pages, 1):
                self.ctx.checkpoint()
                rows = []
                for entry in entries:
                    # The directory changes while it is read: one that was renamed to and fro can come twice.
                    if (dn := normalized_dn(entry.dn)) in seen:
                        raise SyncError(f"The directory gave {entry.dn!r} twice; run the step again")
                    seen.add(dn)
                    values = [value_of(field, entry, self.separator) for field in self.fields]
                    rows.append(finished(entry, values))
                self.ctx.log.info("page %d: %d entries, %d so far", number, len(rows), len(seen))
                self.ctx.progress(len(seen), None, unit="entries")
                if rows:
                    yield rows


def some(texts: Sequence[str]) -> str:
    """The first ones, and how many more there are."""
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return "; ".join(texts[:NAMED]) + more
