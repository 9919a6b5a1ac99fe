"""Sessions in the run store, so that a restart of the engine signs nobody out."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

import trio

from nomaflow.access.roles import Surface
from nomaflow.access.sessions import SessionRecord
from nomaflow.engine.change import Change, SessionRow
from nomaflow.engine.recorder import Recorder
from nomaflow.engine.store import Store


class StoredSessions:
    """A `SessionStore` whose changes go through the recorder, as every change of the store does."""

    def __init__(self, recorder: Recorder, store: Store) -> None:
        self._recorder, self._store = recorder, store

    async def add_session(self, session: SessionRecord) -> None:
        """Keep one more."""
        row = SessionRow(
            session.token_hash,
            session.account,
            session.surface,
            session.credential,
            session.created_at,
            session.expires_at,
        )
        await self._recorder.record(Change(sessions=[row]))

    async def revoke_sessions(self, token_hashes: Collection[str]) -> None:
        """Drop these."""
        await self._recorder.record(Change(revoked=list(token_hashes)))

    async def all_sessions(self) -> list[SessionRecord]:
        """Every session that is kept."""
        rows = await trio.to_thread.run_sync(self._store.sessions)
        return [
            SessionRecord(
                row.token_hash,
                row.account,
                cast("Surface", row.surface),
                row.credential,
                row.created_at,
                row.expires_at,
            )
            for row in rows
        ]
