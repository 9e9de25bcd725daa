"""UniDetector's class-agnostic localization network in PyTorch with its official settings.

Written from the papers of UniDetector (arXiv 2303.11749) and OLN (arXiv 2108.06753). N: images,
A: anchors, R: regions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from in_torch import boxes
from in_torch.regions import nms, roi_align
from in_torch.resnet import FPN, ResNet, convolution
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (4, 8, 16, 32, 64)
PER_LEVEL, SAMPLES, REGIONS = 2000, 256, 512
ALPHA = 0.3


class Dense(NamedTuple):
    """Outputs of all levels: distances (N, A, 4), objectness (N, A), anchors (A, 4).

    `counts`: anchors of each level.
    """

    distances: Tensor
    objectness: Tensor
    anchors: Tensor
    counts: list[int]
    unused: Tensor


class DenseHead(nn.Module):
    def __init__(self, channels: int = 256) -> None:
        super().__init__()
        self.rpn_conv = convolution(channels, channels, 3, bias=True)
        self.rpn_cls = convolution(channels, 1, 1, bias=True)
        self.rpn_reg = convolution(channels, 4, 1, bias=True)
        self.rpn_obj = convolution(channels, 1, 1, bias=True)

    def forward(self, levels: list[Tensor]) -> Dense:
        hidden = [F.normalize(F.relu_(self.rpn_conv(level)), dim=1) for level in levels]
        flat = [
            [layer(level).flatten(2).transpose(1, 2) for level in hidden]
            for layer in (self.rpn_reg, self.rpn_obj, self.rpn_cls)
        ]
        pairs = list(zip(levels, STRIDES, strict=True))
        squares = [boxes.anchors(*level.shape[2:], stride, stride * 8) for level, stride in pairs]
        distances, objectness, unused = (torch.cat(parts, dim=1) for parts in flat)
        counts = [len(part) for part in squares]
        return Dense(distances, objectness.squeeze(2), torch.cat(squares), counts, unused)

    @staticmethod
    def losses(output: Dense, objects: Tensor, size: tuple[int, int], rngs: list) -> dict:
        """Losses of a batch whose images all have the same objects."""
        inside = ((output.anchors[:, :2] >= 0).all(1)) & (output.anchors[:, 2] < size[1])
        rows = (inside & (output.anchors[:, 3] < size[0])).nonzero().squeeze(1)
        overlaps = boxes.iou(objects[:, None], output.anchors[rows][None])
        box, fit, count = [], [], 0
        for image, rng in enumerate(rngs):
            matched = boxes.match(overlaps, 0.7, 0.3, 0.3)
            positives, negatives = boxes.draw(matched, SAMPLES, 0.5, rng)
            count += max(len(positives), 1) + max(len(negatives), 1)
            truth, learning = objects[matched[positives]], rows[positives]
            predicted = boxes.decode_distances(
                output.anchors[learning], output.distances[image, learning]
            )
            learns = (truth > 0).all(dim=1)
            box.append((1 - boxes.iou(predicted, truth).clamp(min=1e-6))[learns].sum())
            matched = boxes.match(overlaps, 0.3, 0.1, 0.3)
            positives, negatives = boxes.draw(matched, SAMPLES, 1.0, rng)
            central = boxes.centerness(output.anchors[rows[positives]], objects[matched[positives]])
            targets = torch.cat([central, torch.zeros(len(negatives))])
            logits = output.objectness[image, rows[torch.cat([positives, negatives])]]
            fit.append((logits.sigmoid() - targets).abs().sum())
        objectness = sum(fit) / count + output.unused.sum() * 0
        return {"loss_rpn_bbox": 10 * sum(box) / count, "loss_rpn_obj": objectness}

    @staticmethod
    @torch.no_grad()
    def proposals(output: Dense, size: tuple[int, int]) -> list[Tensor]:
        """Proposals (P, 5) of each image: the highest-scoring of each level, without NMS."""
        scores = output.objectness.sigmoid()
        images = []
        for image, own in enumerate(scores):
            best, start = [], 0
            for count, level in zip(output.counts, own.split(output.counts), strict=True):
                order = level.argsort(descending=True, stable=True)
                best.append(
                    start + (order[:PER_LEVEL] if count > PER_LEVEL else torch.arange(count))
                )
                start += count
            rows = torch.cat(best)
            moved = boxes.decode_distances(output.anchors[rows], output.distances[image, rows])
            images.append(torch.cat([boxes.clipped(moved, *size), own[rows, None]], dim=1))
        return images


class RegionHead(nn.Module):
    def __init__(self, channels: int = 256, hidden: int = 1024) -> None:
        super().__init__()
        self.shared_fcs = nn.ModuleList(
            [nn.Linear(channels * 49, hidden), nn.Linear(hidden, hidden)]
        )
        self.fc_cls = nn.Linear(hidden, 2)
        self.fc_reg = nn.Linear(hidden, 4)
        self.fc_bbox_score = nn.Linear(hidden, 1)

    def forward(self, levels: list[Tensor], rois: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of object and background, deltas, and IoU logits."""
        hidden = self.pooled(levels, rois).flatten(1)
        for layer in self.shared_fcs:
            hidden = F.relu_(layer(hidden))
        return self.fc_cls(hidden), self.fc_reg(hidden), self.fc_bbox_score(hidden).squeeze(1)

    @staticmethod
    def pooled(levels: list[Tensor], rois: Tensor) -> Tensor:
        """Features (R, C, 7, 7), each from the level for the region's size."""
        sides = (rois[:, 3:] - rois[:, 1:3]).clamp(min=0)
        level = (sides.prod(dim=1).sqrt() / 56 + 1e-6).log2().floor().clamp(0, 3).long()
        pooled = levels[0].new_zeros(len(rois), levels[0].shape[1], 7, 7)
        for index in range(4):
            rows = (level == index).nonzero().squeeze(1)
            pooled[rows] = roi_align(levels[index], rois[rows], 7, 1 / STRIDES[index])
        return pooled


class FirstStage(nn.Module):
    """The whole network. Parameters have the same names as in unidet."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet("torchvision", (1, 2, 3, 4))
        self.neck = FPN(self.backbone.channels)
        self.rpn_head = DenseHead()
        self.box_head = RegionHead()
        self.eval()  # batch norms use running statistics in training too

    def pyramid(self, images: Tensor) -> list[Tensor]:
        return self.neck(self.backbone(images))

    @torch.inference_mode()
    def propose(self, images: Tensor) -> Tensor:
        """Proposals (P, 5) of one image, by descending score."""
        size = images.shape[2:]
        levels = self.pyramid(images)
        (found,) = self.rpn_head.proposals(self.rpn_head(levels), size)
        classes, deltas, fits = self.box_head(levels, with_image([found]))
        moved = boxes.clipped(boxes.decode_deltas(found[:, :4], deltas), *size)
        place = found[:, 4] * fits.sigmoid()
        scores = classes.softmax(dim=1)[:, 0] ** ALPHA * place ** (1 - ALPHA)
        kept = nms(moved, scores, 0.9)[:1500]
        return torch.cat([moved, scores[:, None]], dim=1)[kept]

    def losses(self, images: Tensor, objects: Tensor, seed: tuple[int, ...]) -> dict[str, Tensor]:
        """Losses of a batch whose images all have the same objects."""
        rngs = [np.random.default_rng((*seed, 1 + row)) for row in range(len(images))]
        size = images.shape[2:]
        levels = self.pyramid(images)
        output = self.rpn_head(levels)
        dense = self.rpn_head.losses(output, objects, size, rngs)
        rois, matched = [], []
        for found, rng in zip(self.rpn_head.proposals(output, size), rngs, strict=True):
            candidates = torch.cat([objects, found[:, :4]])
            assigned = boxes.match(boxes.iou(objects[:, None], candidates[None]), 0.5, 0.5)
            rows = torch.cat(boxes.draw(assigned, REGIONS, 0.25, rng))
            rois.append(candidates[rows])
            matched.append(assigned[rows])
        rois_R5, matched_R = with_image(rois), torch.cat(matched)
        return dense | self._region_losses(levels, rois_R5, matched_R, objects)

    def _region_losses(
        self, levels: list[Tensor], rois: Tensor, matched: Tensor, objects: Tensor
    ) -> dict[str, Tensor]:
        classes, deltas, fits = self.box_head(levels, rois)
        positive = matched >= 0
        regions, truth = rois[positive, 1:], objects[matched[positive]]
        moved = (deltas[positive] - boxes.encode_deltas(regions, truth)).abs()
        fit = (fits[positive].sigmoid() - boxes.iou(regions, truth)).abs()
        return {
            "loss_cls": F.cross_entropy(classes, (~positive).long()),
            "loss_bbox": moved.sum() / len(rois),
            "loss_bbox_score": fit.sum() / len(rois),
        }


def with_image(parts: list[Tensor]) -> Tensor:
    """RoIs (R, 5) of the boxes of all images: index of the image, xyxy."""
    images = [torch.full((len(part), 1), float(row)) for row, part in enumerate(parts)]
    return torch.cat(
        [torch.cat([image, part[:, :4]], dim=1) for image, part in zip(images, parts, strict=True)]
    )
