"""Writes official.json: the losses of the official RT-DETR's and DETR's first steps.

    record.py RT-DETR/rtdetr_pytorch DETR

Needs PyTorch, scipy and checkouts of lyuwenyu/RT-DETR at 068dfde6 and facebookresearch/detr at
29901c51; run outside this project's environment. Networks, matchers and losses are the official
modules, loaded one by one; DETR's backbone, officially torchvision's, is spelt out below.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import inputs
import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
import record_noise_floors as rtdetr

RECORDED = (
    f"PyTorch {torch.__version__} on a CPU, one thread, float32, official code at 068dfde6 "
    "(RT-DETR) and 29901c51 (DETR), by record.py"
)
DECAY, CLIP = 1e-4, 0.1
BACKBONE = 0.1
"""Factor on the learning rate."""
Losses = dict[str, torch.Tensor]


class Block(nn.Module):
    """torchvision's bottleneck, stride on the 3 x 3 convolution."""

    def __init__(self, channels: int, inner: int, stride: int, norm: Callable, first: bool) -> None:
        super().__init__()
        out = 4 * inner
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.bn1 = norm(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = norm(inner)
        self.conv3 = nn.Conv2d(inner, out, 1, bias=False)
        self.bn3 = norm(out)
        short = [nn.Conv2d(channels, out, 1, stride, bias=False), norm(out)]
        self.downsample = nn.Sequential(*(short if first else []))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        feats = self.bn1(self.conv1(x)).relu()
        feats = self.bn2(self.conv2(feats)).relu()
        return (self.bn3(self.conv3(feats)) + self.downsample(x)).relu()


class ResNet50(nn.Module):
    def __init__(self, norm: Callable) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = norm(64)
        channels = 64
        for stage, count in enumerate((3, 4, 6, 3)):
            blocks = []
            for index in range(count):
                stride = 2 if stage and not index else 1
                blocks.append(Block(channels, 64 * 2**stage, stride, norm, index == 0))
                channels = 256 * 2**stage
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith(("layer2", "layer3", "layer4")))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def stub(name: str, **values: Any) -> types.ModuleType:
    module = sys.modules.setdefault(name, types.ModuleType(name))
    vars(module).update(values)
    return module


def detr_modules(checkout: Path) -> Any:
    """models/detr.py and what it needs, without segmentation and torchvision."""
    sys.path.insert(0, str(checkout))
    stub("torchvision", __version__="0.28.0")
    stub("torchvision.models._utils", IntermediateLayerGetter=None)
    versions = stub("packaging.version", parse=lambda text: [int(part) for part in text.split(".")])
    stub("packaging", version=versions)
    stub("models", __path__=[str(checkout / "models")])
    unused = ("DETRsegm", "PostProcessPanoptic", "PostProcessSegm", "dice_loss")
    stub("models.segmentation", **dict.fromkeys((*unused, "sigmoid_focal_loss")))
    return importlib.import_module("models.detr")


def set_weights(network: nn.Module) -> None:
    state = network.state_dict()
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            state[name] = torch.from_numpy(inputs.weight(name, tuple(tensor.shape)))
    network.load_state_dict(state)
    network.train()


def relative(boxes: np.ndarray, height: int, width: int) -> torch.Tensor:
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    size = np.array([width, height] * 2, np.float32)
    return torch.from_numpy(np.concatenate([centres, sides], axis=1).astype(np.float32) / size)


def targets_of(model: str, step: int) -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    images, boxes, labels = inputs.batch(step, model)
    widths = inputs.WIDTHS if model == "detr_r50" else (images.shape[3],) * 2
    targets = [
        {"boxes": relative(of_image, inputs.HEIGHT, width), "labels": torch.from_numpy(names)}
        for of_image, names, width in zip(boxes, labels, widths, strict=True)
    ]
    return torch.from_numpy(images), targets


def rtdetr_step(network: nn.Module, criterion: nn.Module, step: int) -> Losses:
    images, targets = targets_of("rtdetr_r18vd", step)
    rng = inputs.noise(step)

    def uniform(like: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.from_numpy(rng.random(tuple(like.shape), np.float32))

    def integers(like: torch.Tensor, low: int, high: int, dtype: Any = None) -> torch.Tensor:
        drawn = torch.from_numpy(rng.integers(low, high, tuple(like.shape)))
        return drawn.to(dtype or like.dtype)

    torch.rand_like, torch.randint_like = uniform, integers
    return criterion(network(images, targets), targets)


def rtdetr_groups(network: nn.Module) -> list[dict[str, Any]]:
    """configs/rtdetr/rtdetr_r18vd_6x_coco.yml."""
    rate = inputs.RATES["rtdetr_r18vd"]
    rules = {
        r"^(?=.*backbone)(?=.*norm).*$": {"lr": BACKBONE * rate, "weight_decay": 0.0},
        r"^(?=.*backbone)(?!.*norm).*$": {"lr": BACKBONE * rate},
        r"^(?=.*(?:encoder|decoder))(?=.*(?:norm|bias)).*$": {"weight_decay": 0.0},
        r"": {},
    }
    groups = [{"params": [], **settings} for settings in rules.values()]
    for name, parameter in network.named_parameters():
        place = next(index for index, rule in enumerate(rules) if re.search(rule, name))
        groups[place]["params"].append(parameter)
    return groups


def detr_network(checkout: Path) -> tuple[nn.Module, nn.Module]:
    detr = detr_modules(checkout)
    modules = ("backbone", "transformer", "position_encoding", "matcher")
    backbones, transformers, positions, matchers = (
        importlib.import_module(f"models.{name}") for name in modules
    )
    body = backbones.BackboneBase.__new__(backbones.BackboneBase)
    nn.Module.__init__(body)
    body.body = Named(ResNet50(backbones.FrozenBatchNorm2d))
    backbone = backbones.Joiner(body, positions.PositionEmbeddingSine(128, normalize=True))
    backbone.num_channels = 2048
    transformer = transformers.Transformer(256, dropout=0.0, return_intermediate_dec=True)
    network = detr.DETR(backbone, transformer, 91, num_queries=100, aux_loss=True)
    weights = {"loss_ce": 1.0, "loss_bbox": 5.0, "loss_giou": 2.0}
    weights |= {f"{name}_{i}": value for i in range(5) for name, value in weights.items()}
    matcher = matchers.HungarianMatcher(cost_class=1, cost_bbox=5, cost_giou=2)
    return network, detr.SetCriterion(91, matcher, weights, 0.1, ["labels", "boxes"])


class Named(nn.Module):
    """In place of torchvision's IntermediateLayerGetter; parameters keep their names."""

    def __init__(self, resnet: ResNet50) -> None:
        super().__init__()
        for name, child in resnet.named_children():
            self.add_module(name, child)
        self._forward = resnet.forward  # its layers are ours

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"0": self._forward(x)}


def detr_step(network: nn.Module, criterion: nn.Module, step: int) -> Losses:
    images, targets = targets_of("detr_r50", step)
    mask = torch.ones(2, *images.shape[2:], dtype=torch.bool)
    for image, width in enumerate(inputs.WIDTHS):
        mask[image, :, :width] = False
    nested = importlib.import_module("util.misc").NestedTensor(images, mask)
    losses, weights = criterion(network(nested), targets), criterion.weight_dict
    return {name: weights[name] * losses[name] for name in weights}


def detr_groups(network: nn.Module) -> list[dict[str, Any]]:
    """main.py."""
    rate = inputs.RATES["detr_r50"]
    trained = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    return [
        {"params": [parameter for name, parameter in trained if "backbone" not in name]},
        {
            "params": [parameter for name, parameter in trained if "backbone" in name],
            "lr": BACKBONE * rate,
        },
    ]


def curve(
    network: nn.Module,
    groups: list[dict[str, Any]],
    rate: float,
    losses_of: Callable[[int], Losses],
) -> dict[str, list[float]]:
    optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=DECAY)
    history: dict[str, list[float]] = {}
    for step in range(inputs.STEPS):
        losses = losses_of(step)
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        for name, value in losses.items():
            history.setdefault(name, []).append(float(f"{float(value.detach()):.7g}"))
        print(step, float(total.detach()), flush=True)
    return history


def one_a_line(losses: dict[str, list[float]]) -> str:
    return ",\n".join(f'  "{name}": {json.dumps(values)}' for name, values in losses.items())


def main(rtdetr_checkout: Path, detr_checkout: Path) -> None:
    torch.set_num_threads(1)
    rtdetr.stub_packages(rtdetr_checkout)
    network, criterion = rtdetr.network("r18vd"), rtdetr.criterion()
    detr, detr_criterion = detr_network(detr_checkout)
    for trained in (network, detr):
        set_weights(trained)
    models = {
        "rtdetr_r18vd": (network, rtdetr_groups(network), partial(rtdetr_step, network, criterion)),
        "detr_r50": (detr, detr_groups(detr), partial(detr_step, detr, detr_criterion)),
    }
    curves = {
        model: curve(trained, groups, inputs.RATES[model], losses_of)
        for model, (trained, groups, losses_of) in models.items()
    }
    out = Path(__file__).with_name("official.json")
    parts = [f' "recorded": {json.dumps(RECORDED)}']
    parts += [f' "{model}": {{\n{one_a_line(losses)}\n }}' for model, losses in curves.items()]
    out.write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
