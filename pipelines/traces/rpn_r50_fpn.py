"""A plain RPN with the CLN's RoI head at full size: ResNet-50, FPN. Inputs: `localization.py`."""

from __future__ import annotations

from collections.abc import Sequence

import jittor as jt
import numpy as np

from unidet.config.networks import RPNConfig
from unidet.models.dense_output import DenseOutput
from unidet.models.localization_network import LocalizationNetwork
from unidet.models.region_samples import RegionSamples
from unidet.models.rpn_head import STDS
from unidet.models.rpn_targets import RPNTargets
from unidet.ops.coders import encode_deltas
from unidet.pipelines.proposers import rpn
from unidet.pipelines.traces.inputs import Inputs
from unidet.pipelines.traces.localization import Tensors, infer, learn, learned, level_rows, loaded
from unidet.pipelines.traces.published_settings import proposer_settings
from unidet.weights.layouts.layout import Weights

LOGITS = "rpn_cls"
FOREGROUND, BACKGROUND = 0, 1


def build(weights: Weights) -> LocalizationNetwork:
    """The network of clip_decouple_faster_rcnn_r50_c4_1x_objcoco_1ststage_rpn.py."""
    settings = proposer_settings("rpn_r50_fpn", RPNConfig)
    return loaded(rpn.build(settings, classes=0, is_trained=True), weights.arrays)


def forward(network: LocalizationNetwork, inputs: Inputs) -> Tensors:
    """Features, head outputs, proposals, the RoI stage's outputs and detections."""
    names = ("test_cls_score", "test_bbox_pred", "test_bbox_score")
    return infer(network, inputs, LOGITS, names)


def train(network: LocalizationNetwork, inputs: Inputs) -> tuple[Tensors, jt.Var]:
    """Features, both stages' targets and samples, losses."""
    results, values, truth = learn(network, inputs, {})
    tensors, loss = learned(results, values, LOGITS)
    (output,), (targets,), (samples,) = results["output"], results["targets"], results["samples"]
    tensors |= dense_targets(output, targets, len(truth))
    tensors["samp_pos_gt"] = truth_rows(samples, truth)
    return tensors, loss


def dense_targets(output: DenseOutput, targets: RPNTargets, images: int) -> Tensors:
    """What mmdet's dense targets are: a row per anchor, of negatives and of those not sampled 0."""
    shape = (images, len(output.anchors_A4))
    labels, weights = np.full(shape, BACKGROUND), np.zeros(shape, np.float32)
    deltas, learns = np.zeros((*shape, 4), np.float32), np.zeros((*shape, 4), np.float32)
    weights[targets.images, targets.anchors] = 1
    positive = targets.positive
    rows = targets.images[positive], targets.anchors[positive]
    labels[rows] = FOREGROUND
    learns[rows] = 1
    anchors = output.anchors_A4[targets.anchors[positive]]
    deltas[rows] = encode_deltas(anchors, targets.boxes[positive], STDS).numpy()
    dense = {
        "labels": labels,
        "label_weights": weights,
        "bbox_targets": deltas,
        "bbox_weights": learns,
    }
    return level_rows(output, dense) | {"rpn_tgt/num": targets.counts.sum(axis=0)}


def truth_rows(samples: RegionSamples, truth: Sequence[np.ndarray]) -> np.ndarray:
    """For every positive region which row of its image's ground truth it stands for."""
    images = samples.rois[samples.positive, 0].astype(np.int64)
    boxes = samples.boxes[samples.positive]
    pairs = zip(images, boxes, strict=True)
    return np.array([(truth[image] == box).all(axis=1).argmax() for image, box in pairs], np.int64)
