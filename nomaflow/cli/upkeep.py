"""What keeps a home safe: backups, their way back, and a look at the state of its store."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nomaflow.cli.options import AsJson, HomeFolder, LocalJson, Token, Url, open_client, print_json
from nomaflow.cli.show import count, folded
from nomaflow.errors import HomeHeldError, InvalidError, NomaflowError
from nomaflow.seams import utc_now

if TYPE_CHECKING:
    from nomaflow.engine.store.doctor import Finding
    from nomaflow.home import Home
    from nomaflow.wire import BackupInfo

_MARKS = {"well": "ok     ", "note": "note   ", "problem": "PROBLEM"}


def backup(
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Copy it there too.", file_okay=False)
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
    home: HomeFolder = Path(),
) -> None:
    """Back up the run store, the settings and the jobs into .nomaflow/backups, and read the backup as a whole.

    The engine may run; secrets' files are left out. Kept are all backups of the last day, one of each of seven days and
    of four weeks."""
    with _sentences():
        made = _made(url, token, home)
        from nomaflow.engine.store.backup import copy_to

        if to is not None and not Path(made.path).exists():
            raise InvalidError(f"the backup is on the engine's machine, in {made.path}: --to cannot copy it from here")
        copied = copy_to(made, to) if to is not None else None
    if as_json:
        print_json(made)
        return
    typer.echo(f"{count(made.runs, 'runs')}, {made.size_bytes / 1e6:,.1f} MB, opened and read: {made.path}")
    if copied is not None:
        typer.echo(f"copied to {copied}")


def restore(
    backup: Annotated[
        str, typer.Argument(metavar="BACKUP", help="A backup's folder, or its name in .nomaflow/backups.")
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Put the store that is there into the quarantine first.")
    ] = False,
    home: HomeFolder = Path(),
) -> None:
    """Put a backup's run store into a home without one, and the files of the home that are missing.

    The engine must not run. When it starts, no schedule fires for the time between, and everybody signs in again."""
    from nomaflow.engine.store.restoring import check_restorable
    from nomaflow.engine.store.restoring import restore as put_back
    from nomaflow.home import Home
    from nomaflow.serve import held

    place = Home(home)
    named = place.state_dir / "backups" / backup
    source = named if "/" not in backup and named.is_dir() else Path(backup)
    with _sentences():
        if not place.state_dir.exists():
            # The lock makes the folders: what is refused leaves none behind.
            check_restorable(source)
        home.mkdir(parents=True, exist_ok=True)
        with held(place):
            done = put_back(place, source, utc_now, may_replace=replace)
    typer.echo(f"{home.resolve()} has the run store of {source}: {count(done.runs, 'runs')}")
    if done.kept_in is not None:
        typer.echo(f"what was there is in {done.kept_in}")
    if done.backups_aside:
        typer.echo(f"backups of what came later are there too: {', '.join(done.backups_aside)}")
    if done.written:
        typer.echo(f"written, since they were missing: {', '.join(done.written)}")
    if done.other:
        typer.echo(f"left as they are, and not as in the backup: {', '.join(done.other)}")


def doctor(
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Go on without the changes that the store has lost.")
    ] = False,
    as_json: LocalJson = False,
    home: HomeFolder = Path(),
) -> int:
    """Look at the run store and say what is wrong with it; 1 when something is. Nothing is changed.

    Without an engine a copy of the store is opened and read as a whole. With one, it tells what it knows itself."""
    from nomaflow.home import Home

    place = Home(home)
    if not place.state_dir.exists():
        raise InvalidError(f"{home.resolve()} has no state yet: no engine has run there")
    with _sentences():
        if accept_loss:
            _accept_loss(place)
        findings = _findings(place)
    if as_json:
        typer.echo(json.dumps({"findings": [vars(finding) for finding in findings]}, indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            typer.echo(folded(f"{_MARKS[finding.level]} {finding.subject}: {finding.message}", indent=" " * 8))
    return int(any(finding.level == "problem" for finding in findings))


def _made(url: str | None, token: str | None, home: Path) -> BackupInfo:
    """A new backup: by the engine where one runs, else by this process under the home's lock."""
    from nomaflow.engine.store.backup import make
    from nomaflow.home import Home
    from nomaflow.serve import held

    place = Home(home)
    if url is None and "NOMAFLOW_URL" not in os.environ and place.store_file.exists():
        try:
            with held(place):
                return make(place, utc_now)
        except HomeHeldError:
            pass
    with open_client(url, token, home) as client:
        return client.backup()


def _accept_loss(home: Home) -> None:
    from nomaflow.engine.store import Store
    from nomaflow.serve import held

    with held(home):
        store = Store(home.store_file, utc_now)
        try:
            store.accept_loss(f"cli:{getpass.getuser()}")
        finally:
            store.close()


def _findings(home: Home) -> list[Finding]:
    from nomaflow.engine.store.doctor import Finding, look_at_files, look_into
    from nomaflow.serve import held

    try:
        with held(home):
            free = Finding("engine", "well", "none holds the home")
            return [free, *look_into(home), *look_at_files(home, utc_now)]
    except HomeHeldError:
        pid = (home.state_dir / "engine.lock").read_text(errors="replace").strip()
        running = Finding("engine", "note", f"process {pid} holds the home; its store is not looked into")
        return [running, *_readiness(home), *look_at_files(home, utc_now)]


def _readiness(home: Home) -> list[Finding]:
    """What the engine says of itself."""
    from nomaflow.engine.store.doctor import Finding

    try:
        with open_client(None, None, home.path) as client:
            client.health()
    except NomaflowError as error:
        reasons = [detail["message"] for detail in error.details] or [error.message]
        return [Finding("engine", "problem", reason) for reason in reasons]
    return [Finding("engine", "well", "it is ready to run jobs")]


@contextmanager
def _sentences() -> Iterator[None]:
    """What the store or the disk says, as the command line says it."""
    from nomaflow.engine.store import StoreError

    try:
        yield
    except StoreError as error:
        raise InvalidError(str(error)) from None
    except OSError as error:
        raise InvalidError(f"{error.filename or 'the disk'}: {error.strerror}") from None


COMMANDS = (backup, restore, doctor)
