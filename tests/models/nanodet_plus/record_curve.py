"""Writes official_curve.npz: the losses of the official code's first steps (PyTorch 2.13, CPU).

Run with a Python that has torch and numpy: python record_curve.py CHECKOUT, a folder with
RangiLyu/nanodet at be9b4a9. Its other requirements are needed only to be imported and are replaced
by empty modules.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import torch
from curve_inputs import (
    CLIP,
    DECAY,
    RATE,
    STEPS,
    WARMUP_RATIO,
    WARMUP_STEPS,
    batch,
    weight,
)

UNUSED = ("cv2", "imagesize", "lightning_fabric", "matplotlib", "pycocotools", "pytorch_lightning")
UNUSED += ("tabulate", "termcolor", "torchvision", "yacs", "yaml")
STRIDES = [8, 16, 32, 64]


class Empty(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: object, target: object = None) -> object:
        if name.split(".")[0] in UNUSED:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = MagicMock(name=spec.name)
        module.__path__, module.__spec__, module.__name__ = [], spec, spec.name
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


def build(checkout: Path) -> torch.nn.Module:
    """config/nanodet-plus-m_416.yml, weights of `curve_inputs`."""
    sys.meta_path.append(Empty())
    sys.path.insert(0, str(checkout))
    from nanodet.model.arch.nanodet_plus import NanoDetPlus

    common = {"num_classes": 80, "strides": STRIDES, "activation": "LeakyReLU", "reg_max": 7}
    losses = {
        "loss_qfl": {"name": "QualityFocalLoss", "use_sigmoid": True, "beta": 2.0},
        "loss_dfl": {"name": "DistributionFocalLoss", "loss_weight": 0.25},
        "loss_bbox": {"name": "GIoULoss", "loss_weight": 2.0},
    }
    losses["loss_qfl"]["loss_weight"] = 1.0
    head = {"name": "NanoDetPlusHead", "input_channel": 96, "feat_channels": 96, **common}
    model = NanoDetPlus(
        backbone={
            "name": "ShuffleNetV2",
            "model_size": "1.0x",
            "out_stages": [2, 3, 4],
            "activation": "LeakyReLU",
            "pretrain": False,
        },
        fpn={
            "name": "GhostPAN",
            "in_channels": [116, 232, 464],
            "out_channels": 96,
            "kernel_size": 5,
            "num_extra_level": 1,
            "use_depthwise": True,
            "activation": "LeakyReLU",
        },
        head={
            **head,
            "stacked_convs": 2,
            "kernel_size": 5,
            "norm_cfg": {"type": "BN"},
            "loss": SimpleNamespace(**{k: SimpleNamespace(**v) for k, v in losses.items()}),
        },
        aux_head={
            "name": "SimpleConvHead",
            "input_channel": 192,
            "feat_channels": 192,
            "stacked_convs": 4,
            **common,
        },
        detach_epoch=10,
    )
    state = model.state_dict()
    for name, tensor in state.items():
        if not name.endswith(("num_batches_tracked", "project")):
            tensor.copy_(torch.from_numpy(weight(name, tuple(tensor.shape))))
    model.load_state_dict(state)
    model.epoch = 0
    return model.train()


def main(checkout: Path) -> None:
    torch.set_num_threads(1)
    model = build(checkout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    curve: dict[str, list[float]] = {}
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - (1 - step / WARMUP_STEPS) * (1 - WARMUP_RATIO))
        images, boxes, labels = batch(step)
        meta = {"img": torch.from_numpy(images), "gt_bboxes": boxes, "gt_labels": labels}
        _, loss, parts = model.forward_train({**meta, "gt_bboxes_ignore": None})
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        for name, value in parts.items():
            curve.setdefault(name, []).append(float(value))
        print(step, float(loss))
    np.savez(Path(__file__).with_name("official_curve.npz"), **curve)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
