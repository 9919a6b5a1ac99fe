"""Sessions: opaque random tokens of which only a hash is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nomaflow.access.roles import Surface

SESSION_PREFIX = "nfs_"
"""So that a scanner for leaked secrets knows one when it sees it."""

LIFETIME = timedelta(hours=12)


@dataclass(frozen=True)
class SessionRecord:
    """One sign-in.

    `credential` is a fingerprint of what the account signed in with; when that changes, the session is over.
    """

    token_hash: str
    account: str
    surface: Surface
    credential: str
    created_at: datetime
    expires_at: datetime


class SessionStore(Protocol):
    """Where sessions outlive a restart of the engine. Each call has happened, durably, when it returns."""

    async def add_session(self, session: SessionRecord) -> None:
        """Keep one more."""

    async def revoke_sessions(self, token_hashes: Collection[str]) -> None:
        """Drop these; unknown ones are passed over."""

    async def all_sessions(self) -> list[SessionRecord]:
        """Every session that is kept, the expired ones too."""


def digest(secret: str) -> str:
    """The SHA-256 of a token or another secret of high entropy, in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()
