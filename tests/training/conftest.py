"""Tests here need Jittor, brought up as the command does it."""

from __future__ import annotations

import sys
from pathlib import Path

from unidet.backend.runtime import bring_up

sys.path.append(str(Path(__file__).parent))  # small_networks.py, which scripts here import too
bring_up()
