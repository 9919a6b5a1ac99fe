"""What the tests of the API stand on."""

from __future__ import annotations

import pytest

from tests.api.stand import Stand


@pytest.fixture
async def stand() -> Stand:
    """The API on a scripted engine."""
    return Stand()
