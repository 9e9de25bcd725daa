"""UniDetector's first stage at full size: ResNet-50, FPN and the class-agnostic network.

Inputs: `localization.py`.
"""

from __future__ import annotations

import jittor as jt
import numpy as np

from unidet.config.networks import CLNConfig
from unidet.models.localization_network import LocalizationNetwork
from unidet.models.oln_head import OLNHead, OLNOutput
from unidet.models.oln_targets import AnchorDraw, AnchorTargets, SampledAnchors
from unidet.models.region_samples import RegionSamples
from unidet.ops.boxes import elementwise_iou
from unidet.ops.loss_term import loss_values
from unidet.pipelines.proposers import cln
from unidet.pipelines.traces.inputs import Inputs
from unidet.pipelines.traces.localization import Tensors, infer, learn, learned, level_rows, loaded
from unidet.pipelines.traces.published_settings import proposer_settings
from unidet.weights.layouts.layout import Weights

LOGITS = "rpn_obj"
RPN_LOSSES = ("loss_rpn_cls", "loss_rpn_bbox", "loss_rpn_obj")


def build(weights: Weights) -> LocalizationNetwork:
    """The network of clip_decouple_faster_rcnn_r50_c4_1x_coco_1ststage.py."""
    settings = proposer_settings("cln_r50_fpn", CLNConfig)
    return loaded(cln.build(settings, classes=0, is_trained=True), weights.arrays)


def forward(network: LocalizationNetwork, inputs: Inputs) -> Tensors:
    """Features, head outputs, proposals, the RoI stage's outputs and detections."""
    return infer(network, inputs, LOGITS, ("test_cls", "test_reg", "test_bscore"))


def train(network: LocalizationNetwork, inputs: Inputs) -> tuple[Tensors, jt.Var]:
    """Features, both stages' targets and samples, the losses (the proposal head's per level)."""
    assert isinstance(network.rpn_head, OLNHead)
    sampler = network.rpn_head.anchor_sampler
    assert isinstance(sampler, SampledAnchors)
    results, values, _ = learn(network, inputs, {"draws": sampler.draw})
    tensors, loss = learned(results, values, LOGITS)
    (output,), (targets,), (samples,) = results["output"], results["targets"], results["samples"]
    tensors |= dense_targets(output, results["draws"], targets) | _score_targets(samples)
    levels = _level_losses(network, output, targets)
    return tensors | {f"loss/{name}": value for name, value in levels.items()}, loss


def dense_targets(output: OLNOutput, draws: list[AnchorDraw], targets: AnchorTargets) -> Tensors:
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
    dense: Tensors = {
        "labels": labels,
        "label_weights": label_weights,
        "bbox_targets": boxes,
        "bbox_weights": box_weights,
        "objectness_targets": objectness,
        "objectness_weights": weights,
    }
    counts = [[max(len(d.box_positives), 1), max(len(d.box_negatives), 1)] for d in draws]
    return level_rows(output, dense) | {"rpn_tgt/num_pos_neg": np.sum(counts, axis=0)}


def _score_targets(samples: RegionSamples) -> Tensors:
    """What the regions' IoU score learns, and the boxes of the positives."""
    positive = samples.positive
    truth = samples.boxes[positive]
    scores = np.zeros(len(positive), np.float32)
    scores[positive] = elementwise_iou(samples.rois[positive, 1:], truth).numpy()
    return {
        "samp_pos_gt": truth,
        "roi_tgt/score_targets": scores,
        "roi_tgt/score_weights": positive.astype(np.float32),
    }


def _level_losses(
    network: LocalizationNetwork, output: OLNOutput, targets: AnchorTargets
) -> Tensors:
    """The proposal head's losses of each level; the class loss has weight 0 officially."""
    losses = {name: np.zeros(len(output.level_counts)) for name in RPN_LOSSES}
    with jt.no_grad():
        for level, rows in output.levels():
            part = _within(targets, rows)
            for name, value in loss_values(network.rpn_head.losses(output, part)).items():
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
