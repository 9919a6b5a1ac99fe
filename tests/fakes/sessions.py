"""Sessions without a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from nomaflow.access.sessions import SessionRecord


class SessionsInMemory:
    """Sessions that end with the process."""

    def __init__(self) -> None:
        self.kept: dict[str, SessionRecord] = {}

    async def add_session(self, session: SessionRecord) -> None:
        """Keep one more."""
        self.kept[session.token_hash] = session

    async def revoke_sessions(self, token_hashes: Collection[str]) -> None:
        """Drop these."""
        for token_hash in token_hashes:
            self.kept.pop(token_hash, None)

    async def all_sessions(self) -> list[SessionRecord]:
        """Every session."""
        return list(self.kept.values())
