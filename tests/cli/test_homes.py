"""Commands that work on a home's folder: init, check, account."""

from __future__ import annotations

import io
import json
import os
import socket
from importlib.util import find_spec
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from nomaflow.cli import main
from nomaflow.home import Home, check


def test_a_new_home_is_complete_and_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Settings and a job with its function, all of them valid; the state stays out of git."""
    home = tmp_path / "home"
    assert main(["init", str(home)]) == 0
    assert "nomaflow up" in capsys.readouterr().out
    assert check(Home(home)) == []
    assert (home / ".gitignore").read_text() == ".nomaflow/\n"
    compile((home / "jobs" / "hello.py").read_text(), "hello.py", "exec")
    assert main(["check", "--home", str(home)]) == 0
    assert "the settings and 2 jobs are well" in capsys.readouterr().out


def test_a_home_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What stands there is not touched; a list of ignored files is added to."""
    (tmp_path / ".gitignore").write_text("*.log")
    assert main(["init", str(tmp_path)]) == 0
    assert (tmp_path / ".gitignore").read_text() == "*.log\n.nomaflow/\n"
    (tmp_path / "nomaflow.toml").unlink()
    (tmp_path / "jobs" / "hello.toml").write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    assert "jobs/hello.toml" in capsys.readouterr().err
    assert (tmp_path / "jobs" / "hello.toml").read_text() == "mine"
    assert not (tmp_path / "nomaflow.toml").exists()


def test_a_check_prints_every_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each on a line that an editor can jump to; 2."""
    main(["init", str(tmp_path)])
    (tmp_path / "jobs" / "bad.toml").write_text('enabled = "no"\nstepz = []\n')
    capsys.readouterr()
    assert main(["check", "--home", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert "jobs/bad.toml:1: enabled must be true or false, without quotes" in captured.out
    assert 'jobs/bad.toml:2: stepz is not a known key; did you mean "steps"?' in captured.out
    assert captured.err.startswith("Error: 3 problems in ")
    assert main(["check", "--home", str(tmp_path), "--json"]) == 2
    assert {problem["line"] for problem in json.loads(capsys.readouterr().out)["problems"]} == {None, 1, 2}


def test_a_folder_that_is_no_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence says how to make one."""
    assert main(["check", "--home", str(tmp_path)]) == 2
    assert "nomaflow init" in capsys.readouterr().out
    assert main(["account", "list", "--home", str(tmp_path)]) == 2
    assert "nomaflow init" in capsys.readouterr().err


def test_a_command_in_a_folder_that_is_no_home_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless it is told otherwise which engine is meant."""
    monkeypatch.delenv("NOMAFLOW_URL", raising=False)
    monkeypatch.delenv("NOMAFLOW_TOKEN", raising=False)
    assert main(["jobs", "--home", str(tmp_path)]) == 2
    assert f"{tmp_path} is no home: no nomaflow.toml there; name one with --home" in capsys.readouterr().err
    assert main(["jobs", "--home", str(tmp_path), "--url", "http://127.0.0.1:9"]) == 3


def test_a_taken_port_names_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which is how another port is chosen."""
    main(["init", str(tmp_path)])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["up", "--home", str(tmp_path), "--api-port", str(taken.getsockname()[1])]) == 2
    assert "choose another port; --api-port names another one" in capsys.readouterr().err


def test_help_promises_nothing_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Options of front ends stay hidden until their packages are installed."""
    assert main(["--help"]) == 0
    assert "Run jobs and see what happened." in capsys.readouterr().out
    if not any(find_spec(package) for package in ("dashboards", "bot")):
        assert main(["up", "--help"]) == 0
        assert not {"dashboard", "Slack"} & set(capsys.readouterr().out.replace("'s", "").replace("-", " ").split())


def test_a_password_becomes_a_hash_in_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every other byte stays; the password itself is nowhere."""
    main(["init", str(tmp_path)])
    settings = tmp_path / "nomaflow.toml"
    before = settings.read_text()
    os.chmod(settings, 0o640)
    arguments = ["account", "set-password", "ana", "--home", str(tmp_path)]

    def type_password(password: str, *more: str) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
        return main([*arguments, *more])

    assert type_password("correct horse") == 2
    assert "--role" in capsys.readouterr().err
    assert type_password("correct horse", "--role", "boss") == 2
    assert type_password("short", "--role", "operator") == 2
    assert settings.read_text() == before
    assert type_password("correct horse", "--role", "operator") == 0
    after = settings.read_text()
    assert after.startswith(before)
    assert "correct horse" not in after
    assert settings.stat().st_mode & 0o777 == 0o640
    account = Home(tmp_path).load_settings().accounts["ana"]
    assert account.role == "operator"
    assert PasswordHasher().verify(account.password_hash or "", "correct horse")
    assert type_password("another horse") == 0
    changed = settings.read_text().splitlines()
    assert [line for line in changed if "password_hash" not in line] == [
        line for line in after.splitlines() if "password_hash" not in line
    ]
    assert len(changed) == len(after.splitlines())
    capsys.readouterr()
    assert main(["account", "list", "--home", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["ana", "operator", "yes"]
    assert main(["account", "list", "--home", str(tmp_path), "--json"]) == 0
    assert "argon2" not in capsys.readouterr().out
