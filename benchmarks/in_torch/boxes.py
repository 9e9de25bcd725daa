"""Boxes, anchors, matching and sampling in PyTorch, as in mmdet 2.18.

Boxes are xyxy in pixels. Random numbers are numpy's, so that both programs draw the same.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

STDS = torch.tensor([0.1, 0.1, 0.2, 0.2])
MAX_LOG_RATIO = abs(math.log(16 / 1000))
NEGATIVE = -1


def anchors(height: int, width: int, stride: int, side: float) -> Tensor:
    """Square anchors centred on the cells' top left corners, (height * width, 4), row by row."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centres = torch.stack([x, y], dim=-1).reshape(-1, 2).float() * stride
    return torch.cat([centres - side / 2, centres + side / 2], dim=1)


def iou(boxes: Tensor, others: Tensor) -> Tensor:
    """IoU of boxes and others, which broadcast."""
    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., 2:], others[..., 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(part[..., 2:] - part[..., :2]).prod(dim=-1) for part in (boxes, others)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-6)


def clipped(boxes: Tensor, height: int, width: int) -> Tensor:
    limits = torch.tensor([width, height, width, height], dtype=boxes.dtype)
    return boxes.clamp(min=0).minimum(limits)


def decode_distances(references: Tensor, distances: Tensor) -> Tensor:
    """Boxes of distances top, bottom, left, right from the centres, in units of the sides."""
    centres = (references[:, :2] + references[:, 2:]) / 2
    sides = references[:, 2:] - references[:, :2]
    top, bottom, left, right = distances.unbind(dim=1)
    before = torch.stack([left, top], dim=1) * sides
    return torch.cat([centres - before, centres + torch.stack([right, bottom], dim=1) * sides], 1)


def encode_deltas(references: Tensor, boxes: Tensor) -> Tensor:
    centres, sides = (
        (references[:, :2] + references[:, 2:]) / 2,
        references[:, 2:] - references[:, :2],
    )
    moved = (boxes[:, :2] + boxes[:, 2:]) / 2 - centres
    ratios = (boxes[:, 2:] - boxes[:, :2]) / sides
    return torch.cat([moved / sides, ratios.log()], dim=1) / STDS


def decode_deltas(references: Tensor, deltas: Tensor) -> Tensor:
    centres, sides = (
        (references[:, :2] + references[:, 2:]) / 2,
        references[:, 2:] - references[:, :2],
    )
    scaled = deltas * STDS
    centres = centres + scaled[:, :2] * sides
    half = sides * scaled[:, 2:].clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp() / 2
    return torch.cat([centres - half, centres + half], dim=1)


def match(overlaps: Tensor, positive: float, negative: float, least: float | None = None) -> Tensor:
    """IoU (G, A) -> (A,) row of the object, `NEGATIVE`, or -2 (ignored).

    With `least`, an object is also assigned all anchors with its highest IoU, if that is at least
    `least`.
    """
    best, rows = overlaps.max(dim=0)
    matched = torch.full_like(rows, -2)
    matched[best < negative] = NEGATIVE
    matched[best >= positive] = rows[best >= positive]
    if least is not None:
        for row, own in enumerate(overlaps.max(dim=1).values):
            if own >= least:
                matched[overlaps[row] == own] = row
    return matched


def draw(
    matched: Tensor, count: int, fraction: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Positives, at most a fraction of `count`, and as many negatives as are then missing."""
    positives = _chosen(matched >= 0, int(count * fraction), rng)
    return positives, _chosen(matched == NEGATIVE, count - len(positives), rng)


def _chosen(flags: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    rows = flags.nonzero().squeeze(1)
    if len(rows) <= count:
        return rows
    return rows[torch.from_numpy(np.sort(rng.permutation(len(rows))[:count]))]


def centerness(references: Tensor, boxes: Tensor) -> Tensor:
    """Centerness of the references' centres in their boxes; 0 outside."""
    centres = (references[:, :2] + references[:, 2:]) / 2
    before, after = centres - boxes[:, :2], boxes[:, 2:] - centres
    within = (before > 0).all(dim=1) & (after > 0).all(dim=1)
    ratios = torch.minimum(before, after) / (torch.maximum(before, after) + 1e-12)
    return torch.where(within, ratios.prod(dim=1), torch.zeros(())).sqrt()
