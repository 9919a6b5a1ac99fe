"""The sample's job `api-pull` through a real engine that serves the tracker itself."""

from __future__ import annotations

import shutil
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cancel_stage import wait_for
from tests.servers.engine import Child, engine

ROOT = Path(__file__).parents[2]
SETTINGS = """
[sample]
enabled = true
[connectors.tracker]
kind = "http"
url = "http://127.0.0.1:{port}/v1"
allow_private = true
[connectors.issues]
kind = "sql"
url = "duckdb:///issues.duckdb"
"""


def pull(child: Child, **params: str) -> dict[str, Any]:
    """One run of the job, to its end."""
    run_id = child.request("POST", "/jobs/api-pull/runs", {"params": params})["id"]

    def ended() -> dict[str, Any] | None:
        run = child.request("GET", f"/runs/{run_id}")
        return run if run["finished_at"] else None

    return wait_for(ended)


def rows(home: Path, sql: str) -> list[Any]:
    """A query of the copy."""
    import duckdb

    with duckdb.connect(str(home / "issues.duckdb"), read_only=True) as copy:
        return copy.execute(sql).fetchall()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The sample's job, with a tracker on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "nomaflow.toml").write_text(SETTINGS.format(port=port))
    (tmp_path / "jobs").mkdir()
    for name in ("api-pull.toml", "api_pull.py"):
        shutil.copy(ROOT / "jobs" / name, tmp_path / "jobs")
    return tmp_path


def test_what_is_pulled_twice_is_there_once(home: Path) -> None:
    """Each issue has one row, as it is now, and the mark says how far the copy is."""
    since = datetime.now(UTC).date() - timedelta(days=12)
    with engine(home) as child:
        first = pull(child, since=f"{since}")
        assert first["state"] == "SUCCEEDED", first
        second = pull(child, since=f"{since}")
        narrow = pull(child)
    counts = [run["steps"][0]["output"]["count"] for run in (first, second, narrow)]
    assert counts[0] <= counts[1]
    assert 0 < counts[2] < counts[0]
    assert [run["steps"][1]["rows_affected"] for run in (first, second, narrow)] == counts
    ((count, distinct, repo),) = rows(home, "select count(*), count(distinct number), min(repo) from issues")
    assert (count, repo) == (distinct, "nomasx1")
    assert counts[1] <= count <= counts[1] + counts[2]
    yesterday = datetime.fromisoformat(narrow["queued_at"]).date() - timedelta(days=1)
    assert rows(home, "select repo, pulled_since, issues, run_id from sync_state") == [
        ("nomasx1", yesterday, counts[2], narrow["id"])
    ]


def test_without_its_port_the_engine_serves_all_the_same(home: Path) -> None:
    """Another engine may have it; the log says so, and the job fails with a sentence."""
    text = (home / "nomaflow.toml").read_text()
    port = int(text.partition("127.0.0.1:")[2].partition("/")[0])
    job = home / "jobs" / "api-pull.toml"
    job.write_text(job.read_text().replace("attempts = 3", "attempts = 1"))
    with socket.create_server(("127.0.0.1", port)) as other, engine(home) as child:
        other.close()
        run = pull(child)
    assert (run["state"], run["steps"][0]["error"]["type"]) == ("FAILED", "ConnectError")
    assert f"the sample's tracker is not served: port {port}" in (home / "engine.out").read_text()
