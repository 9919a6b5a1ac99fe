"""The admin token's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from nomaflow.access.admin_token import ensure_admin_token
from nomaflow.errors import InvalidError
from nomaflow.seams import Seams


def test_it_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """The second start reads what the first has made."""
    token = ensure_admin_token(tmp_path, Seams())
    file = tmp_path / "admin.token"
    assert file.stat().st_mode & 0o777 == 0o600
    assert ensure_admin_token(tmp_path, Seams()) == token
    assert [path.name for path in tmp_path.iterdir()] == ["admin.token"]


def test_a_loose_mode_is_tightened(tmp_path: Path) -> None:
    """A copied home may have lost the mode."""
    ensure_admin_token(tmp_path, Seams())
    file = tmp_path / "admin.token"
    file.chmod(0o644)
    ensure_admin_token(tmp_path, Seams())
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "hunter2\n"])
def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path, text: str) -> None:
    """An empty or short file is not taken for a secret."""
    (tmp_path / "admin.token").write_text(text)
    with pytest.raises(InvalidError, match="delete the file"):
        ensure_admin_token(tmp_path, Seams())


def test_a_start_that_died_half_way_is_no_obstacle(tmp_path: Path) -> None:
    """What a crash left behind is replaced."""
    (tmp_path / "admin.new").write_text("half")
    token = ensure_admin_token(tmp_path, Seams())
    assert (tmp_path / "admin.token").read_text().strip() == token
