"""Tests here need Jittor, brought up as the command does it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unidet.backend.runtime import bring_up
from unidet.weights.layouts.registry import layout_named

bring_up()


@pytest.fixture(scope="session")
def transformer_recording(reference: Path) -> Callable[[str], dict[str, np.ndarray]]:
    """RT-DETR's and DETR's tensors by the recording's name, as "rtdetr_r18vd_eval"."""
    folder = reference / "reference/detectors"
    return lambda name: dict(np.load(folder / f"golden_{name}.npz"))


@pytest.fixture(scope="session")
def load_recorded_weights(recorded_weight: Callable) -> Callable[[Any, str], None]:
    """Sets a network's weights from their names in a layout, as for the recordings."""

    def load(network: Any, layout: str) -> None:
        from unidet.weights.load import load_into

        shapes = {name: tuple(var.shape) for name, var in network.named_parameters()}
        names = layout_named(layout).our_names
        load_into(
            network, {ours: recorded_weight(name, shapes[ours]) for name, ours in names.items()}
        )

    return load


@pytest.fixture(scope="session")
def differs() -> Callable[[np.ndarray, dict[str, np.ndarray], str], float]:
    """Largest absolute difference to a recorded tensor, of which the first values may be kept."""

    def largest(ours: np.ndarray, recording: dict[str, np.ndarray], name: str) -> float:
        if name in recording:
            assert ours.shape == recording[name].shape
            return float(np.abs(ours - recording[name]).max())
        assert ours.shape == tuple(recording[f"{name}#shape"])
        (key,) = (key for key in recording if key.startswith(f"{name}#first"))
        assert np.linalg.norm(ours) == pytest.approx(float(recording[f"{name}#norm"]), rel=1e-4)
        kept = recording[key]
        assert len(kept) == min(math.prod(ours.shape), int(key.rpartition("first")[2]))
        return float(np.abs(ours.ravel()[: len(kept)] - kept).max())

    return largest
