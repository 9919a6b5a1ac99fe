"""`nomaflow replay`: what it runs, what it keeps, and what it prints of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nomaflow.cli import main
from nomaflow.client import Client
from nomaflow.wire import Run
from tests.client.home import Running, running
from tests.fakes.scripts import fail, ok

type Cli = Callable[..., int]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Running]:
    """An engine whose step `load` fails until the test mends it, after `extract` has read three rows."""
    with running(tmp_path / "home", load=fail("no space left"), extract=ok(rows=3), hello=ok("hello")) as served:
        yield served


@pytest.fixture
def cli(served: Running, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run one command; its exit code."""
    monkeypatch.setenv("NOMAFLOW_URL", served.url)
    monkeypatch.setenv("NOMAFLOW_TOKEN", served.token)
    return lambda *arguments: main(list(arguments))


@pytest.fixture
def old(served: Running) -> Run:
    """A run of `load` with another `apps_id`, that failed; the step is mended since."""
    with Client(served.url, served.token) as client:
        run = client.wait(client.launch("load", params={"apps_id": 5}).id)
    served.fake.scripts["load"]["load"] = ok("loaded")
    return run


def newest(served: Running) -> Run:
    with Client(served.url, served.token) as client:
        return client.run(client.runs_page(limit=1).items[0].id)


def test_a_replay_says_what_runs_and_what_is_kept(
    cli: Cli, served: Running, old: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, a row for each step with the values that are not the saved ones, and how to look at it."""
    assert cli("replay", "load", "--only", "failed", "--reason", "more disk", "-p", "mode=slow") == 0
    run = newest(served)
    head, *rows, tail = capsys.readouterr().out.splitlines()
    assert head == f"{run.id} of load is QUEUED, a replay of {old.id}"
    assert [row.split(maxsplit=2) for row in rows] == [
        ["STEP", "TYPE", "NOTE"],
        ["extract", "Skipped", f"kept from {old.id}"],
        ["load", "python", 'apps_id=5 (replay), mode="slow" (override)'],
    ]
    assert tail == f"see it with `nomaflow logs -f {run.id}`"
    assert (run.state, run.replay_of, run.triggered_by) == ("SUCCEEDED", old.id, "cli:admin")
    assert cli("show", run.id) == 0
    shown = capsys.readouterr().out
    assert f"replay of  {old.id}" in shown
    assert f"kept from {old.id}" in shown


def test_a_replay_is_followed_to_its_end(cli: Cli, old: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The table, then the log from where the run comes from, then the result; its exit code is the run's."""
    assert cli("replay", old.id[-8:], "--from", "load", "--follow") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.endswith(f"replay of {old.id} from step load") for line in lines)
    assert any(line.endswith("[load] loaded") for line in lines)
    assert " of load SUCCEEDED in " in lines[-1]


def test_a_plan_of_a_replay_runs_nothing(
    cli: Cli, served: Running, old: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every value with where it comes from; with --json as the engine sends it."""
    for option in ("--plan", "--dry-run"):
        assert cli("replay", "load", option, "--only", "failed", "--log-level", "debug") == 0
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert rows[0] == ["log", "level", "DEBUG"]
        assert ["extract", "Skipped", "kept", "from", old.id] in rows
        assert ["load", "python", "apps_id", "5", "replay"] in rows
        assert ["mode", '"fast"', "saved"] in rows
    assert cli("replay", "load", "--plan", "--json") == 0
    assert [step["runs"] for step in json.loads(capsys.readouterr().out)["steps"]] == [True, True]
    assert newest(served).id == old.id


def test_a_replay_is_adjusted(cli: Cli, served: Running, old: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """With the options of a launch; what is as it was then is not sent."""
    options = ["-p", "apps_id=5", "--step", "load.full_refresh=yes", "--skip", "extract", "--json"]
    assert cli("replay", "load", *options) == 0
    assert json.loads(capsys.readouterr().out)["replay_of"] == old.id
    run = newest(served)
    assert {name: (one.value, one.origin) for name, one in run.plan.steps[1].kwargs.items()} == {
        "apps_id": (5, "replay"),
        "period": ("2026-01-31", "saved"),
        "mode": ("fast", "saved"),
        "full_refresh": (True, "override"),
        "options": ({}, "saved"),
    }
    assert run.steps[0].reason == f"skipped: kept from {old.id}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["load", "--only", "broken"], "--only must be one of failed, skipped, not 'broken'"),
        (["load", "--from", "lod"], "unknown step 'lod'; did you mean \"load\"?"),
        (["load", "--from", "load", "--only", "failed"], "from_step and only exclude each other"),
        (["load", "--only", "skipped"], "there is nothing to do: no step was skipped in run_"),
        (["load", "-p", "apps=5"], "unknown parameter 'apps'; there are apps_id"),
        (["hello"], "hello has not run yet"),
        (["ZZZZ"], "no run ends in ZZZZ"),
    ],
)
def test_a_replay_that_cannot_be_is_one_sentence(
    cli: Cli, served: Running, old: Run, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """2, and nothing runs."""
    assert cli("replay", *arguments) == 2
    assert message in capsys.readouterr().err
    assert newest(served).id == old.id
