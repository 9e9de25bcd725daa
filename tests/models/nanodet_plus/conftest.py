"""The networks with the weights of the recordings, and the recordings."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from unidet.models.nanodet_plus.detector import NanoDetPlus
from unidet.weights.load import load_into
from unidet.weights.layouts.nanodet_plus import our_name

SIZES: dict[str, dict] = {
    "m_416": {},
    "m_1_5x_416": {"backbone_channels": (24, 176, 352, 704), "channels": 128},
}


@pytest.fixture(scope="session")
def recordings(reference: Path) -> Callable[[str], dict[str, np.ndarray]]:
    """Tensors by the recording's name, as "eval_416"."""
    folder = reference / "reference/detectors"
    return lambda name: dict(np.load(folder / f"golden_nanodet_plus_{name}.npz"))


@pytest.fixture(scope="session")
def official_weights(
    reference: Path, monkeypatch_session: pytest.MonkeyPatch
) -> Callable[[str], dict[str, np.ndarray]]:
    """Arrays under their official names, made from the names as for the recordings."""
    folder = reference / "reference/detectors"
    monkeypatch_session.syspath_prepend(str(folder.parent))
    path = folder / "deterministic_weights_nanodet_plus.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)

    def weights(model: str) -> dict[str, np.ndarray]:
        rows = (folder / f"keys_nanodet_plus_{model}.txt").read_text().splitlines()
        shapes = dict(row.split("\t")[:2] for row in rows)
        return {
            name: np.asarray(rule.value(name, ast.literal_eval(shape)))
            for name, shape in shapes.items()
            if not name.endswith("num_batches_tracked")
        }

    return weights
