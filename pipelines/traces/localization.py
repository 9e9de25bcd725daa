"""What the traces of the class-agnostic localization networks share; theirs are beside this one.

N images, A anchors, P proposals, R regions, H and W cells of a level.

Inputs: `img` (N, 3, H, W), normalized; optionally `scale_factor` (4,), by which detections are
divided. For training `gt` (G, 4), with several images `gt0`, `gt1`, …. Optionally, of one image,
`test_proposals` and `train_proposals` (P, 5), which the RoI stage takes in place of the network's
own: regions are drawn by position, and proposals whose scores agree to the last bit may stand in
another order. The tensor `test_proposals` is the network's own all the same, those of equal score
in the order of the given ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jittor as jt
import numpy as np

from unidet.models.box_head import BACKGROUND, OBJECT
from unidet.models.dense_output import DenseOutput
from unidet.models.localization_network import LocalizationNetwork
from unidet.models.region_samples import RegionSamples
from unidet.ops.blocked_maps import as_array
from unidet.ops.coders import encode_deltas
from unidet.ops.loss_term import loss_values, total
from unidet.ops.rois import rois_of, split_by_image
from unidet.pipelines.traces.batch import plain_batch
from unidet.pipelines.traces.given_proposals import GivenProposals
from unidet.pipelines.traces.inputs import Inputs
from unidet.pipelines.traces.seen import seen
from unidet.weights.load import load_into

SAMPLER_SEED = 123
"""The recordings' samplers drew from one `RandomState` with this seed."""

Tensors = dict[str, np.ndarray]
Results = dict[str, list[Any]]


def loaded(network: LocalizationNetwork, arrays: Mapping[str, np.ndarray]) -> LocalizationNetwork:
    """With these weights, ready for inference."""
    load_into(network, arrays)
    network.backbone.set_batch_norm_training(False)
    return network


def infer(
    network: LocalizationNetwork, inputs: Inputs, logits_name: str, region_names: tuple[str, ...]
) -> Tensors:
    """Features, head outputs, proposals, the RoI stage's outputs and detections.

    Args:
        logits_name: of the dense stage's logits in the recordings.
        region_names: of class logits, deltas and IoU logits there.
    """
    images = inputs.take("img", "N", 3, "H", "W")
    scale = inputs.take("scale_factor", 4) if "scale_factor" in inputs else np.ones(4, np.float32)
    columns = np.append(scale, np.float32(1))
    methods = _dense_parts(network) | {
        "proposals": network.rpn_head.proposals,
        "head": network.box_head.in_passes,
        "refined": network.box_head.refined,
    }
    own_proposals = GivenProposals(inputs, "test_proposals", len(images))
    changes: dict[str, Callable[[Any], Any]] = {
        "proposals": own_proposals,
        "refined": lambda images: [rows / columns for rows in images],
    }
    with seen(methods, changes) as results:
        detections = network.propose(jt.array(images), sizes_of(images))
    (proposals,), (head,) = results["proposals"], results["head"]
    values = {"test_rois": rois_of(proposals)} | _region_tensors(head, region_names)
    parts = {name: split_by_image(rows, proposals) for name, rows in values.items()}
    tensors = dense_tensors(results, logits_name)
    for image, rows in enumerate(proposals):
        own = {name: values[image] for name, values in parts.items()}
        own |= {"test_proposals": own_proposals.like(image, rows), "test_rpn": rows[:, 4:]}
        own |= {"detections": detections[image]}
        suffix = f"_image{image}" if len(images) > 1 else ""
        tensors |= {name + suffix: value for name, value in own.items()}
    return tensors


def learn(
    network: LocalizationNetwork, inputs: Inputs, more: Mapping[str, Callable]
) -> tuple[Results, dict[str, jt.Var], list[np.ndarray]]:
    """One training step: what its methods returned, those of `more` too; its losses; the ground
    truth of the images."""
    images = inputs.take("img", "N", 3, "H", "W")
    truth = _ground_truth(inputs, len(images))
    methods = _dense_parts(network) | {
        "targets": network.rpn_head.targets,
        "proposals": network.rpn_head.proposals,
        "samples": network.box_head.sample,
        "head": network.box_head.execute,
    }
    changes = {"proposals": GivenProposals(inputs, "train_proposals", len(images))}
    with seen(methods | dict(more), changes) as results:
        batch = plain_batch(images, sizes_of(images), truth)
        values = loss_values(network.loss(batch, np.random.RandomState(SAMPLER_SEED)))
    return results, values, truth


def learned(
    results: Results, values: Mapping[str, jt.Var], logits_name: str
) -> tuple[Tensors, jt.Var]:
    """The tensors of a training step but for the dense stage's targets, and the total loss."""
    (proposals,), (samples,), (head,) = (results[name] for name in ("proposals", "samples", "head"))
    tensors = dense_tensors(results, logits_name)
    tensors |= {"train_proposals": np.concatenate(proposals), "train_rois": samples.rois}
    tensors |= region_targets(samples)
    names = ("train_cls_score", "train_bbox_pred", "train_bbox_score")
    tensors |= _region_tensors(head, names)
    loss = total(values)
    logged = {**values, "total": loss}
    del logged["positives"]
    tensors |= {f"loss/{name}": np.asarray(np.float32(x.item())) for name, x in logged.items()}
    hits = tensors["train_cls_score"].argmax(axis=1) == tensors["roi_tgt/labels"]
    tensors["loss/acc"] = np.array([100 * np.mean(hits)], np.float32)  # per cent, as mmdet logs it
    return tensors, loss


def dense_tensors(results: Results, logits_name: str) -> Tensors:
    """Maps, anchors, and what the proposal head says of them."""
    (stages,), (feats,), (output,) = results["stages"], results["feats"], results["output"]
    maps = zip(("c2", "c3", "c4", "c5"), stages, strict=True)
    pyramid = zip(("p2", "p3", "p4", "p5", "p6"), feats, strict=True)
    tensors = {name: as_array(feature) for name, feature in [*maps, *pyramid]}
    offsets, logits = output.offsets_NA4.numpy(), output.logits_NA.numpy()
    for level, rows in output.levels():
        cells = feats[level].shape[2:4]
        tensors[f"rpn_reg{level}"] = as_map(offsets[:, rows], cells)
        tensors[f"{logits_name}{level}"] = as_map(logits[:, rows], cells)
        tensors[f"anchors{level}"] = output.anchors_A4[rows]
    return tensors


def level_rows(output: DenseOutput, dense: Mapping[str, np.ndarray]) -> Tensors:
    """`rpn_tgt/NAME` of arrays (N, A, …) as mmdet has them, by level, then image."""
    return {
        f"rpn_tgt/{name}": np.concatenate(
            [rows[:, level].reshape(-1, *rows.shape[2:]) for _, level in output.levels()]
        )
        for name, rows in dense.items()
    }


def region_targets(samples: RegionSamples) -> Tensors:
    """The sampled regions and what they learn."""
    positive = samples.positive
    regions, truth = samples.rois[positive, 1:], samples.boxes[positive]
    deltas = np.zeros_like(samples.boxes)
    deltas[positive] = encode_deltas(regions, truth).numpy()
    weights = positive.astype(np.float32)
    return {
        "samp_pos_bboxes": regions,
        "samp_neg_bboxes": samples.rois[~positive, 1:],
        "roi_tgt/labels": np.where(positive, OBJECT, BACKGROUND),
        "roi_tgt/label_weights": np.ones_like(weights),
        "roi_tgt/bbox_targets": deltas,
        "roi_tgt/bbox_weights": np.tile(weights[:, None], 4),
    }


def as_map(rows: np.ndarray, cells: tuple[int, ...]) -> np.ndarray:
    """(N, A, …) of one level -> (N, channels, H, W), a cell's anchors one after another."""
    return rows.reshape(len(rows), *cells, -1).transpose(0, 3, 1, 2)


def _region_tensors(head: Any, names: tuple[str, ...]) -> Tensors:
    """Class logits, deltas and IoU logits of a `BoxOutput`."""
    outputs = (head.class_logits_R2, head.deltas_R4, head.iou_logits_R)
    values = [output.numpy().reshape(len(output), -1) for output in outputs]
    return dict(zip(names, values, strict=True))


def _dense_parts(network: LocalizationNetwork) -> dict[str, Callable]:
    """The parts whose results `dense_tensors` names."""
    return {
        "stages": network.backbone.execute,
        "feats": network.neck.execute,
        "output": network.rpn_head.execute,
    }


def sizes_of(images_NCHW: np.ndarray) -> np.ndarray:
    return np.tile(np.array(images_NCHW.shape[2:], np.int32), (len(images_NCHW), 1))


def _ground_truth(inputs: Inputs, images: int) -> list[np.ndarray]:
    if images == 1:
        return [inputs.take("gt", "G", 4)]
    return [inputs.take(f"gt{image}", f"G{image}", 4) for image in range(images)]
