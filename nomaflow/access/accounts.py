"""Who may do what: the one object that knows accounts, tokens and grants."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from nomaflow.access import roles
from nomaflow.access.links import LinkCode, LinkCodes
from nomaflow.access.passwords import fits
from nomaflow.access.roles import Identity, Surface
from nomaflow.access.sessions import LIFETIME, SESSION_PREFIX, SessionRecord, SessionStore, digest
from nomaflow.access.throttle import Throttle
from nomaflow.definitions.settings import Account, RoleName, Settings
from nomaflow.errors import InvalidError, NotAllowedError, NotSignedInError

if TYPE_CHECKING:
    from nomaflow.engine.model import Actor
    from nomaflow.seams import Seams

ADMIN = "admin"
"""The built-in account behind the admin token. `[accounts.admin]` may give it a password and nothing else."""

TRIES, PERIOD_SECONDS = 5, 60.0


class Access:
    """Answers who a token belongs to and what that account may do; signs people in and out.

    It is the engine's `Policy` too. Accounts are looked up at each question, so what a reload changed holds at once,
    for requests and for streams that are open.

    Args:
        settings: the home's accounts.
        admin_token: from `ensure_admin_token`.
        sessions: where sessions are kept; call `load` once before serving.
        seams: clock and randomness.

    Raises:
        InvalidError: the settings give the built-in account another role.
    """

    def __init__(self, settings: Settings, *, admin_token: str, sessions: SessionStore, seams: Seams) -> None:
        self._accounts = _accounts(settings)
        self._admin_token = digest(admin_token)
        self._store, self._seams = sessions, seams
        self._sessions: dict[str, SessionRecord] = {}
        self._links = LinkCodes(now=seams.now, token=seams.token)
        self._throttle = Throttle(tries=TRIES, period_seconds=PERIOD_SECONDS, monotonic=seams.monotonic)

    async def load(self) -> None:
        """Take up the sessions of earlier engines, and drop the ones that are over."""
        self._sessions = {session.token_hash: session for session in await self._store.all_sessions()}
        await self._drop_dead()

    async def replace_settings(self, settings: Settings) -> None:
        """Take over the accounts of a reload; sessions of accounts that are gone or have a new password end.

        Raises:
            InvalidError: the settings give the built-in account another role; nothing was changed.
        """
        self._accounts = _accounts(settings)
        await self._drop_dead()

    # Questions.

    def authenticate(self, token: str, surface: Surface | None = None) -> Identity:
        """Who the token belongs to.

        Args:
            token: as it stands after `Bearer`.
            surface: what the request says that it comes from; else the session's own, else `api`. A session that the
                Slack bot opened stays on `slack`, and no other can get there.

        Raises:
            NotSignedInError: unknown, expired or revoked.
            NotAllowedError: the request says `slack`, and its token is not the bot's.
        """
        token_hash = digest(token)
        session = self._sessions.get(token_hash)
        if hmac.compare_digest(token_hash, self._admin_token):
            identity = Identity(ADMIN, surface or "api")
        elif session is not None and self._lives(session):
            identity = Identity(session.account, surface or session.surface, token_hash, session.expires_at)
        else:
            raise NotSignedInError("this token is unknown, expired or revoked; sign in again")
        if session is not None and session.surface == "slack":
            return replace(identity, surface="slack")
        if identity.surface == "slack":
            raise NotAllowedError("only sessions that the Slack bot opened act for the surface slack")
        return identity

    def is_current(self, identity: Identity) -> bool:
        """Whether the token of an earlier request would still be let in."""
        if identity.session is None:
            return True
        session = self._sessions.get(identity.session)
        return session is not None and self._lives(session)

    def account(self, name: str) -> Account:
        """The account's role and grants; one that is gone has none."""
        return self._accounts.get(name) or Account()

    def allows(self, identity: Identity, role: RoleName, job_id: str | None = None, tags: Iterable[str] = ()) -> bool:
        """Whether the person holds the role for the job, or everywhere where no job is named."""
        return roles.allows(self.account(identity.account), role, job_id, tags)

    def allows_somewhere(self, identity: Identity, role: RoleName) -> bool:
        """Whether the person holds the role for any job there may be."""
        account = self.account(identity.account)
        return roles.reaches(account.role, role) or any(
            roles.reaches(grant.role, role) and (grant.jobs or grant.tags) for grant in account.grants
        )

    def may_use_connector(self, actor: Actor, connector: str) -> bool:
        """Whether runs that this person starts may open the connector. Cron fires may do what the saved job says."""
        return actor.surface == "cron" or roles.opens_connector(self.account(actor.account), connector)

    def is_admin(self, actor: Actor) -> bool:
        """Whether this person is an admin."""
        return roles.reaches(self.account(actor.account).role, "admin")

    def may_run_job(self, actor: Actor, job_id: str, tags: list[str]) -> bool:
        """Whether this person may run the job. Cron fires may do what the saved job says."""
        return actor.surface == "cron" or roles.allows(self.account(actor.account), "operator", job_id, tags)

    def may_run_shell(self, actor: Actor, job_id: str, tags: list[str]) -> bool:
        """Whether this person may start shell steps of the job. Cron fires may do what the saved job says."""
        return actor.surface == "cron" or roles.runs_shell(self.account(actor.account), job_id, tags)

    # Signing in and out.

    async def sign_in(
        self, account: str, password: str, *, address: str, surface: Surface
    ) -> tuple[str, SessionRecord]:
        """A new session by password: its token, which nobody can ask for again, and what is kept of it.

        An unknown account and a wrong password cost the same time and say the same.

        Raises:
            NotSignedInError: they do not fit.
            ThrottledError: more than five tries a minute for the account or from the address.
        """
        keys = f"account {account}", f"address {address}"
        self._throttle.take(*keys)
        known = self._accounts.get(account)
        if not await fits(password, known.password_hash if known else None):
            raise NotSignedInError("the account or the password is wrong")
        self._throttle.give_back(*keys)
        return await self.open_session(account, surface)

    async def redeem(self, code: str, *, surface: Surface) -> tuple[str, SessionRecord]:
        """A new session by the code of a one-time link, which is used up.

        Raises:
            NotSignedInError: the code is unknown, used or too old, or its account is gone.
        """
        return await self.open_session(self._links.redeem(code), surface)

    def mint_link(self, identity: Identity) -> LinkCode:
        """A one-time code with which the same person can sign in elsewhere."""
        return self._links.mint(identity.account)

    async def open_session(self, account: str, surface: Surface) -> tuple[str, SessionRecord]:
        """A new session for an account whose sign-in was checked.

        Raises:
            NotSignedInError: there is no such account any more.
        """
        if account not in self._accounts:
            raise NotSignedInError(f"there is no account {account}")
        token = SESSION_PREFIX + self._seams.token()
        now = self._seams.now()
        session = SessionRecord(digest(token), account, surface, self._credential(account), now, now + LIFETIME)
        await self._store.add_session(session)
        self._sessions[session.token_hash] = session
        await self._drop_dead()
        return token, session

    async def sign_out(self, identity: Identity) -> None:
        """End the session of the request.

        Raises:
            InvalidError: the request came with the admin token.
        """
        if identity.session is None:
            raise InvalidError("the admin token is no session; to end it, delete its file and restart the engine")
        self._sessions.pop(identity.session, None)
        await self._store.revoke_sessions([identity.session])

    def _lives(self, session: SessionRecord) -> bool:
        return (
            session.expires_at > self._seams.now()
            and session.account in self._accounts
            and session.credential == self._credential(session.account)
        )

    async def _drop_dead(self) -> None:
        dead = [session.token_hash for session in self._sessions.values() if not self._lives(session)]
        for token_hash in dead:
            del self._sessions[token_hash]
        if dead:
            await self._store.revoke_sessions(dead)

    def _credential(self, account: str) -> str:
        # A new admin token ends the sessions that the old one opened, as a new password does.
        behind = self._admin_token if account == ADMIN else ""
        return digest(f"{behind} {self._accounts[account].password_hash or ''}")


def _accounts(settings: Settings) -> dict[str, Account]:
    own = settings.accounts.get(ADMIN) or Account()
    if own.role not in (None, "admin") or own.grants:
        raise InvalidError(
            f"accounts.{ADMIN} is the built-in administrator: give it a password_hash only, and other people accounts "
            "of their own"
        )
    return {**settings.accounts, ADMIN: own.model_copy(update={"role": "admin"})}
