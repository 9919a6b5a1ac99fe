"""The commands against the real API: what they print, and what they end with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nomaflow.cli import main
from nomaflow.cli.details import how_canceled
from nomaflow.client import Client
from nomaflow.wire import Plan, Receipt, Run, Rung, RunState, StepRun, StepState
from tests.client.home import LOAD, Running, running
from tests.fakes.scripts import fail, hang, ok

type Cli = Callable[..., int]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Running]:
    """An engine whose step `load` hangs, `extract` reads three rows and `hello` says something."""
    with running(tmp_path / "home", load=hang("working"), extract=ok(rows=3), hello=ok("hello there")) as served:
        yield served


@pytest.fixture
def cli(served: Running, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run one command; its exit code."""
    monkeypatch.setenv("NOMAFLOW_URL", served.url)
    monkeypatch.setenv("NOMAFLOW_TOKEN", served.token)
    return lambda *arguments: main(list(arguments))


def test_the_jobs_are_listed(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """Id, last run, next run and description; with --json what the engine sends."""
    assert cli("jobs") == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["hello", "by", "hand", "Says", "hello."]
    assert cli("jobs", "--tag", "etl", "--json") == 0
    assert [card["id"] for card in json.loads(capsys.readouterr().out)["items"]] == ["load"]


def test_a_run_is_followed_to_its_end(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """Plain lines where nobody watches, then the result; 0 when it succeeded."""
    assert cli("run", "hello", "--follow", "--reason", "a test") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.endswith("[hello] hello there") for line in lines)
    assert " of hello SUCCEEDED in " in lines[-1]


def test_a_failed_run_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last line says which step and why; nothing that it says can move the cursor."""
    with running(tmp_path / "home", load=fail("no \x1b[2Jspace\nleft")) as served:
        code = main(["run", "load", "-f", "--url", served.url, "--token", served.token])
        assert code == 1
        out = capsys.readouterr().out
        assert out.splitlines()[-1].endswith(r" ms, load: RuntimeError: no \x1b[2Jspace\x0aleft")
        assert "\x1b" not in out
        assert main(["logs", "load", "-f", "--url", served.url, "--token", served.token]) == 1


def test_only_what_differs_is_changed(cli: Cli, served: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """Values are read by the types of the form; one that is saved so already is no override."""
    code = cli(
        *("run", "load", "-p", "apps_id=5", "-p", "mode=fast", "-p", "period=2026-02-01"),
        *("--step", "load.full_refresh=yes", "-p", 'options={"a": [1, null]}', "--log-level", "debug", "--json"),
    )
    assert code == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["log_level"] == "DEBUG"
    kwargs = plan["steps"][1]["kwargs"]
    assert {name: value["value"] for name, value in kwargs.items() if value["origin"] == "override"} == {
        "apps_id": 5,
        "period": "2026-02-01",
        "full_refresh": True,
        "options": {"a": [1, None]},
    }


@pytest.mark.parametrize(
    ("options", "runs"),
    [
        (["--skip", "extract"], {"extract": False, "load": True}),
        (["--only", "extract"], {"extract": True, "load": False}),
        (["--only", "extract", "--only", "load"], {"extract": True, "load": True}),
        ([], {"extract": True, "load": True}),
    ],
)
def test_steps_are_left_out(
    cli: Cli, capsys: pytest.CaptureFixture[str], options: list[str], runs: dict[str, bool]
) -> None:
    """--skip leaves some out, --only all others; a dry run shows it and starts nothing."""
    assert cli("run", "load", "--dry-run", "--json", *options) == 0
    assert {step["name"]: step["runs"] for step in json.loads(capsys.readouterr().out)["steps"]} == runs
    assert cli("runs") == 0
    assert capsys.readouterr().out.startswith("No runs yet; ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", "apps=5"], "unknown parameter 'apps'; there are apps_id, period, mode, full_refresh, options; did you"),
        (["-p", "apps_id=five"], "apps_id must be a whole number, not 'five'"),
        (["-p", "apps_id"], "write NAME=VALUE, not 'apps_id'"),
        (["-p", "mode=quick"], "mode must be one of fast, slow, not 'quick'"),
        (["-p", "options={"], "options must be JSON"),
        (["-p", "full_refresh=perhaps"], "full_refresh must be yes or no, not 'perhaps'"),
        (["-p", "period=soon"], "period must be a date like 2026-01-31"),
        (["--step", "lode.full_refresh=yes"], "unknown step 'lode'; there are extract, load; did you mean \"load\"?"),
        (["--step", "load.refresh=yes"], "unknown parameter of load 'refresh'; there are full_refresh, options"),
        (["--step", "extract.x=1"], "unknown parameter of extract 'x'; there is none"),
        (["--step", "full_refresh=yes"], "--step takes STEP.NAME=VALUE"),
        (["--skip", "lod"], "unknown step 'lod'"),
        (["--skip", "load", "--skip", "extract"], "every step is switched off"),
        (["--log-level", "loud"], "log_level must be one of INFO, DEBUG"),
    ],
)
def test_a_wrong_value_is_one_sentence(
    cli: Cli, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    """It names the place and what may stand there; nothing runs; 2."""
    assert cli("run", "load", *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert message in error
    assert "Traceback" not in error


def test_a_run_is_found_by_its_id_the_end_of_it_or_its_job(
    cli: Cli, served: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job means its active run, else its newest one."""
    with Client(served.url, served.token) as client:
        first, second = client.launch("hello").id, client.launch("hello").id
        active = client.launch("load").id
    for text, run_id in [
        (first, first),
        (first.lower(), first),
        (first[-8:], first),
        (second[-8:].lower(), second),
        ("hello", second),
        ("load", active),
    ]:
        assert cli("logs", text, "--tail", "1", "--json") == 0
        capsys.readouterr()
        assert cli("cancel", text, "--json") == (0 if run_id == active else 2)
        captured = capsys.readouterr()
        assert run_id in captured.out + captured.err
    assert cli("logs", "hell") == 2
    assert 'did you mean "hello"?' in capsys.readouterr().err
    assert cli("logs", "ZZZZ") == 2
    assert "no run ends in ZZZZ, and there is no job 'ZZZZ'" in capsys.readouterr().err


def test_several_runs_that_end_alike_are_told(cli: Cli, served: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither of them is taken; a job without runs says how to start one."""
    assert cli("logs", "hello") == 2
    assert "hello has not run yet; start it with `nomaflow run hello`" in capsys.readouterr().err
    from nomaflow.cli import naming

    class TwoAlike:
        def jobs(self) -> list[object]:
            return []

        def runs_page(self, *, q: str, **_: object) -> object:
            assert q == "run:1234"
            items = [type("Run", (), {"id": run_id}) for run_id in ("run_2000000001234", "run_1000000001234")]
            return type("Page", (), {"items": items})

    with pytest.raises(Exception, match="several runs end in 1234: run_2000000001234, run_1000000001234; type more"):
        naming.resolve(TwoAlike(), "1234")  # type: ignore[arg-type]


def test_a_run_is_canceled(cli: Cli, served: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """By force, with a reason; a second cancel has nothing to do."""
    assert cli("run", "load") == 0
    started = capsys.readouterr().out
    assert "is QUEUED; see it with `nomaflow logs -f run_" in started
    assert cli("cancel", "load", "--force", "--reason", "enough") == 0
    assert cli("cancel", "load") == 2
    with Client(served.url, served.token) as client:
        run = client.run(started.split()[0])
    assert run.state is RunState.CANCELED
    assert run.receipt
    assert (run.receipt.force, run.receipt.reason, run.receipt.requested_by) == (True, "enough", "cli:admin")


def test_a_cancel_waits_and_says_how_the_run_ended(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, from the receipt; with --no-wait it only asks."""
    assert cli("run", "load") == 0
    capsys.readouterr()
    assert cli("cancel", "load") == 0
    out = capsys.readouterr().out
    assert " of load canceled after " in out
    assert out.count("\n") == 1
    assert cli("run", "load") == 0
    assert cli("cancel", "load", "--no-wait") == 0


@pytest.mark.parametrize(
    ("rungs", "seconds", "how"),
    [
        ([], 0.01, "canceled after 0.01 s: no step ran"),
        (["soft cancel"], 0.01, "canceled after 0.01 s: the step ended by itself"),
        (["soft cancel", "SIGTERM", "SIGKILL"], 15, "canceled after 15 s: killed by SIGKILL"),
        (["soft cancel", "SIGTERM"], 120, "canceled after 2 m: killed by SIGTERM"),
    ],
)
def test_the_last_rung_is_how_a_run_was_canceled(rungs: list[str], seconds: float, how: str) -> None:
    """As people say it, with the time since the request."""
    asked = datetime(2026, 1, 31, tzinfo=UTC)
    ladder = [Rung(rung=rung, started_at=asked, result="") for rung in rungs]
    run = Run(
        id="run_1",
        job_id="load",
        state=RunState.CANCELED,
        queued_at=asked,
        finished_at=asked + timedelta(seconds=seconds),
        triggered_by="cli:ana",
        via="api",
        plan=Plan(log_level="INFO", steps=[]),
        receipt=Receipt(requested_at=asked, requested_by="cli:ana", rungs=ladder),
    )
    assert how_canceled(run) == f"run_1 of load {how}"


@pytest.mark.parametrize(
    ("tries", "how"),
    [
        ([0, 0], "no step ran"),
        ([1, 0], "no step was going on; s1 had run once"),
        ([1, 2], "no step was going on; s2 had run twice"),
        ([4, 0], "no step was going on; s1 had run 4 times"),
    ],
)
def test_a_cancel_between_two_tries_says_what_had_run(tries: list[int], how: str) -> None:
    """Also where a later engine made the cancel: the tries of the steps are on record."""
    asked = datetime(2026, 1, 31, tzinfo=UTC)
    states = [StepState.CANCELED if tried else StepState.PENDING for tried in tries]
    run = Run(
        id="run_1",
        job_id="load",
        state=RunState.CANCELED,
        queued_at=asked,
        finished_at=asked,
        triggered_by="cli:ana",
        via="api",
        plan=Plan(log_level="INFO", steps=[]),
        steps=[
            StepRun(name=f"s{number}", type="shell", state=state, attempt=tried)
            for number, (state, tried) in enumerate(zip(states, tries, strict=True), 1)
        ],
        receipt=Receipt(requested_at=asked, requested_by="cli:ana"),
    )
    assert how_canceled(run) == f"run_1 of load canceled after 0.00 s: {how}"


def test_a_run_is_shown_with_its_steps_and_values(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """Skipped steps say so, changed values are overrides, a cancel is told in words."""
    assert cli("run", "load", "-p", "apps_id=5", "--skip", "extract") == 0
    assert cli("cancel", "load", "--reason", "enough") == 0
    capsys.readouterr()
    assert cli("show", "load") == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert ["extract", "Skipped", "disabled"] in rows
    assert ["load", "apps_id", "5", "override"] in rows
    assert ["mode", '"fast"', "saved"] in rows
    assert "asked by cli:admin, because: enough; soft cancel: the step ended" in out
    assert cli("show", "load", "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "CANCELED"


def test_an_error_is_shown_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However little of it has room in the table."""
    with running(tmp_path / "home", load=fail("no space left " * 20)) as served:
        engine = ["--url", served.url, "--token", served.token]
        assert main(["run", "load", "-f", *engine]) == 1
        capsys.readouterr()
        assert main(["show", "load", *engine]) == 0
    assert f"load failed: RuntimeError: {'no space left ' * 20}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "helo"], "there is no job 'helo'; did you mean \"hello\"? `nomaflow jobs` lists them"),
        (["why", "zzz"], "there is no job 'zzz'; `nomaflow jobs` lists them"),
        (["runs", "--job", "helo"], "there is no job 'helo'; did you mean \"hello\"?"),
        (["connectors", "test", "jd"], "there is no connector 'jd'; did you mean \"jde\"? `nomaflow connectors`"),
        (["logs", "hello", "--step", "helo"], "has no step 'helo'; there are hello; did you mean \"hello\"?"),
        (["logs", "hello", "--step", "helo", "-f"], "has no step 'helo'; there are hello"),
        (["runs", "--limit", "0"], "'--limit': it must be at least 1"),
    ],
)
def test_a_wrong_name_says_which_there_are(
    cli: Cli, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """With the nearest one, and the command that lists them."""
    assert cli("run", "hello") == 0
    assert cli(*arguments) == 2
    assert message in capsys.readouterr().err


def test_a_filter_without_hits_says_so(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr; an empty answer looks like a fault."""
    assert cli("run", "hello") == 0
    for options in ([], ["-f"]):
        assert cli("logs", "hello", "--level", "warning", *options) == 0
        assert "No lines at WARNING or worse." in capsys.readouterr().err


def test_a_busy_job_is_one_line(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence names the run already."""
    assert cli("run", "load") == 0
    assert cli("run", "load") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """As every program does."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("nomaflow ")


def test_the_log_is_narrowed(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """By step, level and number of lines, while it grows and afterwards."""
    assert cli("run", "hello") == 0
    capsys.readouterr()
    for options in ([], ["-f"]):
        assert cli("logs", "hello", "--step", "hello", "--level", "info", *options) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if " of hello " not in line]
        assert lines
        assert all("[hello]" in line for line in lines)
        assert cli("logs", "hello", "--tail", "1", "--json", *options) == 0
        assert json.loads(capsys.readouterr().out)
    assert cli("logs", "hello", "--level", "loud") == 2


def test_a_job_is_switched_off_and_on(cli: Cli, served: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """In its file, with a reason."""
    assert cli("disable", "load", "--reason", "holiday") == 0
    assert "load is off" in capsys.readouterr().out
    assert "enabled = false" in (served.fake.home.jobs_dir / "load.toml").read_text()
    assert cli("jobs") == 0
    assert "off" in capsys.readouterr().out
    assert cli("why", "load") == 0
    assert "load: " in capsys.readouterr().out
    assert cli("enable", "load") == 0
    assert (served.fake.home.jobs_dir / "load.toml").read_text().count("enabled = true") == 1


def test_a_reload_says_what_changed(cli: Cli, served: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """New jobs, and problems with their line; the job list shows them too."""
    (served.fake.home.jobs_dir / "more.toml").write_text(LOAD)
    (served.fake.home.jobs_dir / "hello.toml").write_text("nonsense")
    assert cli("reload") == 0
    out = capsys.readouterr().out
    assert "added more" in out
    assert "jobs/hello.toml:1: the file is not valid TOML" in out
    assert cli("jobs") == 0
    assert "problem: line 1" in capsys.readouterr().out
    assert cli("reload") == 0


def test_connectors_are_listed_and_asked(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """What uses them, and whether they answer."""
    assert cli("connectors") == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["jde", "sqlite", "sqlite:///jde.db", "load"]
    assert cli("connectors", "test", "jde") == 0
    assert "jde answers" in capsys.readouterr().out
    assert cli("connectors", "test", "jd") == 2


def test_runs_are_listed(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """Newest first, of one job or in one state."""
    for job in ("hello", "hello", "load"):
        assert cli("run", job) == 0
    capsys.readouterr()
    assert cli("runs", "--job", "hello", "--state", "succeeded", "--limit", "1") == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["RUN", "JOB", "STATE", "STARTED", "TOOK", "STEPS", "BY"]
    assert row.split()[1:3] == ["hello", "SUCCEEDED"]
    assert cli("runs", "--state", "done") == 2


def test_ids_are_never_cut(cli: Cli, served: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """What is shown can be typed again, however narrow the terminal."""
    job_id = "a-very-long-job-id-" + "x" * 45
    with Client(served.url, served.token) as client:
        client.create_job(job_id, toml=LOAD.replace("Loads", "A description that has much to say, and says it: loads"))
        run_id = client.launch(job_id).id
    for command in ("jobs", "runs"):
        assert cli(command) == 0
        out = capsys.readouterr().out
        assert job_id in out
        assert (run_id in out) == (command == "runs")


def test_no_engine_ends_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence that says what to do."""
    assert main(["jobs", "--url", "http://127.0.0.1:9"]) == 3
    assert capsys.readouterr().err.startswith("Error: nothing answers at http://127.0.0.1:9; start the engine")


def test_wrong_use_ends_with_2(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown commands and options, missing arguments, unknown jobs."""
    for arguments in (["jbos"], ["jobs", "--nope"], ["why"], ["why", "nope"], ["runs", "--limit", "0"]):
        assert cli(*arguments) == 2
        assert capsys.readouterr().err.startswith("Error: ")


def test_no_rights_is_a_sentence(served: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong token is told by the engine."""
    assert main(["jobs", "--url", served.url, "--token", "nonsense"]) == 2
    assert "sign in again" in capsys.readouterr().err
