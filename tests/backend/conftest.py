"""Jittor as it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.fixture
def jittor() -> Path:
    spec = find_spec("jittor")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
