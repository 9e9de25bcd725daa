"""NanoDet-Plus-m and -m-1.5x with official settings, any number of classes.

N images, P priors, G ground-truth boxes, M positives, V valid priors.

Inputs: `img` (N, 3, H, W), BGR, normalized, sides multiples of 32. For inference optionally
`detsplit_score_thr`, a second score threshold. For training `gt_boxes0` (G, 4), `gt_labels0` (G,),
`gt_boxes1`, … of every image, and optionally `epoch`, counted from 0. Training inputs may come
several times, each name with a case in front (`A/gt_boxes0`): then so do the outputs, and a case
whose name ends in "det" is of an epoch from which on the auxiliary parts are detached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import jittor as jt
import numpy as np

from unidet.config.networks import NanoDetPlusConfig
from unidet.models.nanodet_plus.assigner import Assignment
from unidet.models.nanodet_plus.criterion import Targets, positive_weights
from unidet.models.nanodet_plus.detector import NanoDetPlus
from unidet.models.nanodet_plus.predictions import Predictions
from unidet.ops.blocked_maps import as_array
from unidet.ops.boxes import clip_boxes
from unidet.ops.loss_term import loss_values, total
from unidet.ops.sampling import BatchRandom
from unidet.pipelines.traces.batch import plain_batch
from unidet.pipelines.traces.inputs import Inputs
from unidet.pipelines.traces.published_settings import proposer_settings
from unidet.pipelines.traces.seen import seen
from unidet.records import Batch, Detected
from unidet.weights.layouts.layout import Weights
from unidet.weights.layouts.nanodet_plus import BINS, M
from unidet.weights.load import load_into

DETACHED_FROM = 10
"""Epoch, counted from 0, from which on the official trainer detaches the auxiliary parts."""
NO_OVERLAP = -1e8
"""What the official assigner writes at priors that are background."""


def build(weights: Weights) -> NanoDetPlus:
    """The network of the weights' layout, with its auxiliary parts if they are among them."""
    settings = proposer_settings(weights.layout.network, NanoDetPlusConfig)
    network = NanoDetPlus(
        replace(settings, detach_epoch=DETACHED_FROM, compat="official"),
        classes=len(weights.arrays["head.predict.0.bias"]) - 4 * BINS,
        auxiliary=any(name.startswith("aux_") for name in weights.arrays),
    )
    load_into(network, weights.arrays)
    return network


def forward(network: NanoDetPlus, inputs: Inputs) -> dict[str, np.ndarray]:
    """Feature maps, logits, decoded boxes, scores and detections."""
    images = jt.array(_images(inputs))
    sizes = np.tile(np.array(images.shape[2:], np.int32), (len(images), 1))
    with seen({"output": network.predict}) as outputs:
        detections = network.detect(images, sizes)
    with seen(_parts(network)) as results, jt.no_grad():
        network.logits(images)
    parts = {name: calls[0] for name, calls in (outputs | results).items()}
    tensors = _tensors(network, parts, sizes[0])
    tensors["n_candidates_over_0.05"] = np.array(int((tensors["scores"] > 0.05).sum()))
    tensors |= _detections("det{}", detections)
    everything = network.detect(images, sizes, max_detections=None)
    tensors |= _detections("det_all" if len(images) == 1 else "det_all{}", everything)
    if "detsplit_score_thr" in inputs:
        threshold = float(inputs.take("detsplit_score_thr"))
        tensors["detsplit_n_candidates"] = np.array(int((tensors["scores"] > threshold).sum()))
        split = network.detect(images, sizes, score_threshold=threshold)
        tensors |= _detections("detsplit" if len(images) == 1 else "detsplit{}", split)
    return tensors


def train(network: NanoDetPlus, inputs: Inputs) -> tuple[dict[str, np.ndarray], dict[str, jt.Var]]:
    """Both heads' predictions, assignments, normalizers and losses, case by case.

    `bn/NAME` are the running statistics after the first case's forward pass.
    """
    if network.aux_head is None:
        raise inputs.refusal(
            "the weights lack the auxiliary head, without which nothing is trained"
        )
    images = _images(inputs)
    outputs: dict[str, np.ndarray] = {}
    totals = {}
    for case in _cases(inputs):
        epoch = DETACHED_FROM if _is_detached(inputs, case) else 0
        sizes = np.tile(np.array(images.shape[2:]), (len(images), 1))
        batch = plain_batch(images, sizes, *_truth(inputs, case, len(images)), epoch)
        tensors, totals[case] = _step(network, batch)
        if not outputs:
            outputs |= _running_statistics(network, case)
        outputs |= {case + name: value for name, value in tensors.items()}
    return outputs, totals


def _images(inputs: Inputs) -> np.ndarray:
    images = inputs.take("img", "N", 3, "H", "W")
    if images.shape[2] % 32 or images.shape[3] % 32:
        raise inputs.refusal(f"img is {images.shape[2:]} cells, both must be multiples of 32")
    return images


def _parts(network: NanoDetPlus) -> dict[str, Callable]:
    return {
        "stem_conv1": network.backbone.stem.execute,
        "stem_maxpool": network.backbone.pooled,
        "maps": network.backbone.execute,
        "levels": network.fpn.execute,
    }


def _tensors(
    network: NanoDetPlus, results: dict[str, Any], size: np.ndarray
) -> dict[str, np.ndarray]:
    """Of the results of `_parts` and the output; `size` (height, width) of the images."""
    output = results["output"]
    boxes = output.boxes()
    start, *stages = network.settings.backbone_channels
    maps = {name: as_array(results[name], start) for name in ("stem_conv1", "stem_maxpool")}
    maps |= {
        f"backbone_stage{stage}": as_array(x, channels)
        for stage, (x, channels) in enumerate(zip(results["maps"], stages, strict=True), start=2)
    }
    maps |= {f"fpn{level}": as_array(x) for level, x in enumerate(results["levels"])}
    named = {
        "head_cls_logits": output.class_logits,
        "head_reg_logits": output.dfl_logits,
        "dist_in_strides": output.distances(),
        "boxes_unclamped": boxes,
        "boxes_clamped": clip_boxes(boxes, size),
        "scores": jt.sigmoid(output.class_logits),
    }
    values = {name: value.numpy() for name, value in named.items()}
    return maps | values | {"center_priors": output.priors_P4}


def _detections(name: str, images: list[Detected]) -> dict[str, np.ndarray]:
    tensors = {}
    for image, detected in enumerate(images):
        rows = np.concatenate([detected.boxes, detected.scores[:, None]], axis=1)
        tensors[f"{name.format(image)}_boxes_scores"] = rows
        tensors[f"{name.format(image)}_labels"] = detected.labels
    return tensors


def _cases(inputs: Inputs) -> list[str]:
    """What stands in front of the training inputs' names: nothing, or "A/", "B/", …"""
    cases = [name.removesuffix("gt_boxes0") for name in inputs if name.endswith("/gt_boxes0")]
    return cases or [""]


def _is_detached(inputs: Inputs, case: str) -> bool:
    if f"{case}epoch" in inputs:
        return int(inputs.take(f"{case}epoch")) >= DETACHED_FROM
    return case.endswith("det/")


def _truth(inputs: Inputs, case: str, count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    boxes, labels = [], []
    for image in range(count):
        letter = f"{case}G{image}"
        boxes.append(inputs.take(f"{case}gt_boxes{image}", letter, 4))
        labels.append(inputs.take(f"{case}gt_labels{image}", letter))
    return boxes, labels


def _running_statistics(network: NanoDetPlus, case: str) -> dict[str, np.ndarray]:
    variables = dict(network.named_parameters())
    return {
        f"{case}bn/{official}": variables[ours].numpy()
        for official, ours in M.our_names.items()
        if ".running_" in official
    }


def _step(network: NanoDetPlus, batch: Batch) -> tuple[dict[str, np.ndarray], jt.Var]:
    methods: dict[str, Callable] = {
        "heads": network.predict_both,
        "assignments": network.assignments,
        "targets": network.targets,
    }
    with seen(methods) as results:
        values = loss_values(network.loss(batch, BatchRandom()))
    ((main, auxiliary),), (assignments,), (targets,) = results.values()
    tensors = {"pred_main": main.logits_NPL.numpy(), "pred_aux": auxiliary.logits_NPL.numpy()}
    priors = len(main.priors_P4)
    for image, assignment in enumerate(assignments):
        image_targets = _of_image(targets, image, priors)
        tensors |= _assignment(f"assign{image}_", assignment, image_targets, priors)
    tensors |= _normalizers("main", main, targets) | _normalizers("aux", auxiliary, targets)
    loss = total(values)
    named = {name.replace("loss_aux_", "aux_loss_"): value for name, value in values.items()}
    for name, value in (named | {"total": loss}).items():
        tensors[f"loss/{name}"] = np.asarray(np.float64(value.item()))
    return tensors, loss


def _of_image(targets: Targets, image: int, priors: int) -> Targets:
    rows = targets.rows // priors == image
    return Targets(*(getattr(targets, column.name)[rows] for column in fields(targets)))


def _assignment(
    name: str, assignment: Assignment, targets: Targets, priors: int
) -> dict[str, np.ndarray]:
    rows = np.zeros(priors, np.int64)
    rows[assignment.positives] = assignment.matched + 1
    overlaps = np.full(priors, NO_OVERLAP if assignment.iou.size else 0, np.float32)
    overlaps[assignment.positives] = assignment.soft_labels
    tensors: dict[str, np.ndarray] = {
        "gt_inds": rows,
        "max_overlaps": overlaps,
        "pos": assignment.positives,
        "pos_labels": targets.labels,
        "pos_soft_labels": targets.soft_labels,
        "pos_bbox_targets": targets.boxes,
        "pos_dist_targets": targets.distances,
    }
    if assignment.iou.size:
        tensors |= {
            "valid_priors": assignment.valid,
            "cost": assignment.cost,
            "iou": assignment.iou,
            "dynamic_k": assignment.counts,
        }
    return {name + key: value for key, value in tensors.items()}


def _normalizers(head: str, output: Predictions, targets: Targets) -> dict[str, np.ndarray]:
    count = len(targets.rows)
    tensors = {f"avg_factor/{head}_loss_qfl": np.array(float(max(count, 1)))}
    if count:
        weights = positive_weights(output, targets)
        total = max(float(weights.sum()), 1.0)
        tensors |= {
            f"avg_factor/{head}_loss_bbox": np.array(total),
            f"avg_factor/{head}_loss_dfl": np.array(4 * total),
            f"weight/{head}_loss_bbox": weights,
        }
    return tensors
