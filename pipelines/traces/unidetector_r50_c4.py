"""UniDetector's second stage at full size: CLIP ResNet-50 to C4, RoIAlign, names as classes.

N images, P proposals, R regions, C names, d a dataset, k an image.

The checkpoint's text embeddings are the names: `zs_weights` for one dataset, `zs_weights_0`,
`zs_weights_1`, … for the partitioned head, whose logits are then `cls_score0`, `cls_score1`, …

Inputs: `img` (N, 3, H, W), normalized; `proposals`, with several images `proposals0`, …: (P, 4)
for the head of COCO, (P, 5) with scores for that of the open world, and there `cnum` (C,), the
detections of each class before calibration, for calibrated scores; optionally `scale_factor` (4,).
For training the sampled regions `rois` (R, 5) with `roi_tgt/labels` and `roi_tgt/bbox_targets`,
`dataset_ids` (N,) unless all are 0, and `fed_sampled`, the names drawn beyond those that occur;
partitioned `fed_sampled0`, `fed_sampled1`, … for each image.
"""

from __future__ import annotations

import jittor as jt
import numpy as np

from unidet.errors import UserError
from unidet.evaluation.calibration import calibration_weights, fuse_scores
from unidet.evaluation.detections import LARGEST_LOGIT
from unidet.evaluation.soft_nms import Suppression, suppressor
from unidet.models.roi_classifier import RoiClassifier, decoded
from unidet.models.roi_samples import RoiBatch, RoiSamples
from unidet.ops.blocked_maps import as_array
from unidet.ops.loss_term import loss_values, total
from unidet.ops.rois import rois_of, split_by_image
from unidet.ops.sampling import BatchRandom
from unidet.pipelines.traces.inputs import Inputs
from unidet.pipelines.traces.published_settings import classifier_settings
from unidet.pipelines.traces.seen import seen
from unidet.pipelines.wiring.classifier import build_classifier
from unidet.weights.layouts.layout import Weights
from unidet.weights.load import load_into

BETA, GAMMA = 0.3, 0.6
COCO = Suppression(max_per_image=100, offset_classes=True)
OPEN_WORLD = Suppression(max_per_image=300, offset_classes=True)
FEDERATED = 50
FIRST = 8
"""Regions of which the recordings keep what RoIAlign and the last layer make."""
ROIS_AN_IMAGE = 512
"""Sampled regions an image as the official accuracy assumes them."""


def build(weights: Weights) -> RoiClassifier:
    """The network of clip_decouple_faster_rcnn_r50_c4_1x_coco_2ndstage.py and its relatives."""
    if not weights.vocabularies:
        raise UserError("unidetector_r50_c4: the weights hold no text embeddings (zs_weights)")
    network = build_classifier(classifier_settings("clip_r50_c4"))
    load_into(network, weights.arrays)
    network.set_vocabularies(weights.vocabularies)
    return network


def forward(network: RoiClassifier, inputs: Inputs) -> dict[str, np.ndarray]:
    """C4, the first eight regions' features, logits, box deltas and detections."""
    images = inputs.take("img", "N", 3, "H", "W")
    proposals = _proposals(inputs, len(images))
    methods = {
        "feats": network.features,
        "crops": network.region_features,
        "shared": network.shared_layer.execute,
        "heads": network.all_heads,
    }
    sizes = np.tile(np.array(images.shape[2:]), (len(images), 1))
    with seen(methods) as results:
        network.regions(jt.array(images), sizes, proposals)
    ((embeddings, deltas),) = results["heads"]
    rois = rois_of(proposals)
    scores, boxes = logits_of(network, jt.array(embeddings)), decoded(rois, deltas)
    first = min(len(rois), FIRST)
    outputs = {
        "c4": as_array(results["feats"][0]),
        "roi_feats_first8": as_array(results["crops"][0])[:first],
        "shared_head_first8": as_array(results["shared"][0])[:first],
    }
    outputs |= _named(scores | {"bbox_pred": deltas}, "test_")
    logits = next(iter(scores.values()))
    parts = zip(
        split_by_image(boxes, proposals), split_by_image(logits, proposals), proposals, strict=True
    )
    for image, (own_boxes, own_logits, own_proposals) in enumerate(parts):
        suffix = f"_image{image}" if len(images) > 1 else ""
        size = (images.shape[2], images.shape[3])
        tensors = post_processed(own_boxes, own_logits, own_proposals, size, inputs)
        outputs |= {name + suffix: value for name, value in tensors.items()}
    return outputs


def train(network: RoiClassifier, inputs: Inputs) -> tuple[dict[str, np.ndarray], jt.Var]:
    """C4, logits and box deltas of the given regions, losses."""
    images = inputs.take("img", "N", 3, "H", "W")
    samples = given_samples(network, inputs, len(images))
    classes = compared_classes(network, inputs, samples)
    with seen({"feats": network.features, "heads": network.heads}) as results:
        values = loss_values(network.loss(RoiBatch(images, samples, classes), BatchRandom()))
    (feats,), ((embeddings, deltas),) = results.values()
    rows = len(samples.labels_R)
    scores = logits_of(network, embeddings[:rows])
    tensors = {"c4": as_array(feats), "train_rois": samples.rois_R5}
    tensors |= _named(scores | {"bbox_pred": deltas.numpy()[:rows]}, "train_")
    tensors["loss/acc"] = np.array([logged_accuracy(list(scores.values()), samples)], np.float32)
    loss = total(values)
    named = {"cls": values["loss_class"], "bbox": values["loss_box"]}
    logged = {f"loss_{name}": value for name, value in named.items()} | {"total": loss}
    tensors |= {f"loss/{name}": np.asarray(np.float32(x.item())) for name, x in logged.items()}
    return tensors, loss


def _proposals(inputs: Inputs, images: int) -> list[np.ndarray]:
    names = ["proposals"] if images == 1 else [f"proposals{image}" for image in range(images)]
    proposals = [inputs.take(name, f"P{image}", "columns") for image, name in enumerate(names)]
    for name, boxes in zip(names, proposals, strict=True):
        if boxes.shape[1] not in (4, 5) or not len(boxes):
            raise inputs.refusal(
                f"{name} has shape {boxes.shape}, must be (P, 4), or (P, 5) with scores, P >= 1"
            )
    return proposals


def logits_of(network: RoiClassifier, embeddings_RD: jt.Var) -> dict[str, np.ndarray]:
    """`cls_score`, or `cls_score0`, … where there are several datasets; background at the end."""
    counts = network.classifier.class_counts
    tensors = {}
    for dataset in range(len(counts)):
        logits = network.classifier(embeddings_RD, dataset).numpy()
        name = f"cls_score{dataset}" if len(counts) > 1 else "cls_score"
        tensors[name] = np.pad(logits, ((0, 0), (0, 1)))
    return tensors


def _named(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Under both their names: plain, and with the prefix that the goldens have."""
    return tensors | {prefix + name: value for name, value in tensors.items()}


def post_processed(
    boxes_R4: np.ndarray,
    logits: np.ndarray,
    proposals: np.ndarray,
    size: tuple[int, int],
    inputs: Inputs,
) -> dict[str, np.ndarray]:
    """bbox_head_clip.py `get_bboxes` and bbox_nms.py `multiclass_nms`, then by class."""
    limits = np.array([size[1], size[0]] * 2, np.float32)
    boxes = np.clip(boxes_R4, 0, limits)
    if "scale_factor" in inputs:
        boxes = boxes / inputs.take("scale_factor", 4)
    scores = 1 / (1 + np.exp(-np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT)))
    open_world = proposals.shape[1] == 5
    if open_world:
        if "cnum" in inputs:
            counts = inputs.take("cnum", scores.shape[1] - 1)
            scores[:, :-1] *= calibration_weights(counts, GAMMA, "official")
        scores = fuse_scores(scores, proposals[:, 4], BETA)
    suppress = suppressor(boxes, OPEN_WORLD if open_world else COCO)
    ((regions, classes, kept),) = suppress([scores[None, :, :-1]])
    order = np.argsort(classes, kind="stable")
    columns = (boxes[regions], kept[:, None], classes[:, None])
    return {
        "nms_in_boxes": boxes,
        "nms_in_scores": scores,
        "detections": np.concatenate(columns, axis=1).astype(np.float32)[order],
    }


def given_samples(network: RoiClassifier, inputs: Inputs, images: int) -> RoiSamples:
    """The given regions; officially the largest number of names marks background everywhere."""
    counts = np.array(network.classifier.class_counts)
    rois = inputs.take_first(("rois", "train_rois"), "R", 5)
    labels = inputs.take("roi_tgt/labels", "R").astype(np.int64)
    datasets = np.zeros(images, np.int64)
    if "dataset_ids" in inputs:
        datasets = inputs.take("dataset_ids", "N").astype(np.int64)
    if not ((datasets >= 0) & (datasets < len(counts))).all():
        raise inputs.refusal(f"dataset_ids must be 0 .. {len(counts) - 1}, one for each vocabulary")
    if not len(rois) or not ((rois[:, 0] >= 0) & (rois[:, 0] < images)).all():
        raise inputs.refusal(f"rois must start with an image's number, 0 .. {images - 1}")
    own = counts[datasets[rois[:, 0].astype(np.int64)]]
    labels = np.where(labels == counts.max(), own, labels)
    if not ((labels >= 0) & (labels <= own)).all():
        raise inputs.refusal("roi_tgt/labels holds labels that their datasets do not have")
    deltas = inputs.take("roi_tgt/bbox_targets", "R", 4)
    return RoiSamples(rois, labels, deltas, datasets)


def compared_classes(
    network: RoiClassifier, inputs: Inputs, samples: RoiSamples
) -> list[np.ndarray]:
    """Per image the names its regions are compared with: those that occur and those drawn."""
    counts = network.classifier.class_counts
    if len(counts) == 1:
        names = ("fed_sampled", "fed_sampled0")
        classes = [_compared(inputs, names, samples.labels_R, counts[0])]
        return classes * len(samples.datasets_N)
    return [
        _compared(
            inputs,
            (f"fed_sampled{image}",),
            samples.labels_R[samples.images_R == image],
            counts[dataset],
        )
        for image, dataset in enumerate(samples.datasets_N)
    ]


def _compared(inputs: Inputs, names: tuple[str, ...], labels: np.ndarray, count: int) -> np.ndarray:
    """Background counts as a name but is never compared with."""
    classes = np.unique(labels)
    if len(classes) < FEDERATED:
        drawn = inputs.take_first(names, names[0]).astype(np.int64)
        if not ((drawn >= 0) & (drawn <= count)).all():
            raise inputs.refusal(f"{names[0]} must hold class numbers 0 .. {count}")
        classes = np.union1d(classes, drawn)
    return classes[classes < count]


def logged_accuracy(scores: list[np.ndarray], samples: RoiSamples) -> float:
    """As officially logged: the partitioned head takes every image for one of the last image's
    dataset with 512 regions (bbox_head_clip_partitioned.py line 367)."""
    if len(scores) == 1:
        return float(100 * np.mean(scores[0].argmax(axis=1) == samples.labels_R))
    dataset = samples.datasets_N[-1]
    backgrounds = np.array([score.shape[1] - 1 for score in scores])
    labels = samples.labels_R.copy()
    labels[labels == backgrounds[samples.datasets_N[samples.images_R]]] = backgrounds[dataset]
    parts = []
    for image in range(len(samples.datasets_N)):
        rows = slice(ROIS_AN_IMAGE * image, ROIS_AN_IMAGE * (image + 1))
        hits = scores[dataset][rows].argmax(axis=1) == labels[rows]
        parts.append(100 * float(hits.mean()) if len(hits) else 0.0)
    return float(np.mean(parts))
