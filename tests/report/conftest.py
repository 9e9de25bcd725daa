"""Hand-written logs, a few lines of every format."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def logs() -> Path:
    return Path(__file__).parent / "logs"
