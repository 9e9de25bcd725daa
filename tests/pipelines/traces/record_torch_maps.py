"""What plain PyTorch computes of both networks' maps, for images of any size; run by hand.

    python record_torch_maps.py STAGE1.npz STAGE2.npz IN.npz OUT1.npz OUT2.npz

The weights are under official names, as reference/deterministic_weights.py makes them; `img` of
IN.npz is taken. `unidet compare` holds the traces of IN.npz against the two files. Needs torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

Weights = dict[str, torch.Tensor]


def read(path: str) -> Weights:
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def norm(weights: Weights, x: torch.Tensor, name: str) -> torch.Tensor:
    values = (
        weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, *values, training=False, eps=1e-5)


def convolve(weights: Weights, x: torch.Tensor, name: str, **options: Any) -> torch.Tensor:
    return F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), **options)


def bottleneck(
    weights: Weights, x: torch.Tensor, name: str, stride: int, pools: bool
) -> torch.Tensor:
    """torchvision's, or CLIP's, whose strides are mean pools."""
    step, pool = (1, stride) if pools else (stride, 1)
    y = F.relu(norm(weights, convolve(weights, x, f"{name}.conv1"), f"{name}.bn1"))
    y = convolve(weights, y, f"{name}.conv2", stride=step, padding=1)
    y = F.avg_pool2d(F.relu(norm(weights, y, f"{name}.bn2")), pool)
    y = norm(weights, convolve(weights, y, f"{name}.conv3"), f"{name}.bn3")
    if f"{name}.downsample.0.weight" in weights:
        x = convolve(weights, F.avg_pool2d(x, pool), f"{name}.downsample.0", stride=step)
        x = norm(weights, x, f"{name}.downsample.1")
    return F.relu(x + y)


def layers(
    weights: Weights, x: torch.Tensor, blocks: tuple[int, ...], pools: bool
) -> list[torch.Tensor]:
    maps = []
    for index, count in enumerate(blocks, start=1):
        for block in range(count):
            stride = 2 if index > 1 and block == 0 else 1
            x = bottleneck(weights, x, f"backbone.layer{index}.{block}", stride, pools)
        maps.append(x)
    return maps


def first_stage(weights: Weights, images: torch.Tensor) -> dict[str, torch.Tensor]:
    x = convolve(weights, images, "backbone.conv1", stride=2, padding=3)
    x = F.max_pool2d(F.relu(norm(weights, x, "backbone.bn1")), 3, 2, 1)
    stages = layers(weights, x, (3, 4, 6, 3), pools=False)
    merged = [convolve(weights, x, f"neck.lateral_convs.{i}.conv") for i, x in enumerate(stages)]
    for i in (2, 1, 0):
        merged[i] = merged[i] + F.interpolate(merged[i + 1], size=merged[i].shape[2:])
    levels = [
        convolve(weights, x, f"neck.fpn_convs.{i}.conv", padding=1) for i, x in enumerate(merged)
    ]
    levels.append(F.max_pool2d(levels[-1], 1, stride=2))
    maps = {f"c{i}": x for i, x in enumerate(stages, start=2)}
    maps |= {f"p{i}": x for i, x in enumerate(levels, start=2)}
    for i, level in enumerate(levels):
        hidden = F.relu(convolve(weights, level, "rpn_head.rpn_conv", padding=1))
        for part in ("reg", "obj"):
            maps[f"rpn_{part}{i}"] = convolve(
                weights, F.normalize(hidden, dim=1), f"rpn_head.rpn_{part}"
            )
    return maps


def second_stage(weights: Weights, images: torch.Tensor) -> dict[str, torch.Tensor]:
    x = images
    for i, stride in ((1, 2), (2, 1), (3, 1)):
        x = convolve(weights, x, f"backbone.conv{i}", stride=stride, padding=1)
        x = F.relu(norm(weights, x, f"backbone.bn{i}"))
    return {"c4": layers(weights, F.avg_pool2d(x, 2), (3, 4, 6), pools=True)[-1]}


def main(first: str, second: str, inputs: str, *outputs: str) -> None:
    images = read(inputs)["img"]
    networks: tuple[Callable[[Weights, torch.Tensor], dict[str, torch.Tensor]], ...]
    networks = (first_stage, second_stage)
    with torch.no_grad():
        for network, weights, out in zip(networks, (first, second), outputs, strict=True):
            np.savez(out, **{k: x.numpy() for k, x in network(read(weights), images).items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
