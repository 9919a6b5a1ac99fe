"""`step-types` and `callables`, against the fake engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nomaflow.cli import main
from tests.client import home
from tests.client.home import Running

Cli = Callable[..., int]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Running]:
    """A fake engine over a small home, with some Python."""
    with home.running(tmp_path / "home") as running:
        jobs = tmp_path / "home" / "jobs"
        (jobs / "orders.py").write_text("def load(ctx, day: date, *, limit=5, **_):\n    'Load a day.'\n")
        (jobs / "bad.py").write_text("def main(:\n")
        yield running


@pytest.fixture
def cli(served: Running, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run one command; its exit code."""
    monkeypatch.setenv("NOMAFLOW_URL", served.url)
    monkeypatch.setenv("NOMAFLOW_TOKEN", served.token)
    return lambda *arguments: main(list(arguments))


def test_step_types_are_listed(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """With what each does; one of them with its options."""
    assert cli("step-types") == 0
    assert "call_job" in capsys.readouterr().out
    assert cli("step-types", "sql_query") == 0
    text = capsys.readouterr().out
    assert "timeout_seconds" in text
    assert "3600" in text
    assert "(needed)" in text
    assert cli("step-types", "python", "--json") == 0
    assert json.loads(capsys.readouterr().out)["runs_code"] is True
    assert cli("step-types", "pyton") == 2
    assert 'did you mean "python"?' in capsys.readouterr().err


def test_callables_are_listed(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """With their parameters; a file that is no Python is told on stderr."""
    assert cli("callables") == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[1].split() == ["orders:load", "day,", "limit=5,", "**", "Load", "a", "day."]
    assert told.err.startswith("jobs/bad.py:1 is not valid Python: ")
    assert cli("callables", "nothing") == 0
    assert capsys.readouterr().out == "No functions.\n"
    assert cli("callables", "--json") == 0
    assert json.loads(capsys.readouterr().out)["items"][0]["callable"] == "orders:load"
