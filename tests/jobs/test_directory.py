"""The directory sync of the sample, with a real directory in the place of the company's."""

from __future__ import annotations

import re
from pathlib import Path

from tests.acceptance.cancel_stage import wait_for
from tests.jobs.home import ROOT, read_job
from tests.servers import slapd
from tests.servers.engine import engine


def test_directory_sync_waits_for_a_directory() -> None:
    """It is off until somebody says where the directory is; nothing is ever deleted."""
    job = read_job("directory-sync")
    assert not job.enabled
    assert [step.type for step in job.steps] == ["sql_query", "ldap_sync"]


def test_directory_sync_follows_a_directory(tmp_path: Path) -> None:
    """With the settings' example changed to a directory that is there, and nothing else."""
    with slapd.running(30) as directory:
        settings = (ROOT / "nomaflow.toml").read_text().replace("ldaps://ldap.example.org", directory.tls_url)
        settings = settings.replace('password_env = "LDAP_PASSWORD"', 'password_file = "secrets/ldap"')
        settings = settings.replace('# ca_file = "secrets/ca.pem"', 'ca_file = "secrets/ca.pem"')
        settings = re.sub(r"\[sample\][^\[]*", "", settings)
        (tmp_path / "jobs").mkdir()
        (tmp_path / "secrets").mkdir()
        (tmp_path / ".nomaflow" / "sample").mkdir(parents=True)
        (tmp_path / "nomaflow.toml").write_text(settings)
        (tmp_path / "jobs" / "directory-sync.toml").write_text((ROOT / "jobs" / "directory-sync.toml").read_text())
        (tmp_path / "secrets" / "ca.pem").write_bytes(directory.ca_file.read_bytes())
        password = tmp_path / "secrets" / "ldap"
        password.touch(mode=0o600)
        password.write_text(slapd.PASSWORD)
        with engine(tmp_path) as child:
            run_id = child.request("POST", "/jobs/directory-sync/runs", {"params": {"max_deletions": 5}})["id"]
            run = wait_for(lambda: (found := child.request("GET", f"/runs/{run_id}"))["finished_at"] and found)
    assert run["state"] == "SUCCEEDED", run["steps"]
    assert run["steps"][1]["output"]["inserted"] == 30
