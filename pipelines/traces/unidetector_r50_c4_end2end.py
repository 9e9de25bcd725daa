"""UniDetector end to end at full size: CLIP ResNet-50 to C4, RPN, RoIAlign, names as classes.

N images, P proposals, R regions, C names.

The names are the checkpoint's text embeddings, as in `unidetector_r50_c4.py`; training takes one
dataset. Inputs: `img` (N, 3, H, W), normalized; optionally `scale_factor` (4,). For training, of
one image, `gt` (G, 4), `gt_labels` (G,), and `fed_sampled`, the names compared. Optionally, of one
image, `test_proposals` and `train_proposals` (P, 5), which the RoI network takes in place of the
RPN's, as in `localization.py`.
"""

from __future__ import annotations

import jittor as jt
import numpy as np

from unidet.errors import UserError
from unidet.models.end2end import EndToEnd, EndToEndBatch
from unidet.models.roi_classifier import decoded
from unidet.models.roi_samples import RoiSamples
from unidet.ops.blocked_maps import as_array
from unidet.ops.loss_term import loss_values, total
from unidet.ops.rois import split_by_image
from unidet.pipelines.traces.batch import plain_batch
from unidet.pipelines.traces.given_proposals import GivenProposals
from unidet.pipelines.traces.inputs import Inputs
from unidet.pipelines.traces.localization import SAMPLER_SEED, Results, Tensors, as_map, sizes_of
from unidet.pipelines.traces.published_settings import end_to_end_settings
from unidet.pipelines.traces.rpn_r50_fpn import dense_targets
from unidet.pipelines.traces.seen import Change, seen
from unidet.pipelines.traces.unidetector_r50_c4 import logged_accuracy, logits_of, post_processed
from unidet.pipelines.wiring.end_to_end import build_end_to_end
from unidet.weights.layouts.layout import Weights
from unidet.weights.load import load_into


def build(weights: Weights) -> EndToEnd:
    """The network of clip_end2end_faster_rcnn_r50_c4_1x_coco.py and its relatives."""
    if not weights.vocabularies:
        raise UserError("unidetector_r50_c4_end2end: the weights hold no text embeddings")
    network = build_end_to_end(end_to_end_settings("clip_r50_c4"))
    load_into(network, weights.arrays)
    network.regions.set_vocabularies(weights.vocabularies)
    return network


def forward(network: EndToEnd, inputs: Inputs) -> Tensors:
    """C4, the RPN's outputs and proposals, logits, box deltas and detections."""
    images = inputs.take("img", "N", 3, "H", "W")
    own_proposals = GivenProposals(inputs, "test_proposals", len(images))
    methods = _dense_parts(network) | {
        "proposals": network.rpn_head.proposals,
        "heads": network.regions.all_heads,
    }
    with seen(methods, {"proposals": own_proposals}) as results:
        by_images = network.detect_regions(jt.array(images), sizes_of(images))
    ((embeddings, deltas),) = results["heads"]
    proposals = [rows for rows, _, _ in by_images]
    scores = logits_of(network.regions, jt.array(embeddings)) | {"bbox_pred": deltas}
    logits = split_by_image(next(iter(scores.values())), proposals)
    tensors = _dense_tensors(results)
    parts = {f"test_{name}": split_by_image(rows, proposals) for name, rows in scores.items()}
    for image, (rows, boxes, _) in enumerate(by_images):
        own = {name: values[image] for name, values in parts.items()}
        own["test_proposals"] = own_proposals.like(image, rows)
        size = (images.shape[2], images.shape[3])
        own |= post_processed(boxes, logits[image], rows[:, :4], size, inputs)
        suffix = f"_image{image}" if len(images) > 1 else ""
        tensors |= {name + suffix: value for name, value in own.items()}
    return tensors


def train(network: EndToEnd, inputs: Inputs) -> tuple[Tensors, jt.Var]:
    """C4, both parts' targets and samples, logits and box deltas, losses."""
    images = inputs.take("img", 1, 3, "H", "W")
    boxes, labels = inputs.take("gt", "G", 4), inputs.take("gt_labels", "G")
    compared = inputs.take("fed_sampled", "K")
    classes = [compared[compared < network.regions.classifier.class_counts[0]]]
    changes: dict[str, Change] = {"proposals": GivenProposals(inputs, "train_proposals", 1)}
    methods = _dense_parts(network) | {
        "targets": network.rpn_head.targets,
        "proposals": network.rpn_head.proposals,
        "samples": network.regions.sample_regions,
        "heads": network.regions.heads,
    }
    batch = plain_batch(images, sizes_of(images), [boxes], [labels])
    stream = np.random.RandomState(SAMPLER_SEED)
    with seen(methods, changes) as results:
        values = loss_values(network.loss(EndToEndBatch(batch, classes), stream))
    (targets,), (proposals,), (samples,), ((embeddings, deltas),) = (
        results[name] for name in ("targets", "proposals", "samples", "heads")
    )
    rows = len(samples.labels_R)
    scores = logits_of(network.regions, embeddings[:rows])
    tensors = _dense_tensors(results) | {"train_proposals": proposals[0]}
    tensors |= dense_targets(results["output"][0], targets, 1)
    tensors |= _region_targets(samples, boxes, max(network.regions.classifier.class_counts))
    tensors |= {f"train_{name}": values for name, values in scores.items()}
    tensors |= {"train_bbox_pred": deltas.numpy()[:rows], "fed_sampled": compared}
    loss = total(values)
    named = {"loss_class": "loss_cls", "loss_box": "loss_bbox"}
    logged = {named.get(name, name): value for name, value in values.items()} | {"total": loss}
    del logged["positives"]
    tensors |= {f"loss/{name}": np.asarray(np.float32(x.item())) for name, x in logged.items()}
    accuracy = logged_accuracy(list(scores.values()), samples)
    return tensors | {"loss/acc": np.array([accuracy], np.float32)}, loss


def _dense_parts(network: EndToEnd) -> dict:
    return {"feats": network.regions.features, "output": network.rpn_head.execute}


def _dense_tensors(results: Results) -> Tensors:
    """C4, anchors, and what the RPN says of them."""
    (feats,), (output,) = results["feats"], results["output"]
    cells = tuple(feats.shape[2:4])
    return {
        "c4": as_array(feats),
        "rpn_cls0": as_map(output.logits_NA.numpy(), cells),
        "rpn_reg0": as_map(output.offsets_NA4.numpy(), cells),
        "anchors0": output.anchors_A4,
    }


def _region_targets(samples: RoiSamples, boxes: np.ndarray, background: int) -> Tensors:
    """The sampled regions, and what they learn."""
    positive = samples.labels_R < background
    regions = samples.rois_R5[:, 1:]
    matched = decoded(samples.rois_R5[positive], samples.targets_R4[positive])
    distances = np.abs(matched[:, None] - boxes[None]).max(axis=2)
    weights = positive.astype(np.float32)
    return {
        "train_rois": samples.rois_R5,
        "samp_pos_bboxes": regions[positive],
        "samp_neg_bboxes": regions[~positive],
        "samp_pos_gt": distances.argmin(axis=1),
        "roi_tgt/labels": samples.labels_R,
        "roi_tgt/label_weights": np.ones_like(weights),
        "roi_tgt/bbox_targets": samples.targets_R4,
        "roi_tgt/bbox_weights": np.tile(weights[:, None], 4),
    }
