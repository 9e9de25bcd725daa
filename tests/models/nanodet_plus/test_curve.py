"""Twenty steps of training beside the official code: weights, batches and optimizer the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import jittor as jt
import networks
import numpy as np
import pytest

from unidet.config.training import OptimizerConfig, ScheduleConfig
from unidet.models.nanodet_plus.detector import NanoDetPlus
from unidet.ops.loss_term import loss_values
from unidet.training.optimizer import Optimizer
from unidet.training.schedule import rate_factor
from unidet.weights.layouts.nanodet_plus import M
from unidet.weights.load import load_into

HERE = Path(__file__).parent


def build(inputs: ModuleType) -> NanoDetPlus:
    net = NanoDetPlus(networks.nanodet_plus(compat="official"), classes=80, auxiliary=True)
    shapes = {name: tuple(var.shape) for name, var in net.named_parameters()}
    names = M.our_names.items()
    load_into(net, {ours: inputs.weight(name, shapes[ours]) for name, ours in names})
    return net


@pytest.mark.slow
def test_losses_of_the_first_steps(load_file: Callable[[Path], ModuleType]) -> None:
    """Within 1e-3, every loss at every step (official_curve.npz, see record_curve.py)."""
    inputs = load_file(HERE / "curve_inputs.py")
    with np.load(HERE / "official_curve.npz") as arrays:
        recorded = dict(arrays)
    net = build(inputs)
    optimizer = Optimizer(
        net,
        OptimizerConfig(
            kind="adamw", lr=inputs.RATE, weight_decay=inputs.DECAY, clip_norm=inputs.CLIP
        ),
    )
    schedule = ScheduleConfig(
        kind="constant", warmup_steps=inputs.WARMUP_STEPS, warmup_ratio=inputs.WARMUP_RATIO
    )
    curve: dict[str, list[float]] = {name: [] for name in recorded}
    for step in range(inputs.STEPS):
        images, boxes, labels = inputs.batch(step)
        losses = loss_values(net.losses(jt.array(images), boxes, labels))
        optimizer.add(sum(losses.values()))
        optimizer.step(rate_factor(schedule, step, inputs.STEPS))
        jt.sync_all()
        for name, value in losses.items():
            curve[name.replace("loss_aux_", "aux_loss_")].append(value.item())
    for name, values in recorded.items():
        np.testing.assert_allclose(curve[name], values, rtol=1e-3, err_msg=name)
