"""UniDetector's first stage at full size: ResNet-50, FPN and the class-agnostic network.

N images, A anchors, P proposals, R regions, H and W cells of a level.

Inputs: `img` (N, 3, H, W), normalized; optionally `scale_factor` (4,), by which detections are
divided. For training `gt` (G, 4), with several images `gt0`, `gt1`, …; optionally
`train_proposals` (P, 5), from which regions are drawn in place of the network's own: the sampler
draws by position, and proposals whose scores agree to the last bit may stand in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jittor as jt
import numpy as np

from unidet.config.networks import CLNConfig
from unidet.models.box_head import BACKGROUND, OBJECT
from unidet.models.cln import CLN
from unidet.models.cln_targets import (
    AnchorDraw,
    AnchorTargets,
    RegionSamples,
    SampledAnchors,
)
from unidet.models.rpn_head import RPNOutput
from unidet.ops.boxes import elementwise_iou
from unidet.ops.coders import encode_deltas
from unidet.ops.loss_term import total, undivided
from unidet.ops.rois import by_image, rois_of
from unidet.pipelines.proposers import cln
from unidet.pipelines.traces.batch import plain_batch
from unidet.pipelines.traces.inputs import Inputs
from unidet.pipelines.traces.published_settings import proposer_settings
from unidet.pipelines.traces.seen import seen
from unidet.weights.layouts.layout import Weights
from unidet.weights.load import load_into

RPN_LOSSES = ("loss_rpn_cls", "loss_rpn_bbox", "loss_rpn_obj")
SAMPLER_SEED = 123
"""The recordings' samplers drew from one `RandomState` with this seed."""


def build(weights: Weights) -> CLN:
    """The network of clip_decouple_faster_rcnn_r50_c4_1x_coco_1ststage.py."""
    settings = proposer_settings("cln_r50_fpn", CLNConfig)
    network = cln.build(settings, classes=0, is_trained=True)
    load_into(network, weights.arrays)
    network.backbone.set_batch_norm_training(False)
    return network


def forward(network: CLN, inputs: Inputs) -> dict[str, np.ndarray]:
    """Features, head outputs, proposals, the second stage's outputs and detections."""
    images = inputs.take("img", "N", 3, "H", "W")
    scale = inputs.take("scale_factor", 4) if "scale_factor" in inputs else np.ones(4, np.float32)
    columns = np.append(scale, np.float32(1))
    methods = _dense_parts(network) | {
        "proposals": network.first_stage,
        "head": network.second_stage,
        "refined": network.refined,
    }
    rescaled = {"refined": lambda images: [rows / columns for rows in images]}
    with seen(methods, rescaled) as results:
        detections = network.propose(jt.array(images), _sizes(images))
    (proposals,), (head,) = results["proposals"], results["head"]
    outputs = {
        "test_rois": rois_of(proposals),
        "test_cls": head.class_logits_R2.numpy(),
        "test_reg": head.deltas_R4.numpy(),
        "test_bscore": head.iou_logits_R.numpy()[:, None],
    }
    parts = {name: by_image(values, proposals) for name, values in outputs.items()}
    tensors = _dense_tensors(results)
    for image, rows in enumerate(proposals):
        own = {name: values[image] for name, values in parts.items()}
        own |= {"test_proposals": rows, "test_rpn": rows[:, 4:], "detections": detections[image]}
        suffix = f"_image{image}" if len(images) > 1 else ""
        tensors |= {name + suffix: value for name, value in own.items()}
    return tensors


def train(network: CLN, inputs: Inputs) -> tuple[dict[str, np.ndarray], jt.Var]:
    """Features, both stages' targets and samples, the losses (the proposal head's per level)."""
    images = inputs.take("img", "N", 3, "H", "W")
    batch = plain_batch(images, _sizes(images), _ground_truth(inputs, len(images)))
    sampler = network.anchor_sampler
    assert isinstance(sampler, SampledAnchors)
    methods = _dense_parts(network) | {
        "draws": sampler.draw,
        "targets": network.anchor_targets,
        "proposals": network.first_stage,
        "samples": network.region_samples,
        "head": network.box_head.execute,
    }
    changes = {}
    if len(images) == 1 and "train_proposals" in inputs:
        changes["proposals"] = lambda own: [inputs.take("train_proposals", "P", 5)]
    with seen(methods, changes) as results:
        values = undivided(network.loss(batch, np.random.RandomState(SAMPLER_SEED)))
    (output,), (targets,), (head,) = results["output"], results["targets"], results["head"]
    (proposals,), (samples,) = results["proposals"], results["samples"]
    tensors = _dense_tensors(results)
    tensors |= {"train_proposals": np.concatenate(proposals), "train_rois": samples.rois}
    tensors |= dense_targets(output, results["draws"], targets) | _region_targets(samples)
    tensors |= {
        "train_cls_score": head.class_logits_R2.numpy(),
        "train_bbox_pred": head.deltas_R4.numpy(),
        "train_bbox_score": head.iou_logits_R.numpy()[:, None],
    }
    loss = total(values)
    logged = {name: np.asarray(np.float32(value.item())) for name, value in values.items()}
    logged |= _level_losses(network, output, targets)
    logged["acc"] = _accuracy(tensors["train_cls_score"], tensors["roi_tgt/labels"])
    logged["total"] = np.asarray(np.float32(loss.item()))
    del logged["positives"]
    return tensors | {f"loss/{name}": value for name, value in logged.items()}, loss


def _sizes(images_NCHW: np.ndarray) -> np.ndarray:
    return np.tile(np.array(images_NCHW.shape[2:], np.int32), (len(images_NCHW), 1))


def _ground_truth(inputs: Inputs, images: int) -> list[np.ndarray]:
    if images == 1:
        return [inputs.take("gt", "G", 4)]
    return [inputs.take(f"gt{image}", f"G{image}", 4) for image in range(images)]


def _dense_parts(network: CLN) -> dict[str, Callable]:
    """The parts whose results `_dense_tensors` names."""
    return {
        "stages": network.backbone.execute,
        "feats": network.neck.execute,
        "output": network.rpn_head.execute,
    }


def _dense_tensors(results: dict[str, list[Any]]) -> dict[str, np.ndarray]:
    """Maps, anchors, and what the proposal head says of them."""
    (stages,), (feats,), (output,) = results["stages"], results["feats"], results["output"]
    maps = zip(("c2", "c3", "c4", "c5"), stages, strict=True)
    pyramid = zip(("p2", "p3", "p4", "p5", "p6"), feats, strict=True)
    tensors = {name: feature.numpy() for name, feature in [*maps, *pyramid]}
    distances, objectness = output.distances_NA4.numpy(), output.objectness_NA.numpy()
    for level, rows in _levels(output):
        height, width = feats[level].shape[2:]
        reg = distances[:, rows].transpose(0, 2, 1).reshape(-1, 4, height, width)
        tensors[f"rpn_reg{level}"] = reg
        tensors[f"rpn_obj{level}"] = objectness[:, rows].reshape(-1, 1, height, width)
        tensors[f"anchors{level}"] = output.anchors_A4[rows]
    return tensors


def _levels(output: RPNOutput) -> Iterator[tuple[int, slice]]:
    """Each level with its rows of anchors."""
    start = 0
    for level, count in enumerate(output.level_counts):
        yield level, slice(start, start + count)
        start += count


def dense_targets(
    output: RPNOutput, draws: list[AnchorDraw], targets: AnchorTargets
) -> dict[str, np.ndarray]:
    """What mmdet's dense targets are: a row per anchor, level by level, image by image in each."""
    shape = (len(draws), len(output.anchors_A4))
    labels, label_weights = np.ones(shape, np.int64), np.zeros(shape, np.float32)
    boxes, box_weights = np.zeros((*shape, 4), np.float32), np.zeros((*shape, 4), np.float32)
    objectness, weights = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for image, draw in enumerate(draws):
        labels[image, draw.box_positives] = 0
        label_weights[image, draw.box_positives] = 1
        label_weights[image, draw.box_negatives] = 1
        boxes[image, draw.box_positives] = draw.boxes
    box_weights[targets.box_images, targets.box_anchors] = 1
    objectness[targets.objectness_images, targets.objectness_anchors] = targets.objectness
    weights[targets.objectness_images, targets.objectness_anchors] = 1
    dense: dict[str, np.ndarray] = {
        "labels": labels,
        "label_weights": label_weights,
        "bbox_targets": boxes,
        "bbox_weights": box_weights,
        "objectness_targets": objectness,
        "objectness_weights": weights,
    }
    counts = [[max(len(d.box_positives), 1), max(len(d.box_negatives), 1)] for d in draws]
    return {
        f"rpn_tgt/{name}": np.concatenate(
            [rows[:, level].reshape(-1, *rows.shape[2:]) for _, level in _levels(output)]
        )
        for name, rows in dense.items()
    } | {"rpn_tgt/num_pos_neg": np.sum(counts, axis=0)}


def _region_targets(samples: RegionSamples) -> dict[str, np.ndarray]:
    positive = samples.positive
    regions, truth = samples.rois[positive, 1:], samples.boxes[positive]
    deltas, scores = np.zeros_like(samples.boxes), np.zeros(len(positive), np.float32)
    deltas[positive] = encode_deltas(regions, truth).numpy()
    scores[positive] = elementwise_iou(regions, truth).numpy()
    weights = positive.astype(np.float32)
    return {
        "samp_pos_bboxes": regions,
        "samp_neg_bboxes": samples.rois[~positive, 1:],
        "samp_pos_gt": truth,
        "roi_tgt/labels": np.where(positive, OBJECT, BACKGROUND),
        "roi_tgt/label_weights": np.ones_like(weights),
        "roi_tgt/bbox_targets": deltas,
        "roi_tgt/bbox_weights": np.tile(weights[:, None], 4),
        "roi_tgt/score_targets": scores,
        "roi_tgt/score_weights": weights,
    }


def _level_losses(network: CLN, output: RPNOutput, targets: AnchorTargets) -> dict[str, np.ndarray]:
    """The proposal head's losses of each level; the class loss has weight 0 officially."""
    losses = {name: np.zeros(len(output.level_counts)) for name in RPN_LOSSES}
    with jt.no_grad():
        for level, rows in _levels(output):
            part = _within(targets, rows)
            for name, value in undivided(network.rpn_losses(output, part)).items():
                losses[name][level] = value.item()
    return losses


def _within(targets: AnchorTargets, rows: slice) -> AnchorTargets:
    """The targets of one level's anchors, still divided by the samples of all."""
    box = (targets.box_anchors >= rows.start) & (targets.box_anchors < rows.stop)
    objectness = targets.objectness_anchors
    inside = (objectness >= rows.start) & (objectness < rows.stop)
    return AnchorTargets(
        targets.box_images[box],
        targets.box_anchors[box],
        targets.boxes[box],
        targets.box_samples,
        targets.objectness_images[inside],
        targets.objectness_anchors[inside],
        targets.objectness[inside],
    )


def _accuracy(scores_RC: np.ndarray, labels_R: np.ndarray) -> np.ndarray:
    """Per cent of rows whose largest score is the label's (1,), as mmdet logs it."""
    return np.array([100 * np.mean(scores_RC.argmax(axis=1) == labels_R)], np.float32)
