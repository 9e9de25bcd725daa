"""Atomic writing of files: a reader sees a complete file or none, even if the writer dies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def write_text(target: Path, text: str) -> None:
    partial = _partial(target)
    partial.write_text(text)
    partial.replace(target)


def save_arrays(target: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to an .npz file."""
    partial = _partial(target)
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    partial.replace(target)


def _partial(target: Path) -> Path:
    return target.with_name(f"{target.name}.partial")
