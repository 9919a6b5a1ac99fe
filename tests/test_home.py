"""A home's folders, its settings, and everything that is wrong with it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from nomaflow.errors import InvalidError
from nomaflow.home import Home, check

STEP = '[[steps]]\nname = "A"\ntype = "python"\ncallable = "hello:main"\n'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "hello.py").write_text("def main(ctx): ...\n")
    (tmp_path / "nomaflow.toml").write_text("")
    return Home(tmp_path)


def test_empty_settings_are_the_defaults(home: Home) -> None:
    """Nothing has to be set."""
    assert home.load_settings().engine.max_parallel_runs == 8
    assert check(home) == []


def test_all_problems_of_the_settings_come_at_once(home: Home) -> None:
    """Each with its line and field, and a suggestion for a near miss."""
    home.settings_file.write_text(
        '[engine]\nmax_paralel_runs = 3\ntimezone = "Europe/Pariss"\n'
        '[connectors.jde]\nkind = "sql"\nurl = "db2://x"\n'
        '[accounts.ana]\nrole = "admin"\n[slack.people]\nU0123456 = "anna"\n'
    )
    with pytest.raises(InvalidError) as caught:
        home.load_settings()
    assert [(detail["path"], detail["line"]) for detail in caught.value.details] == [
        ("engine.max_paralel_runs", 2),
        ("engine.timezone", 3),
        ("connectors.jde.url", 6),
    ]
    assert 'did you mean "max_parallel_runs"?' in caught.value.details[0]["message"]
    assert caught.value.message.startswith("nomaflow.toml:2: engine.max_paralel_runs ")
    assert caught.value.message.endswith("(and 2 more)")


def test_a_slack_person_must_be_an_account(home: Home) -> None:
    """A typing error there would lock somebody out silently."""
    home.settings_file.write_text('[accounts.ana]\nrole = "admin"\n[slack.people]\nU0123456 = "anna"\n')
    with pytest.raises(InvalidError, match=r"nomaflow.toml:4: slack.people.U0123456 is an unknown account 'anna'; did"):
        home.load_settings()


def test_a_folder_without_settings_is_no_home(tmp_path: Path) -> None:
    """The sentence says how to make one."""
    with pytest.raises(InvalidError, match="nomaflow init"):
        Home(tmp_path).load_settings()


def test_a_check_tells_of_the_settings_and_of_every_job(home: Home) -> None:
    """Bad settings keep no job from being checked."""
    home.settings_file.write_text('[sample]\nfirst_run = "hallo"\n')
    (home.jobs_dir / "hello.toml").write_text(STEP)
    (home.jobs_dir / "one.toml").write_text("x = 1\n" + STEP)
    (home.jobs_dir / "two.toml").write_text("nonsense")
    assert [(problem.file, problem.line) for problem in check(home)] == [
        ("jobs/one.toml", 1),
        ("jobs/two.toml", 1),
        ("nomaflow.toml", None),
    ]
    home.settings_file.write_text("[engin]\n")
    assert [problem.file for problem in check(home)] == ["nomaflow.toml", "jobs/one.toml", "jobs/two.toml"]


def test_the_state_folder_is_the_owners_alone(home: Home) -> None:
    """Also one that somebody made more open."""
    home.state_dir.mkdir(mode=0o755)
    assert stat.S_IMODE(home.make_state_dir().stat().st_mode) == 0o700


def test_a_relative_path_counts_from_the_home(home: Home) -> None:
    """Whatever the engine's own folder is; an absolute one stays."""
    assert home.resolve("/var/jde.db") == Path("/var/jde.db")
    assert home.resolve("secrets/x") == home.path / "secrets/x"


def test_a_check_tells_of_functions_that_are_missing(home: Home) -> None:
    """Though such a job can be read: Python files change without a reload."""
    (home.jobs_dir / "one.toml").write_text(STEP.replace("hello:main", "hello:mian"))
    [problem] = check(home)
    assert (problem.file, problem.line) == ("jobs/one.toml", 4)
    assert 'did you mean "main"?' in problem.message


def test_a_call_of_a_job_that_is_not_there_is_a_problem(home: Home) -> None:
    """With its line, and the job that is near it."""
    (home.jobs_dir / "load.toml").write_text(STEP)
    (home.jobs_dir / "night.toml").write_text('[[steps]]\nname = "B"\ntype = "call_job"\njob = "loda"\n')
    assert [str(problem) for problem in check(home)] == [
        "jobs/night.toml:4: steps.B.job names an unknown job 'loda'; did you mean \"load\"?"
    ]
