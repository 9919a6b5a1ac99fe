"""Backups, their way back and the doctor, from the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nomaflow.cli import main
from nomaflow.engine.store import Store
from nomaflow.engine.store.mark import Mark
from nomaflow.home import Home
from nomaflow.serve import held
from tests.client.home import running
from tests.engine.stores import add_events, flip, numbers, opened, reasons
from tests.engine.test_store_pruning import add


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home whose engine has stopped, with three runs."""
    home = Home(tmp_path / "home")
    assert main(["init", str(home.path)]) == 0
    home.make_state_dir()
    store = opened(home.state_dir)
    for number in (1, 2, 3):
        add(store, number, 0)
    store.close()
    return home


def findings(home: Home, capsys: pytest.CaptureFixture[str], code: int) -> dict[str, list[str]]:
    """What the doctor says by subject; each with its level before it."""
    capsys.readouterr()
    assert main(["doctor", "--json", "--home", str(home.path)]) == code
    found: dict[str, list[str]] = {}
    for finding in json.loads(capsys.readouterr().out)["findings"]:
        found.setdefault(finding["subject"], []).append(f"{finding['level']}: {finding['message']}")
    return found


def test_a_stopped_home_is_backed_up_and_restored(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By this process itself; the copy elsewhere is restored into a new home."""
    assert main(["backup", "--home", str(home.path), "--to", str(tmp_path / "away")]) == 0
    out = capsys.readouterr().out
    assert "3 runs, " in out
    [copied] = (tmp_path / "away").iterdir()
    assert f"copied to {copied}" in out
    new = tmp_path / "new"
    assert main(["restore", str(copied), "--home", str(new)]) == 0
    out = capsys.readouterr().out
    assert "3 runs" in out
    assert "nomaflow.toml" in out
    store = Store(Home(new).store_file)
    assert (store.newest_run(), store.lost) == (3, None)
    store.close()


def test_a_backup_is_named_as_it_is_listed(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """A store that is there is put aside only when that is said."""
    assert main(["backup", "--home", str(home.path), "--json"]) == 0
    captured = capsys.readouterr().out
    made = json.loads(captured[captured.index("{") :])
    store = opened(home.state_dir)
    add_events(store, 2)
    store.close()
    assert main(["restore", made["name"], "--home", str(home.path)]) == 2
    assert "--replace" in capsys.readouterr().err
    assert main(["restore", made["name"], "--home", str(home.path), "--replace"]) == 0
    assert "quarantine" in capsys.readouterr().out
    store = opened(home.state_dir)
    assert store.seq == made["seq"]
    store.close()


def test_what_is_no_backup_is_not_restored(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence names it."""
    assert main(["restore", "nothing", "--home", str(home.path)]) == 2
    assert "nothing is no backup" in capsys.readouterr().err
    assert main(["backup", "--home", str(home.path / "jobs")]) == 2


def test_a_backup_that_is_refused_leaves_no_home_behind(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether there is none, it is damaged, or a newer program wrote it."""
    main(["backup", "--home", str(home.path)])
    [made] = (home.state_dir / "backups").iterdir()
    new = tmp_path / "new"

    def refused(backup: str) -> str:
        capsys.readouterr()
        assert main(["restore", backup, "--home", str(new)]) == 2
        assert not new.exists()
        return capsys.readouterr().err

    assert "nope is no backup" in refused("nope")
    manifest = json.loads((made / "manifest.json").read_text())
    (made / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 99}))
    assert "schema version 99" in refused(str(made))
    flip(made / "runs.duckdb", 5)
    assert "is not what was written" in refused(str(made))


def test_a_restore_names_the_newer_backups_that_it_puts_aside(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """They are in the quarantine: what they know of has not happened in the restored store."""
    main(["backup", "--home", str(home.path)])
    [first] = (home.state_dir / "backups").iterdir()
    kept = first.rename(first.with_name("kept"))
    store = opened(home.state_dir)
    add_events(store, 2)
    store.close()
    main(["backup", "--home", str(home.path)])
    [newer] = set((home.state_dir / "backups").iterdir()) - {kept}
    capsys.readouterr()
    assert main(["restore", "kept", "--home", str(home.path), "--replace"]) == 0
    assert f"backups of what came later are there too: {newer.name}\n" in capsys.readouterr().out


def test_a_home_is_named_in_full(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is told of the home `.`."""
    monkeypatch.chdir(home.path)
    main(["backup"])
    [made] = (home.state_dir / "backups").iterdir()
    capsys.readouterr()
    assert main(["restore", made.name]) == 2
    assert f"{home.path.resolve()} has a run store already" in capsys.readouterr().err
    with held(home):
        assert main(["restore", made.name, "--replace"]) == 75
    assert f"holds the home {home.path.resolve()};" in capsys.readouterr().err


def test_nothing_is_restored_under_an_engine(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """75, as for a second engine."""
    main(["backup", "--home", str(home.path)])
    [made] = (home.state_dir / "backups").iterdir()
    with held(home):
        assert main(["restore", made.name, "--home", str(home.path), "--replace"]) == 75
        assert main(["doctor", "--accept-loss", "--home", str(home.path)]) == 75
    assert str(os.getpid()) in capsys.readouterr().err


def test_a_running_engine_makes_the_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its files may lie on another machine."""
    with running(tmp_path / "home") as served:
        monkeypatch.setenv("NOMAFLOW_URL", served.url)
        monkeypatch.setenv("NOMAFLOW_TOKEN", served.token)
        assert main(["backup"]) == 0
        assert "/backups/backup-1" in capsys.readouterr().out
        assert main(["backup", "--to", str(tmp_path / "away")]) == 2
        assert "engine's machine" in capsys.readouterr().err


def test_a_home_that_is_well(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """0; what is not there yet is worth a note only."""
    found = findings(home, capsys, 0)
    assert found["store"] == ["well: all of it can be read: 3 runs, 3 events"]
    assert found["events"] == ["well: the newest one is 3, and none that was committed is missing"]
    assert found["slots"][0].startswith("well: each of the 3")
    assert found["backup"] == ["note: there is none; `nomaflow backup` makes one"]
    assert "quarantine" not in found
    main(["backup", "--home", str(home.path)])
    assert findings(home, capsys, 0)["backup"][0].startswith("well: the newest one, ")
    before = sorted(path.name for path in home.state_dir.iterdir())
    assert main(["doctor", "--home", str(home.path)]) == 0
    assert "ok      store: all of it can be read: 3 runs, 3 events\n" in capsys.readouterr().out
    assert sorted(path.name for path in home.state_dir.iterdir()) == before


def test_what_is_wrong_is_said_with_how_to_mend_it(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """1."""
    home.store_file.chmod(0o644)
    assert f"run `chmod 600 {home.store_file}`" in findings(home, capsys, 1)["modes"][0]
    home.store_file.chmod(0o600)
    store = opened(home.state_dir)
    with store._transaction() as db:
        db.execute("DELETE FROM run WHERE id = 2").fetchall()
        db.execute("UPDATE run SET state = 'RUNNING' WHERE id = 3").fetchall()
    store.close()
    found = findings(home, capsys, 1)
    assert found["slots"][0].startswith("problem: 1 fires have no run")
    assert found["runs"][0].startswith("note: 1 have not ended")
    flip(home.store_file, 13_000)
    assert found.keys() - findings(home, capsys, 1).keys() == {"events", "runs", "slots", "version"}


def test_a_loss_is_accepted(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """The doctor foresees it, the next opening finds it, and a person ends it."""
    home.store_file.with_name("runs.duckdb.wal").unlink()
    assert "event 3 was committed" in findings(home, capsys, 1)["events"][0]
    opened(home.state_dir).close()
    found = findings(home, capsys, 1)
    assert "--accept-loss" in found["loss"][0]
    assert found["quarantine"][0].startswith("note: ")
    assert main(["doctor", "--accept-loss", "--home", str(home.path)]) == 0
    store = opened(home.state_dir)
    assert store.lost is None
    assert reasons(store) == numbers(0)
    assert store._all("SELECT who FROM event WHERE state = 'accepted'")[0][0].startswith("cli:")
    store.close()


def test_what_was_mended_is_told(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """The steps that the last opening took."""
    store = opened(home.state_dir)
    add_events(store, 1)
    store.close()
    log = home.store_file.with_name("runs.duckdb.wal")
    log.write_bytes(log.read_bytes()[:-40] + bytes(40))
    Mark(home.store_file.with_name("runs.mark"), 3).close()
    opened(home.state_dir).close()
    told = findings(home, capsys, 0)["mended"]
    assert any("was cut at byte" in sentence for sentence in told)
    assert told[-1].startswith("note: 2026-03-01 02:30 UTC: the store as it is was put in place")


def test_an_engine_that_runs_is_asked(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Its store is not opened; one that does not answer is a problem."""
    with held(home):
        found = findings(home, capsys, 1)
    assert f"process {os.getpid()} holds the home" in found["engine"][0]
    assert found["engine"][1].startswith("problem: ")
    assert "store" not in found
    assert found["modes"]


def test_a_folder_without_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing has run there."""
    assert main(["doctor", "--home", str(tmp_path)]) == 2
    assert "no engine has run there" in capsys.readouterr().err
