"""One-time sign-in links: a code that becomes a session once, within ten minutes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from nomaflow.access.sessions import digest
from nomaflow.errors import NotSignedInError

LIFETIME = timedelta(minutes=10)
MAX_OPEN = 1000


@dataclass(frozen=True)
class LinkCode:
    """A code as its owner is told it, once."""

    code: str
    account: str
    expires_at: datetime


class LinkCodes:
    """The codes that were given out and not used. They live in memory only: a restart voids them."""

    def __init__(self, *, now: Callable[[], datetime], token: Callable[[], str]) -> None:
        self._now, self._token = now, token
        self._open: dict[str, LinkCode] = {}

    def mint(self, account: str) -> LinkCode:
        """A new code for the account."""
        self._open = {key: link for key, link in self._open.items() if link.expires_at > self._now()}
        while len(self._open) >= MAX_OPEN:
            del self._open[next(iter(self._open))]
        link = LinkCode(code=self._token(), account=account, expires_at=self._now() + LIFETIME)
        self._open[digest(link.code)] = link
        return link

    def redeem(self, code: str) -> str:
        """The code's account; the code is used up.

        Raises:
            NotSignedInError: unknown, used or too old.
        """
        link = self._open.pop(digest(code), None)
        if link is None or link.expires_at <= self._now():
            raise NotSignedInError("this sign-in link was used already or is older than 10 minutes; ask for a new one")
        return link.account
