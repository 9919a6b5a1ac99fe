"""A home: the folder with the settings, the jobs, the notebooks and the state of one engine."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nomaflow.definitions import toml_edit, toml_file, toml_source
from nomaflow.definitions.callables import callable_problems
from nomaflow.definitions.calls import call_problems
from nomaflow.definitions.catalogue import Catalogue
from nomaflow.definitions.problems import Problem, near_miss
from nomaflow.definitions.settings import Settings

SETTINGS_NAME = "nomaflow.toml"


@dataclass(frozen=True)
class Home:
    """Where everything of a home lies. Nothing is made or read until it is asked for."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """`nomaflow.toml`."""
        return self.path / SETTINGS_NAME

    @property
    def jobs_dir(self) -> Path:
        """The job files, and the Python beside them: the import root of python steps."""
        return self.path / "jobs"

    @property
    def state_dir(self) -> Path:
        """What the engine keeps; nobody else reads it."""
        return self.path / ".nomaflow"

    @property
    def store_file(self) -> Path:
        """The run store; what belongs to it lies beside it."""
        return self.state_dir / "runs.duckdb"

    @property
    def admin_token_file(self) -> Path:
        """The token that the first start writes, mode 0600."""
        return self.state_dir / "admin.token"

    @property
    def engine_url_file(self) -> Path:
        """The address of the engine that serves this home now; there is none while no engine runs."""
        return self.state_dir / "engine.url"

    def make_state_dir(self) -> Path:
        """The state folder, made with mode 0700, or given it if it was more open."""
        self.state_dir.mkdir(mode=0o700, exist_ok=True)
        if self.state_dir.stat().st_mode & 0o077:
            self.state_dir.chmod(0o700)
        return self.state_dir

    def resolve(self, file: str) -> Path:
        """A path of the settings: relative ones count from the home."""
        return self.path / Path(file).expanduser()

    def load_settings(self) -> Settings:
        """The settings.

        Raises:
            InvalidError: no such file, or problems in it; a detail for each.
        """
        settings, problems = self._settings()
        if settings is None:
            raise toml_source.invalid_error(problems)
        return settings

    def _settings(self) -> tuple[Settings | None, tuple[Problem, ...]]:
        try:
            raw = toml_file.read(self.settings_file)
        except FileNotFoundError:
            message = (
                f"is missing in {self.path.resolve()}; `nomaflow init` makes a home there, --home names another one"
            )
            return None, (Problem(SETTINGS_NAME, message),)
        except ValueError as error:
            return None, (Problem(SETTINGS_NAME, str(error)),)
        text, problems = toml_source.decode(raw, SETTINGS_NAME)
        return (None, problems) if problems else read_settings(text)


def read_settings(text: str) -> tuple[Settings | None, tuple[Problem, ...]]:
    """The text of `nomaflow.toml` as settings, or everything that is wrong with it."""
    data, problems = toml_source.parse(text, SETTINGS_NAME)
    if data is None:
        return None, problems
    settings, problems = toml_source.validate(Settings, data, text, SETTINGS_NAME)
    if settings is None:
        return None, problems
    unknown = [
        (("slack", "people", person), f"is an unknown account {account!r}" + near_miss(account, settings.accounts))
        for person, account in settings.slack.people.items()
        if account not in settings.accounts
    ]
    problems = toml_source.problems_at(unknown, data, text, SETTINGS_NAME)
    return (None if problems else settings), problems


def check(home: Home) -> list[Problem]:
    """Everything that is wrong with the settings and the jobs of a home; empty when nothing is."""
    settings, problems = home._settings()
    found = list(problems)
    catalogue = Catalogue(home.jobs_dir, settings)
    for entry in catalogue.entries.values():
        found += [
            *entry.problems,
            *callable_problems(entry, home.jobs_dir),
            *call_problems(entry, catalogue.entries),
        ]
    first = settings.sample.first_run if settings else None
    if first is not None and first not in catalogue.entries:
        message = f"names an unknown job {first!r}" + near_miss(first, catalogue.entries)
        found.append(Problem(SETTINGS_NAME, message, path="sample.first_run"))
    return found


def set_in_settings(home: Home, values: Mapping[tuple[str, ...], str]) -> Settings:
    """Set texts in `nomaflow.toml`, leaving every other byte as it is; the settings as they are then.

    Args:
        home: the home.
        values: what to set, by the path of the key.

    Raises:
        InvalidError: the settings have problems, or would have; nothing was changed.
        NotReadyError: the disk does not take it.
    """
    home.load_settings()
    text = toml_file.read(home.settings_file).decode()
    try:
        for path, value in values.items():
            text = toml_edit.set_text(text, path, value)
    except ValueError as error:
        raise toml_source.invalid_error([Problem(SETTINGS_NAME, str(error))]) from None
    settings, problems = read_settings(text)
    if settings is None:
        raise toml_source.invalid_error(problems)
    toml_file.write(home.settings_file, text.encode(), lambda: secrets.token_hex(4))
    return settings
