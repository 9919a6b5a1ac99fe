"""The time limit that every test runs under."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

SUITE = """
import threading

import hypothesis
import pytest
import trio

pytestmark = pytest.mark.limit(0.2)


@pytest.fixture
async def never_ready():
    await trio.sleep_forever()


@pytest.fixture
async def never_over():
    yield
    await trio.sleep_forever()


async def test_async():
    await trio.sleep_forever()


async def test_virtual_time(mock_clock):
    await trio.sleep(3600)


async def test_fixture_setup(never_ready):
    pass


async def test_fixture_teardown(never_over):
    pass


@hypothesis.given(hypothesis.strategies.none())
async def test_property(value):
    await trio.sleep_forever()


async def test_that_eats_its_cancellation():
    with trio.CancelScope(shield=True):
        await trio.sleep(0.4)


def test_plain():
    threading.Event().wait()


async def test_next():
    await trio.sleep(0)
"""


def test_a_hanging_test_fails_alone(tmp_path: Path) -> None:
    """Whatever way a test hangs, it fails at its limit, and the next test runs as if nothing had been."""
    (tmp_path / "test_hanging.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-c", f"{ROOT}/pyproject.toml", "--rootdir", str(tmp_path)]
    command += ["-p", "tests.time_limit", "-p", "no:cacheprovider", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=25, check=False)
    assert "7 failed, 1 passed" in ended.stdout, ended.stdout
