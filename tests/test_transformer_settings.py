"""RT-DETR's and DETR's settings against the official ones.

Read off lyuwenyu/RT-DETR at 068dfde6 (rtdetr_pytorch/configs) and facebookresearch/detr at 29901c51
(main.py, datasets/coco.py); which parameters a group holds is counted in tests/models.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from unidet.cli import compose

# (what the official configuration calls it, our key, official value)
RTDETR = [
    ("num_queries", "network.queries", 300),
    (
        "multi_scale",
        "network.train_sides",
        (480, 512, 544, 576, 608, 640, 640, 640, 672, 704, 736, 768, 800),
    ),
    ("Resize [640, 640]", "images.sides", (640,)),
    ("val: Resize [640, 640]", "images.test_side", 640),
    ("Resize of a PIL image", "images.interpolation", "pillow"),
    ("to 0..1, no mean", "images.mean", (0.0, 0.0, 0.0)),
    ("to 0..1, no deviation", "images.std", (255.0, 255.0, 255.0)),
    ("PIL", "images.channels", "rgb"),
    ("RandomHorizontalFlip", "images.horizontal_flip", 0.5),
    ("RandomPhotometricDistort", "images.before_resize.0.kind", "photometric"),
    ("p", "images.before_resize.0.probability", 0.5),
    ("brightness (torchvision)", "images.before_resize.0.brightness", (0.875, 1.125)),
    ("contrast (torchvision)", "images.before_resize.0.contrast", (0.5, 1.5)),
    ("saturation (torchvision)", "images.before_resize.0.saturation", (0.5, 1.5)),
    ("hue (torchvision)", "images.before_resize.0.hue", 0.05),
    ("RandomZoomOut", "images.before_resize.1.kind", "zoom_out"),
    ("p (torchvision)", "images.before_resize.1.probability", 0.5),
    ("side_range 1 to 4 (torchvision)", "images.before_resize.1.largest", 4.0),
    ("RandomIoUCrop", "images.before_resize.2.kind", "iou_crop"),
    ("p", "images.before_resize.2.probability", 0.8),
    ("min, max_scale (torchvision)", "images.before_resize.2.scale", (0.3, 1.0)),
    ("aspect ratios (torchvision)", "images.before_resize.2.ratio", (0.5, 2.0)),
    (
        "sampler_options (torchvision)",
        "images.before_resize.2.overlaps",
        (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0),
    ),
    ("trials (torchvision)", "images.before_resize.2.trials", 40),
    ("batch_size 4 on 4 GPUs", "training.batch_size", 16),
    ("epoches 72, drop_last: 118,287 // 16", "training.steps", 72 * 7392),
    ("optimizer", "training.optimizer.kind", "adamw"),
    ("lr", "training.optimizer.lr", 1e-4),
    ("betas", "training.optimizer.betas", (0.9, 0.999)),
    ("weight_decay", "training.optimizer.weight_decay", 1e-4),
    ("clip_max_norm", "training.optimizer.clip_norm", 0.1),
    ("MultiStepLR at epoch 1000, of 72", "training.schedule.kind", "constant"),
    ("no warm-up", "training.schedule.warmup_steps", 0),
    ("ema.decay", "training.ema_decay", 0.9999),
    ("ema.warmups", "training.ema_warmup", 2000),
    ("exp(-n / 2000) after update n", "training.ema_offset", 0),
]
BACKBONE = {"r18vd": 0.1, "r34vd": 0.1, "r50vd": 0.1, "r101vd": 0.01}
"""lr 1e-5, of r101vd 1e-6, of 1e-4."""
DETR = [
    ("num_queries", "network.queries", 100),
    ("dropout", "network.dropout", 0.1),
    ("stem and layer1 without gradients (models/backbone.py)", "network.frozen_stages", 1),
    ("FrozenBatchNorm2d (models/backbone.py)", "network.batch_norm_training", False),
    ("scales 480 to 800", "images.short_side", (480, 800)),
    ("scales in steps of 32", "images.short_step", 32),
    ("max_size", "images.long_side", 1333),
    ("val: RandomResize([800])", "images.test_short_side", 800),
    ("val: max_size", "images.test_long_side", 1333),
    ("F.resize of a PIL image", "images.interpolation", "pillow"),
    ("no common multiple", "images.divisor", 1),
    ("Normalize, mean", "images.mean", (123.675, 116.28, 103.53)),
    ("Normalize, deviation", "images.std", (58.395, 57.12, 57.375)),
    ("RandomHorizontalFlip", "images.horizontal_flip", 0.5),
    ("RandomSelect", "images.before_resize.0.probability", 0.5),
    ("RandomResize([400, 500, 600])", "images.before_resize.0.short_sides", (400, 500, 600)),
    ("RandomSizeCrop(384, 600)", "images.before_resize.0.sides", (384, 600)),
    ("batch_size 2 on 8 GPUs", "training.batch_size", 16),
    ("epochs 300, drop_last: 118,287 // 16", "training.steps", 300 * 7392),
    ("AdamW", "training.optimizer.kind", "adamw"),
    ("lr", "training.optimizer.lr", 1e-4),
    ("lr_backbone 1e-5 of 1e-4", "training.optimizer.groups", {"backbone": 0.1}),
    ("weight_decay", "training.optimizer.weight_decay", 1e-4),
    ("decays all", "training.optimizer.no_decay", ()),
    ("clip_max_norm", "training.optimizer.clip_norm", 0.1),
    ("StepLR", "training.schedule.kind", "multistep"),
    ("lr_drop 200", "training.schedule.milestones", (200 * 7392,)),
    ("gamma (PyTorch)", "training.schedule.gamma", 0.1),
    ("no average", "training.ema_decay", 0.0),
]


@pytest.mark.parametrize("variant", BACKBONE)
def test_rtdetr(variant: str, setting: Callable[[Any, str], Any]) -> None:
    config = compose([f"rpn=rtdetr_{variant}"]).rpn
    expected = {key: official for _, key, official in RTDETR}
    expected |= {
        "network.variant": variant,
        "training.optimizer.groups": {"backbone": BACKBONE[variant]},
    }
    assert {key: setting(config, key) for key in expected} == expected


def test_detr(setting: Callable[[Any, str], Any]) -> None:
    config = compose(["rpn=detr_r50"]).rpn
    expected = {key: official for _, key, official in DETR}
    assert {key: setting(config, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "classes", "weights"),
    [
        ("detr_r50_coco", "category_ids", "weights/detr-r50-e632da11.pth"),
        ("rtdetr_r50vd_coco", "dataset", "weights/rtdetr_r50vd_6x_coco_from_paddle.pth"),
    ],
)
def test_released_weights_are_kept(name: str, classes: str, weights: str) -> None:
    config = compose([f"rpn={name}"]).rpn
    assert (config.classes, config.weights, config.training) == (classes, weights, None)


def test_a_crop_by_iou_may_always_be_none() -> None:
    crop = "{kind: iou_crop, overlaps: [0.5]}"
    with pytest.raises(Exception, match="the last one must be 1, which is no crop"):
        compose(["rpn=rtdetr_r18vd", f"rpn.images.before_resize=[{crop}]"])
