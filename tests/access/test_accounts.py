"""Tokens, sessions, signing in and out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from nomaflow.access.accounts import Access
from nomaflow.access.passwords import fits, hash_password
from nomaflow.access.sessions import LIFETIME
from nomaflow.access.throttle import ThrottledError
from nomaflow.definitions.settings import Account, Grant, Settings
from nomaflow.engine.model import Actor
from nomaflow.errors import InvalidError, NotAllowedError, NotSignedInError
from nomaflow.seams import Seams
from tests.fakes.sessions import SessionsInMemory

ADMIN_TOKEN = "nfa_" + "a" * 43
PASSWORD = "correct horse battery"
HASH = hash_password(PASSWORD)
ANA = Account(role="operator", password_hash=HASH)


@dataclass
class Home:
    """An access object whose clock the test sets on."""

    seconds: float = 0.0
    store: SessionsInMemory = field(default_factory=SessionsInMemory)
    accounts: dict[str, Account] = field(default_factory=lambda: {"ana": ANA})

    def __post_init__(self) -> None:
        self.access = self.new_access()

    def new_access(self, admin_token: str = ADMIN_TOKEN) -> Access:
        """As after a restart of the engine."""
        seams = Seams(now=lambda: datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=self.seconds))
        seams.monotonic = lambda: self.seconds
        settings = Settings(accounts=self.accounts)
        return Access(settings, admin_token=admin_token, sessions=self.store, seams=seams)

    async def sign_in(self, account: str = "ana", password: str = PASSWORD, address: str = "127.0.0.1") -> str:
        """A session's token."""
        token, _ = await self.access.sign_in(account, password, address=address, surface="web")
        return token


async def test_the_admin_token_is_the_built_in_administrator() -> None:
    """It needs no account and no session."""
    access = Home().access
    identity = access.authenticate(ADMIN_TOKEN)
    assert (identity.account, identity.surface, identity.expires_at) == ("admin", "api", None)
    assert access.allows(identity, "admin")
    assert access.may_use_connector(Actor("admin", "cli"), "any")
    with pytest.raises(NotSignedInError):
        access.authenticate(ADMIN_TOKEN + "x")


@pytest.mark.parametrize("account", [Account(role="viewer"), Account(grants=[Grant(role="viewer", jobs=["*"])])])
async def test_the_built_in_administrator_takes_no_other_role(account: Account) -> None:
    """Whoever writes `[accounts.admin]` with a lesser role would get more than they wrote."""
    with pytest.raises(InvalidError, match=r"accounts\.admin"):
        Home(accounts={"admin": account})
    home = Home()
    with pytest.raises(InvalidError):
        await home.access.replace_settings(Settings(accounts={"admin": account}))
    assert home.access.account("ana") == ANA


async def test_a_session_is_kept_as_a_hash_only() -> None:
    """Whoever reads the store can sign in with nothing that is in it."""
    home = Home()
    token = await home.sign_in()
    (kept,) = home.store.kept.values()
    assert token not in repr(kept)
    for value in (kept.token_hash, kept.credential):
        with pytest.raises(NotSignedInError):
            home.access.authenticate(value)


async def test_a_session_outlives_a_restart() -> None:
    """A new engine takes up the sessions of the one before it."""
    home = Home()
    token = await home.sign_in()
    again = home.new_access()
    await again.load()
    assert again.authenticate(token).account == "ana"


async def test_a_session_ends_after_its_lifetime() -> None:
    """Twelve hours, also across a restart, and then nothing of it is kept."""
    home = Home()
    token = await home.sign_in()
    identity = home.access.authenticate(token)
    home.seconds = LIFETIME.total_seconds() - 1
    assert home.access.is_current(identity)
    home.seconds += 1
    assert not home.access.is_current(identity)
    with pytest.raises(NotSignedInError):
        home.access.authenticate(token)
    await home.new_access().load()
    assert not home.store.kept


@pytest.mark.parametrize(
    "accounts",
    [
        {},
        {"ben": ANA},
        {"ana": Account(role="operator", password_hash=hash_password("another password"))},
        {"ana": Account(role="operator")},
    ],
    ids=["removed", "renamed", "new password", "no password"],
)
async def test_a_session_ends_with_what_it_stands_on(accounts: dict[str, Account]) -> None:
    """An account that is gone, or has another password, is signed out at once, and for ever."""
    home = Home()
    token = await home.sign_in()
    identity = home.access.authenticate(token)
    await home.access.replace_settings(Settings(accounts=accounts))
    assert not home.access.is_current(identity)
    assert not home.store.kept
    await home.access.replace_settings(Settings(accounts={"ana": ANA}))
    with pytest.raises(NotSignedInError):
        home.access.authenticate(token)


async def test_a_new_admin_token_ends_the_sessions_of_the_old_one() -> None:
    """Deleting the token's file locks out whoever had it."""
    home = Home()
    link = home.access.mint_link(home.access.authenticate(ADMIN_TOKEN))
    token, _ = await home.access.redeem(link.code, surface="web")
    again = home.new_access(admin_token="nfa_" + "b" * 43)
    await again.load()
    with pytest.raises(NotSignedInError):
        again.authenticate(token)


async def test_a_changed_role_holds_at_once() -> None:
    """A session carries no rights of its own."""
    home = Home()
    identity = home.access.authenticate(await home.sign_in())
    assert home.access.allows(identity, "operator")
    await home.access.replace_settings(Settings(accounts={"ana": Account(role="viewer", password_hash=HASH)}))
    assert home.access.is_current(identity)
    assert not home.access.allows(identity, "operator")


async def test_signing_out_ends_this_session_only() -> None:
    """Another session of the same account goes on; the admin token is none."""
    home = Home()
    one, other = await home.sign_in(), await home.sign_in()
    await home.access.sign_out(home.access.authenticate(one))
    with pytest.raises(NotSignedInError):
        home.access.authenticate(one)
    assert home.access.authenticate(other).account == "ana"
    with pytest.raises(InvalidError, match="delete its file"):
        await home.access.sign_out(home.access.authenticate(ADMIN_TOKEN))


async def test_a_wrong_password_and_an_unknown_account_sound_the_same() -> None:
    """Nobody can find out who has an account; one without password cannot sign in by any."""
    home = Home(accounts={"ana": ANA, "ben": Account(role="viewer")})
    said = set()
    for account, password in (("ana", "wrong"), ("nobody", PASSWORD), ("ben", ""), ("ben", PASSWORD)):
        with pytest.raises(NotSignedInError) as refused:
            await home.sign_in(account, password, address=account)
        said.add(refused.value.message)
    assert len(said) == 1


async def test_a_missing_hash_is_checked_as_dearly_as_a_real_one() -> None:
    """The check of an account that is not there does the same work, and never succeeds."""
    assert await fits(PASSWORD, HASH)
    assert not await fits("wrong", HASH)
    assert not await fits(PASSWORD, None)
    assert not await fits(PASSWORD, "$argon2id$nonsense")


@pytest.mark.parametrize("password", ["short", "x" * 1025])
def test_a_password_has_a_sensible_length(password: str) -> None:
    """Long enough to be hard to guess, short enough to be cheap to hash."""
    with pytest.raises(InvalidError, match="8 to 1024"):
        hash_password(password)


async def test_five_wrong_tries_a_minute_for_an_account() -> None:
    """Whatever addresses they come from; the right password is not taken either meanwhile."""
    home = Home()
    for number in range(5):
        with pytest.raises(NotSignedInError):
            await home.sign_in(password="wrong", address=f"10.0.0.{number}")
    with pytest.raises(ThrottledError):
        await home.sign_in(address="10.0.0.9")
    home.seconds = 12
    assert await home.sign_in(address="10.0.0.9")


async def test_five_wrong_tries_a_minute_from_an_address() -> None:
    """Whatever accounts they try; other addresses are not held up."""
    home = Home()
    for number in range(5):
        with pytest.raises(NotSignedInError):
            await home.sign_in(f"guess-{number}", address="10.0.0.1")
    with pytest.raises(ThrottledError):
        await home.sign_in(address="10.0.0.1")
    assert await home.sign_in(address="10.0.0.2")


async def test_a_link_works_once() -> None:
    """The same code does not open a second session."""
    home = Home()
    link = home.access.mint_link(home.access.authenticate(await home.sign_in()))
    token, session = await home.access.redeem(link.code, surface="web")
    assert (session.account, session.surface) == ("ana", "web")
    assert home.access.authenticate(token).account == "ana"
    with pytest.raises(NotSignedInError, match="ask for a new one"):
        await home.access.redeem(link.code, surface="web")


async def test_a_link_lasts_ten_minutes() -> None:
    """An old mail or an old screenshot opens nothing."""
    home = Home()
    link = home.access.mint_link(home.access.authenticate(ADMIN_TOKEN))
    home.seconds = 600
    with pytest.raises(NotSignedInError):
        await home.access.redeem(link.code, surface="web")


async def test_a_link_of_an_account_that_is_gone_opens_nothing() -> None:
    """The account is looked up when the code is used."""
    home = Home()
    link = home.access.mint_link(home.access.authenticate(await home.sign_in()))
    await home.access.replace_settings(Settings())
    with pytest.raises(NotSignedInError):
        await home.access.redeem(link.code, surface="web")


async def test_only_the_bot_s_sessions_act_for_slack() -> None:
    """A request may name its surface, but not this one; a session of the bot's stays there."""
    home = Home()
    token = await home.sign_in()
    assert home.access.authenticate(token).surface == "web"
    assert home.access.authenticate(token, "notebook").surface == "notebook"
    for each in (token, ADMIN_TOKEN):
        with pytest.raises(NotAllowedError):
            home.access.authenticate(each, "slack")
    bots, _ = await home.access.open_session("ana", "slack")
    assert home.access.authenticate(bots, "web").surface == "slack"
    assert home.access.authenticate(bots, "slack").surface == "slack"


def test_a_cron_fire_may_do_what_the_saved_job_says() -> None:
    """Nobody asks for it, so nobody's rights are asked about; a person of that name gets nothing by it."""
    access = Home(accounts={"cron": Account()}).access
    assert access.may_use_connector(Actor("nightly", "cron"), "jde")
    assert access.may_run_shell(Actor("", "cron"), "job", [])
    assert access.may_run_job(Actor("nightly", "cron"), "job", [])
    assert not access.may_use_connector(Actor("cron", "api"), "jde")
    assert not access.may_run_shell(Actor("gone", "web"), "job", [])


def test_a_job_is_called_by_who_may_run_it() -> None:
    """An operator of that job, by its id or its tags; who only views it may not have it run by another one's step."""
    grants = [
        Grant(role="operator", jobs=["load-*"]),
        Grant(role="editor", tags=["etl"]),
        Grant(role="viewer", jobs=["*"]),
    ]
    access = Home(accounts={"ana": Account(role="operator"), "ben": Account(grants=grants)}).access
    ana, ben = Actor("ana", "web"), Actor("ben", "cli")
    assert access.may_run_job(ana, "anything", [])
    allowed = [("load-orders", []), ("other", ["etl"])]
    assert all(access.may_run_job(ben, job_id, tags) for job_id, tags in allowed)
    assert not access.may_run_job(ben, "other", ["tests"])
    assert not access.may_run_job(Actor("gone", "web"), "load-orders", [])
