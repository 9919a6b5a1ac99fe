"""The deletion guard: an answer that is suspiciously small deletes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from nomaflow.steps.ldap_sync.errors import DeletionGuardError


@dataclass(frozen=True)
class Guard:
    """How many rows one synchronization may delete at most; both limits hold."""

    max_rows: int
    max_percent: float

    def check(self, *, entries: int, rows: int, gone: int, table: str) -> None:
        """Refuse a deletion that is not plausible.

        Args:
            entries: how many entries the directory gave.
            rows: how many rows the target has that are not marked as deleted.
            gone: how many of them have no entry any more.
            table: the target, for the message.

        Raises:
            DeletionGuardError: names the numbers and the options.
        """
        if gone == 0:
            return
        if entries == 0:
            raise DeletionGuardError(
                f"The directory gave no entry at all, and {table} has {rows} rows; nothing was deleted. "
                "Check search_base, search_filter and what bind_dn may read"
            )
        if gone > self.max_rows or gone * 100 > self.max_percent * rows:
            raise DeletionGuardError(
                f"{gone} of the {rows} rows of {table} have no entry any more, and at most {self.max_rows} rows "
                f"(max_deletions) and {self.max_percent:g} % (max_deletion_percent) may be deleted at once; "
                "nothing was changed. If the directory is right, raise both for one run"
            )
