"""Twenty steps of training beside the official code, with the official settings of `conf/rpn`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import jittor as jt
import networks
import numpy as np
import pytest
from batches import make_batch

from unidet.cli import compose
from unidet.models.detr.network import DETR
from unidet.models.rtdetr.network import RTDETR
from unidet.ops.loss_term import loss_values
from unidet.records import Batch
from unidet.training.optimizer import Optimizer
from unidet.weights.layouts.registry import layout_named
from unidet.weights.load import load_into

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def inputs(load_file: Callable[[Path], ModuleType]) -> ModuleType:
    """What the recording was made from: inputs.py."""
    return load_file(HERE / "inputs.py")


def build(model: str, inputs: ModuleType) -> Any:
    network: Any
    classes = inputs.CLASSES[model]
    if model == "detr_r50":
        network = DETR(networks.detr(dropout=0.0, compat="official"), classes=classes)
    else:
        network = RTDETR(networks.rtdetr(compat="official"), classes=classes)
    shapes = {name: tuple(var.shape) for name, var in network.named_parameters()}
    names = layout_named(model).our_names.items()
    load_into(network, {ours: inputs.weight(name, shapes[ours]) for name, ours in names})
    return network


def batch(step: int, model: str, inputs: ModuleType) -> Batch:
    images, boxes, labels = inputs.batch(step, model)
    widths = inputs.WIDTHS if model == "detr_r50" else [images.shape[3]] * 2
    return make_batch(images, boxes, labels, sizes=[[inputs.HEIGHT, width] for width in widths])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["rtdetr_r18vd", "detr_r50"])
@pytest.mark.parametrize("steps", [3, 20])
def test_losses_of_the_first_steps(model: str, steps: int, inputs: ModuleType) -> None:
    """Their sum within 1e-3, each of them within 1e-2 (official.json, see record.py)."""
    official = json.loads((HERE / "official.json").read_text())[model]
    recorded = {name: values[:steps] for name, values in official.items()}
    settings = compose([f"rpn={model}"]).rpn.training
    assert settings is not None
    network = build(model, inputs)
    optimizer = Optimizer(network, replace(settings.optimizer, lr=inputs.RATES[model]))
    curve: dict[str, list[float]] = {name: [] for name in recorded}
    for step in range(steps):
        losses = loss_values(network.loss(batch(step, model, inputs), inputs.noise(step)))
        trained = {name: value for name, value in losses.items() if name.startswith("loss")}
        assert set(trained) == set(recorded)
        optimizer.add(sum(trained.values()))
        optimizer.step(1.0)
        jt.sync_all()
        for name, value in trained.items():
            curve[name].append(value.item())
    totals = (np.sum(list(losses.values()), axis=0) for losses in (curve, recorded))
    np.testing.assert_allclose(*totals, rtol=1e-3)
    for name, values in recorded.items():
        np.testing.assert_allclose(curve[name], values, rtol=1e-2, err_msg=name)
