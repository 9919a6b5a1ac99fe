"""Accounts: who is in the settings, and their passwords."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from nomaflow.cli.options import HomeFolder, LocalJson
from nomaflow.errors import InvalidError

app = typer.Typer(help="The accounts of the settings.", no_args_is_help=True)

ROLES = ("viewer", "operator", "editor", "admin")


@app.command("list")
def list_accounts(home: HomeFolder = Path(), as_json: LocalJson = False) -> None:
    """Who there is, with which role, and whether they can sign in by password."""
    from nomaflow.cli.show import Listing
    from nomaflow.home import Home

    accounts = Home(home).load_settings().accounts
    if as_json:
        listed = {
            name: account.model_dump(mode="json", exclude={"password_hash"})
            | {"has_password": bool(account.password_hash)}
            for name, account in accounts.items()
        }
        typer.echo(json.dumps(listed, indent=2))
        return
    if not accounts:
        typer.echo("There are no accounts but the administrator's token, in .nomaflow/admin.token.")
        return
    rows = Listing("ACCOUNT", "ROLE", "GRANTS", "PASSWORD", whole=["ACCOUNT"])
    for name, account in accounts.items():
        grants = "; ".join(
            f"{grant.role} of {', '.join([*grant.jobs, *(f'#{tag}' for tag in grant.tags)]) or 'connectors'}"
            for grant in account.grants
        )
        rows.add(name, account.role or "", grants, "yes" if account.password_hash else "no")
    rows.print()


@app.command("set-password")
def set_password(
    name: Annotated[str, typer.Argument(help="The account.")],
    role: Annotated[str | None, typer.Option(help=f"The role of a new account: {', '.join(ROLES)}.")] = None,
    home: HomeFolder = Path(),
) -> None:
    """Set a password: asked for, or read from standard input; only its hash goes into nomaflow.toml."""
    from nomaflow.access.passwords import hash_password
    from nomaflow.home import Home, set_in_settings

    place = Home(home)
    account = place.load_settings().accounts.get(name)
    if account is None and role is None:
        raise InvalidError(f"there is no account {name!r}; to make it, say with --role what it may do")
    if role is not None and role not in ROLES:
        raise InvalidError(f"--role must be one of {', '.join(ROLES)}, not {role!r}")
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    values: dict[tuple[str, ...], str] = {("accounts", name, "role"): role} if role else {}
    set_in_settings(place, {**values, ("accounts", name, "password_hash"): hash_password(password)})
    typer.echo(f"{name} has a new password; an engine that runs takes it over with `nomaflow reload`")
