"""Every test sees a Jittor that was brought up as the command does it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of recorded reference tensors and real data; absent, the test is skipped."""
    default = Path(__file__).resolve().parents[1].parent / "shared"
    folder = Path(os.environ.get("UNIDET_REFERENCE", default))
    if not folder.is_dir():
        pytest.skip("no reference folder (set UNIDET_REFERENCE)")
    return folder
