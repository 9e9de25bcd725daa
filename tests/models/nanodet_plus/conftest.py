"""The networks with the weights of the recordings, and the recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import networks
import numpy as np
import pytest

from unidet.backend.runtime import bring_up
from unidet.models.nanodet_plus.detector import NanoDetPlus
from unidet.weights.layouts.nanodet_plus import M_1_5X, M
from unidet.weights.load import load_into

bring_up()


@pytest.fixture(scope="session")
def recording(reference: Path) -> Callable[[str], dict[str, np.ndarray]]:
    """Tensors by the recording's name, as "eval_416"."""
    folder = reference / "reference/detectors"

    def read(name: str) -> dict[str, np.ndarray]:
        with np.load(folder / f"golden_nanodet_plus_{name}.npz") as arrays:
            return dict(arrays)

    return read


@pytest.fixture(scope="session")
def network(reference: Path, load_file: Callable[[Path], ModuleType]) -> Callable[..., NanoDetPlus]:
    """A network of a published size, its weights made from their names as for the recordings."""
    folder = reference / "reference/detectors"
    path = folder / "deterministic_weights_nanodet_plus.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder.parent))
        rule = load_file(path)

    def build(model: str, **settings: str) -> NanoDetPlus:
        layout = {"m_416": M, "m_1_5x_416": M_1_5X}[model]
        built = NanoDetPlus(networks.nanodet_plus(model, **settings), classes=80, auxiliary=True)
        shapes = {name: tuple(var.shape) for name, var in built.named_parameters()}
        values = {
            ours: np.asarray(rule.value(name, layout.expected[name] and shapes[ours]))
            for name, ours in layout.our_names.items()
        }
        load_into(built, values)
        return built

    return build
