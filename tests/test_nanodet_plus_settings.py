"""NanoDet-Plus' settings against those of config/nanodet-plus-m_416.yml and -m-1.5x_416.yml.

Read off RangiLyu/nanodet at be9b4a9; what PyTorch or the trainer adds by default is marked so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from unidet.cli import compose
from unidet.training.schedule import in_steps, rate_factor

# (what the official configuration calls it, our key, official value)
BOTH = [
    ("detach_epoch", "network.detach_epoch", 10),
    ("input_size", "images.sides", (416,)),
    ("val input_size", "images.test_side", 416),
    ("keep_ratio False", "images.kind", "stretch"),
    ("cv2.imread", "images.channels", "bgr"),
    ("normalize, mean", "images.mean", (103.53, 116.28, 123.675)),
    ("normalize, std", "images.std", (57.375, 57.12, 58.395)),
    ("flip", "images.horizontal_flip", 0.5),
    ("no vertical flip", "images.vertical_flip", 0.0),
    ("pad to multiples of 32 (data/batch_process.py)", "images.divisor", 32),
    ("scale", "images.augmentation.scale", (0.6, 1.4)),
    ("stretch", "images.augmentation.stretch", (0.8, 1.2)),
    ("translate 0.2: 0.5 - 0.2 to 0.5 + 0.2", "images.augmentation.centre", (0.3, 0.7)),
    ("brightness", "images.augmentation.brightness", 0.2),
    ("contrast", "images.augmentation.contrast", (0.6, 1.4)),
    ("saturation", "images.augmentation.saturation", (0.5, 1.2)),
    ("batchsize_per_gpu, one GPU", "training.batch_size", 96),
    ("total_epochs", "training.epochs", 300),
    ("optimizer.name", "training.optimizer.kind", "adamw"),
    ("optimizer.lr", "training.optimizer.lr", 0.001),
    ("optimizer.weight_decay", "training.optimizer.weight_decay", 0.05),
    ("no_norm_decay, no_bias_decay off", "training.optimizer.no_decay", ()),
    ("betas (PyTorch)", "training.optimizer.betas", (0.9, 0.999)),
    ("one rate for all parameters", "training.optimizer.groups", {}),
    ("grad_clip, total norm", "training.optimizer.clip_norm", 35.0),
    ("warmup linear, steps", "training.schedule.warmup_steps", 500),
    ("warmup.ratio", "training.schedule.warmup_ratio", 0.0001),
    ("CosineAnnealingLR", "training.schedule.kind", "cosine"),
    ("eta_min 0.00005 of 0.001", "training.schedule.floor", 0.05),
    ("stepped once an epoch", "training.schedule.every", 1),
    ("weight_averager.decay", "training.ema_decay", 0.9998),
    ("exp(-(1 + it) / 2000)", "training.ema_warmup", 2000),
    ("exp(-(1 + it) / 2000)", "training.ema_offset", 1),
]
SIZES = {  # stage_out_channels and the head's feat_channels
    "nanodet_plus_m_416": ((24, 116, 232, 464), 96),
    "nanodet_plus_m_1_5x_416": ((24, 176, 352, 704), 128),
}


@pytest.mark.parametrize("name", SIZES)
def test_every_value_is_the_official_one(name: str, setting: Callable[[Any, str], Any]) -> None:
    config = compose([f"rpn={name}"]).rpn
    expected = {key: official for _, key, official in BOTH}
    expected |= dict(
        zip(("network.backbone_channels", "network.channels"), SIZES[name], strict=True)
    )
    assert {key: setting(config, key) for key in expected} == expected


def test_the_rate_of_the_official_run() -> None:
    """118,287 images in batches of 96 are 1,232 steps an epoch. The first step's rate is 1e-7;
    after the warm-up 1e-3 until the epoch ends; then eta_min + (1e-3 - eta_min) (1 + cos(pi e /
    300)) / 2 at epoch e: in the middle 5.25e-4, in the last one 5.0026e-5."""
    training = in_steps(compose(["rpn=nanodet_plus_m_416"]).rpn.training, 1232)
    assert training.steps == 369_600
    steps = (0, 500, 1231, 150 * 1232, 150 * 1232 + 1231, 369_599)
    rates = [1e-3 * rate_factor(training.schedule, step, training.steps) for step in steps]
    assert rates == pytest.approx([1e-7, 1e-3, 1e-3, 5.25e-4, 5.25e-4, 5.0026e-5], rel=1e-5)
